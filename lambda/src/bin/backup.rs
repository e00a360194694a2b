//! The backup function's process.

use lambda_runtime::{Diagnostic, LambdaEvent, service_fn};
use serde_json::Value;
use std::sync::Arc;
use stillframe_lambda::{backup::BackupFunction, config::Config, function};

fn main() -> anyhow::Result<()> {
    function::run(async {
        let config = Config::read(|name| std::env::var(name).ok())?;
        let backup = Arc::new(BackupFunction::start(config).await);
        let serve = service_fn(move |event: LambdaEvent<Value>| {
            let backup = backup.clone();
            async move {
                let ends = event.context.deadline();
                backup.handle(event.payload, ends).await.map_err(|error| Diagnostic {
                    error_type: error.error_type().to_owned(),
                    error_message: error.to_string(),
                })
            }
        });
        lambda_runtime::run(serve).await.map_err(anyhow::Error::from_boxed)
    })
}
