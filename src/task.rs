//! Tasks that somebody owns.
//!
//! Enters: futures. Leaves: a handle whose drop ends the task, so that nothing runs on after the link it belongs to.
//! The only place that may call `tokio::spawn` (`clippy.toml` forbids it elsewhere).

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::task::{JoinError, JoinHandle};
use tracing::Instrument as _;

/// A running task; dropping it aborts the task at its next await point.
#[derive(Debug)]
#[must_use = "dropping the handle ends the task"]
pub struct Task<T>(JoinHandle<T>);

/// Starts `future` on the current runtime, in the caller's tracing span.
#[expect(
    clippy::disallowed_methods,
    reason = "this is the place that owns what it spawns"
)]
pub fn spawn<T: Send + 'static>(future: impl Future<Output = T> + Send + 'static) -> Task<T> {
    Task(tokio::spawn(future.in_current_span()))
}

/// Runs a blocking closure on tokio's blocking threads. It cannot be aborted, so it must be short or look for its own
/// reasons to stop.
#[expect(
    clippy::disallowed_methods,
    reason = "this is the place that owns what it spawns"
)]
pub fn spawn_blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Task<T> {
    let span = tracing::Span::current();
    Task(tokio::task::spawn_blocking(move || span.in_scope(work)))
}

impl<T> Task<T> {
    pub fn abort(&self) {
        self.0.abort();
    }
}

impl<T> Future for Task<T> {
    type Output = T;

    /// Gives the task's result. A panic inside the task goes on in the caller: a bug must not look like a failed job.
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        Pin::new(&mut self.0)
            .poll(context)
            .map(|joined| match joined {
                Ok(value) => value,
                Err(error) => resume(error),
            })
    }
}

fn resume<T>(error: JoinError) -> T {
    match error.try_into_panic() {
        Ok(panic) => std::panic::resume_unwind(panic),
        Err(error) => {
            unreachable!("a task is awaited only by its owner, which did not abort it: {error}")
        }
    }
}

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}
