//! Notices that a call has made no progress for too long.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use crate::task::lock;

/// Expires after a time without progress. Clones share one clock.
#[derive(Debug, Clone)]
pub(crate) struct IdleTimer {
    last: Arc<Mutex<Instant>>,
    timeout: Duration,
}

impl IdleTimer {
    pub(crate) fn new(timeout: Duration) -> Self {
        Self {
            last: Arc::new(Mutex::new(Instant::now())),
            timeout,
        }
    }

    /// Restarts the timeout after progress.
    pub(crate) fn reset(&self) {
        *lock(&self.last) = Instant::now();
    }

    fn due(&self) -> Instant {
        *lock(&self.last) + self.timeout
    }

    /// Resolves when there has been no progress for the whole timeout.
    pub(crate) async fn expired(&self) {
        loop {
            let due = self.due();
            sleep_until(due).await;
            if self.due() == due {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_expires_a_whole_timeout_after_the_last_reset() {
        let timer = IdleTimer::new(Duration::from_mins(1));
        let began = Instant::now();
        let expiry = async {
            timer.expired().await;
            began.elapsed()
        };
        let progress = async {
            tokio::time::sleep(Duration::from_secs(50)).await;
            timer.reset();
        };
        let (after, ()) = tokio::join!(expiry, progress);
        assert_eq!(after, Duration::from_secs(110));
    }
}
