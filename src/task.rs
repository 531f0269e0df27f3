//! Tasks that have an owner.
//!
//! Dropping a handle ends its task, so that nothing outlives the link that it belongs to. Only this
//! module may call `tokio::spawn`; `clippy.toml` forbids it elsewhere.

use std::future::Future;
use std::num::NonZeroUsize;
use std::panic::resume_unwind;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use tokio::runtime::{Builder, Runtime};
use tokio::task::{JoinError, JoinHandle};
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::Instrument as _;

use crate::fs::{cancellable, cancelled_by};

/// A running task; dropping it aborts the task at its next await point, or where it reads a file.
#[derive(Debug)]
#[must_use = "dropping the handle ends the task"]
pub struct Task<T> {
    handle: JoinHandle<T>,
    /// Of a blocking task.
    _reading: Option<DropGuard>,
}

impl<T> From<JoinHandle<T>> for Task<T> {
    fn from(handle: JoinHandle<T>) -> Self {
        Self {
            handle,
            _reading: None,
        }
    }
}

/// Starts `future` on the current runtime, in the caller's tracing span.
#[expect(
    clippy::disallowed_methods,
    reason = "this is the place that owns what it spawns"
)]
pub fn spawn<T: Send + 'static>(future: impl Future<Output = T> + Send + 'static) -> Task<T> {
    tokio::spawn(future.in_current_span()).into()
}

/// Runs a blocking closure on tokio's blocking threads. It can be aborted only where it reads files,
/// so it must otherwise be short or look for its own reasons to stop.
#[expect(
    clippy::disallowed_methods,
    reason = "this is the place that owns what it spawns"
)]
pub fn spawn_blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Task<T> {
    let span = tracing::Span::current();
    let reading = CancellationToken::new();
    let token = reading.clone();
    Task {
        handle: tokio::task::spawn_blocking(move || span.in_scope(|| cancellable(&token, work))),
        _reading: Some(reading.drop_guard()),
    }
}

/// A runtime with threads of its own, for work that may keep a thread busy for seconds without an
/// await point: neither signals nor the end of the program wait for it.
#[derive(Debug)]
pub struct DetachedRuntime(Option<Runtime>);

impl DetachedRuntime {
    /// # Errors
    /// The system gives no threads.
    pub fn new(threads: usize) -> std::io::Result<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(threads)
            .enable_all()
            .build()?;
        Ok(Self(Some(runtime)))
    }

    /// Starts `future` there, in the caller's tracing span.
    pub fn spawn<T: Send + 'static>(
        &self,
        future: impl Future<Output = T> + Send + 'static,
    ) -> Task<T> {
        let handle = self.0.as_ref().map(Runtime::handle);
        let handle = handle.expect("it is there until it is dropped");
        handle.spawn(future.in_current_span()).into()
    }
}

impl Drop for DetachedRuntime {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

impl<T> Future for Task<T> {
    type Output = T;

    /// Resolves to the task's result. A panic inside the task continues in the caller: a bug must
    /// not look like a failed job.
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        Pin::new(&mut self.handle)
            .poll(context)
            .map(|joined| match joined {
                Ok(value) => value,
                Err(error) => resume(error),
            })
    }
}

fn resume<T>(error: JoinError) -> T {
    match error.try_into_panic() {
        Ok(panic) => resume_unwind(panic),
        Err(error) => {
            unreachable!("a task is awaited only by its owner, which did not abort it: {error}")
        }
    }
}

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        self.handle.abort();
    }
}

/// Locks `mutex`, whether or not a thread has panicked with it: for data that no panic leaves half
/// changed.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What `work` makes of each of `items`, in their order. The items are begun in that order, on as
/// many threads as there are processors.
pub fn in_parallel<'a, T: Sync, R: Send>(
    items: &'a [T],
    work: impl Fn(&'a T) -> R + Sync,
) -> Vec<R> {
    let processors = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    on_threads(processors.min(items.len()), items, &work)
}

/// The caller is one of the threads. Where the system gives no other, it does all the work.
fn on_threads<'a, T: Sync, R: Send>(
    threads: usize,
    items: &'a [T],
    work: &(impl Fn(&'a T) -> R + Sync),
) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let share = || {
        let mut done = Vec::new();
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            match items.get(at) {
                Some(item) => done.push((at, work(item))),
                None => return done,
            }
        }
    };
    let cancel = cancelled_by();
    let shared = || match &cancel {
        Some(cancel) => cancellable(cancel, share),
        None => share(),
    };
    let mut all = std::thread::scope(|scope| {
        let start = |_| std::thread::Builder::new().spawn_scoped(scope, shared).ok();
        let others: Vec<_> = (1..threads).filter_map(start).collect();
        let mut all = share();
        for other in others {
            all.extend(other.join().unwrap_or_else(|panic| resume_unwind(panic)));
        }
        all
    });
    all.sort_unstable_by_key(|(at, _)| *at);
    all.into_iter().map(|(_, made)| made).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Condvar;
    use std::time::Duration;

    use super::*;
    use crate::fs::check_cancelled;

    #[test]
    fn as_many_items_are_worked_on_at_once_as_there_are_threads_and_all_come_back_in_order() {
        let (begun, more) = (Mutex::new(0), Condvar::new());
        let made = on_threads(3, &[10, 20, 30, 40], &|item| {
            let mut count = begun.lock().expect("not poisoned");
            *count += 1;
            more.notify_all();
            let limit = Duration::from_mins(1);
            let (_count, waited) = more
                .wait_timeout_while(count, limit, |count| *count < 3)
                .expect("not poisoned");
            (item + 1, waited.timed_out())
        });
        let expected = [11, 21, 31, 41].map(|item| (item, false));
        assert_eq!(made, expected);
        assert_eq!(in_parallel(&[0; 0], |item| *item), [0; 0]);
    }

    #[test]
    fn what_cancels_the_reading_of_a_thread_cancels_that_of_its_helpers() {
        let (cancel, all) = (CancellationToken::new(), std::sync::Barrier::new(3));
        cancel.cancel();
        let read = |_: &u8| {
            all.wait();
            check_cancelled().is_ok()
        };
        let read = cancellable(&cancel, || on_threads(3, &[0; 3], &read));
        assert_eq!(read, [false; 3]);
    }

    #[tokio::test]
    async fn a_blocking_task_that_nobody_waits_for_reads_no_further() {
        let (sender, read) = std::sync::mpsc::channel();
        let task = spawn_blocking(move || {
            while check_cancelled().is_ok() {
                std::thread::yield_now();
            }
            sender.send(()).expect("waited for");
        });
        drop(task);
        // One that had not begun never does.
        let _ = read.recv();
    }
}
