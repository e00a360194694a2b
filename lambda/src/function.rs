//! What every function's `main` does first: a runtime of one thread, and logs as JSON lines on stderr.
//! (stdout is for metrics.)

use std::future::Future;
use tracing_subscriber::EnvFilter;

/// Runs the function until Lambda ends it.
///
/// # Errors
/// The runtime could not be built, or the function ended with an error.
pub fn run<F>(function: F) -> anyhow::Result<()>
where
    F: Future<Output = anyhow::Result<()>>,
{
    // RUST_LOG asks for more; a directive that cannot be read is passed over.
    let filter = EnvFilter::builder().with_default_directive(tracing::Level::INFO.into()).from_env_lossy();
    tracing_subscriber::fmt()
        .json()
        .with_ansi(false)
        .with_current_span(false)
        .with_writer(std::io::stderr)
        .with_env_filter(filter)
        .init();
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(function)
}
