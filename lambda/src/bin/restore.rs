//! The restore function's process.

use lambda_runtime::{Diagnostic, LambdaEvent, service_fn};
use serde_json::Value;
use std::sync::Arc;
use stillframe_lambda::{
    config::Config,
    function,
    restore::{RestoreFunction, Unfit},
};

fn main() -> anyhow::Result<()> {
    function::run(async {
        let config = Config::read(|name| std::env::var(name).ok())?;
        let restore = Arc::new(RestoreFunction::start(config).await);
        let serve = service_fn(move |event: LambdaEvent<Value>| {
            let restore = restore.clone();
            async move {
                let ends = event.context.deadline();
                restore.handle(&event.payload, ends).await.map_err(|error| Diagnostic {
                    error_type: match error {
                        Unfit::Event(_) => "BadEvent",
                        Unfit::Call(_) | Unfit::Interrupted(_) => "Interrupted",
                    }
                    .to_owned(),
                    error_message: error.to_string(),
                })
            }
        });
        lambda_runtime::run(serve).await.map_err(anyhow::Error::from_boxed)
    })
}
