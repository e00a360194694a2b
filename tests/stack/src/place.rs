//! Where a stack is: what `AWS::AccountId` and `AWS::Region` become.

/// An account's region.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The account's number.
    pub account: String,
    /// `us-east-1`.
    pub region: String,
}

impl Default for Place {
    fn default() -> Self {
        Self { account: crate::ACCOUNT.to_owned(), region: crate::REGION.to_owned() }
    }
}
