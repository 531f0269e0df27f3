//! Notices that nothing happened for too long.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// Clones look at the same clock.
#[derive(Debug, Clone)]
pub(super) struct Watchdog {
    last: Arc<Mutex<Instant>>,
    patience: Duration,
}

impl Watchdog {
    pub(super) fn new(patience: Duration) -> Self {
        Self {
            last: Arc::new(Mutex::new(Instant::now())),
            patience,
        }
    }

    /// Something happened.
    pub(super) fn touch(&self) {
        *self.last.lock().expect("nothing panics while it is held") = Instant::now();
    }

    fn due(&self) -> Instant {
        *self.last.lock().expect("nothing panics while it is held") + self.patience
    }

    /// Returns when nothing has happened for as long as the patience lasts.
    pub(super) async fn barks(&self) {
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
        let dog = Watchdog::new(Duration::from_mins(1));
        let began = Instant::now();
        let bark = async {
            dog.barks().await;
            began.elapsed()
        };
        let noise = async {
            tokio::time::sleep(Duration::from_secs(50)).await;
            dog.touch();
        };
        let (after, ()) = tokio::join!(bark, noise);
        assert_eq!(after, Duration::from_secs(110));
    }
}
