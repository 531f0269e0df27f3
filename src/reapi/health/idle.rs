//! Notices that nothing happened for too long.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// Clones look at the same clock.
#[derive(Debug, Clone)]
pub(crate) struct IdleTimer {
    last: Arc<Mutex<Instant>>,
    timeout_left: Duration,
}

impl IdleTimer {
    pub(crate) fn new(timeout_left: Duration) -> Self {
        Self {
            last: Arc::new(Mutex::new(Instant::now())),
            timeout_left,
        }
    }

    /// Something happened.
    pub(crate) fn touch(&self) {
        *self.last.lock().expect("nothing panics while it is held") = Instant::now();
    }

    fn due(&self) -> Instant {
        *self.last.lock().expect("nothing panics while it is held") + self.timeout_left
    }

    /// Returns when nothing has happened for as long as the patience lasts.
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
    async fn it_barks_only_after_a_whole_silence() {
        let idle = IdleTimer::new(Duration::from_mins(1));
        let began = Instant::now();
        let bark = async {
            idle.expired().await;
            began.elapsed()
        };
        let noise = async {
            tokio::time::sleep(Duration::from_secs(50)).await;
            idle.touch();
        };
        let (after, ()) = tokio::join!(bark, noise);
        assert_eq!(after, Duration::from_secs(110));
    }
}
