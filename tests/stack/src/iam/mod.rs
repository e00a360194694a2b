//! Whether IAM lets a role make a call, by the rules that AWS publishes ("Policy evaluation logic", "IAM JSON
//! policy elements", and the resource types and condition keys of the Service Authorization Reference).
//!
//! - Nothing is allowed that no statement allows; a statement that denies wins over any that allows.
//! - A call concerns several resources at once (`CreateSnapshots`: the instance, every volume, the snapshots to be),
//!   and each of them has to be allowed, by whichever statement.
//! - A resource that exists brings its own tags into the conditions, one that is being made the tags of the request.
//! - A call that makes something with tags needs `ec2:CreateTags` for it too, with `ec2:CreateAction`.
//!
//! Session policies, permission boundaries, resource policies and organisations' policies are left out: the
//! template has none that a role of it depends on.

mod call;
mod condition;
mod policy;
mod wildcard;

pub use call::{Call, CallError, Resource};
pub use condition::{Condition, ConditionError};
pub use policy::{Effect, PolicyError, Statement, rights_of};

/// What IAM says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Every resource is allowed.
    Allowed,
    /// A statement denies it: its `Sid`.
    Denied(String),
    /// No statement allows this action on this resource.
    NotAllowed {
        /// The action; the call's, or `ec2:CreateTags`.
        action: String,
        /// The resource's ARN.
        resource: String,
    },
}

/// Decides.
///
/// # Errors
/// A condition of a statement is not known here.
pub fn decide(statements: &[Statement], call: &Call) -> Result<Decision, ConditionError> {
    let mut decided = Decision::Allowed;
    for (action, create_action, resource) in call.questions() {
        let context = call.context(resource, create_action);
        let mut allowed = false;
        for statement in statements {
            if statement.is_about(action, &resource.arn) && statement.holds(&context)? {
                match statement.effect {
                    // Wins over whatever was or will be allowed.
                    Effect::Deny => return Ok(Decision::Denied(statement.sid.clone())),
                    Effect::Allow => allowed = true,
                }
            }
        }
        if !allowed && decided == Decision::Allowed {
            decided = Decision::NotAllowed { action: action.to_owned(), resource: resource.arn.clone() };
        }
    }
    Ok(decided)
}
