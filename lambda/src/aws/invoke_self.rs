//! `Invoke` with `InvocationType` Event: the backup function's own continuation. A repeat is harmless,
//! since only one of the events gets the next generation of the lease.

use super::{Account, CallError};
use aws_sdk_lambda::{primitives::Blob, types::InvocationType};

/// The verb.
#[derive(Debug, Clone)]
pub struct InvokeSelf {
    client: aws_sdk_lambda::Client,
    function: String,
}

impl InvokeSelf {
    /// The verb for the function of this name.
    #[must_use]
    pub fn new(account: &Account, function: String) -> Self {
        Self { client: account.lambda.clone(), function }
    }

    /// Queues an event for the function.
    ///
    /// # Errors
    /// The event may not be queued.
    pub async fn call(&self, event: &serde_json::Value) -> Result<(), CallError> {
        self.client
            .invoke()
            .function_name(&self.function)
            .invocation_type(InvocationType::Event)
            .payload(Blob::new(event.to_string()))
            .send()
            .await
            .map(|_| ())
            .map_err(|error| CallError::from_sdk("Invoke", &error))
    }
}
