//! The signal function's process.

use lambda_runtime::{LambdaEvent, service_fn};
use serde_json::Value;
use std::sync::Arc;
use stillframe_lambda::{config::Config, function, signal::SignalFunction};
use tokio::sync::Mutex;

fn main() -> anyhow::Result<()> {
    function::run(async {
        let config = Config::read(|name| std::env::var(name).ok())?;
        let signal = Arc::new(Mutex::new(SignalFunction::start(&config).await));
        let serve = service_fn(move |event: LambdaEvent<Value>| {
            let signal = signal.clone();
            async move {
                let payload = event.payload.to_string();
                Ok::<_, lambda_runtime::Error>(signal.lock().await.answer(payload.as_bytes()).await)
            }
        });
        lambda_runtime::run(serve).await.map_err(anyhow::Error::from_boxed)
    })
}
