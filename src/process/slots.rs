//! Limits how many compilers run on this machine, counted over all links that run on it.
//!
//! The first permit of a process is always free: it is the one that make gave the recipe, and
//! without make it keeps a link going however full the machine is. All further ones are tokens of
//! make's jobserver or locked files, one per processor. The kernel drops locks with the process
//! that holds them; the tokens of a process that is killed are lost to make.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::jobserver::{Jobserver, Token};
use super::slot_files::{SlotAttempt, SlotFiles, SlotLock};

/// How often a full machine is checked again.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);

/// Where permits come from.
#[derive(Debug)]
pub struct Slots {
    own: Arc<Semaphore>,
    others: Others,
}

#[derive(Debug)]
enum Others {
    Jobserver(Arc<Jobserver>),
    Files(SlotFiles),
    /// Permits are not counted.
    Unlimited,
}

/// The right to run one compiler.
#[derive(Debug)]
#[must_use = "dropping it gives it back"]
pub struct SlotPermit {
    _held: Held,
}

#[derive(Debug)]
#[expect(dead_code, reason = "what is held is given back on drop")]
enum Held {
    Own(OwnedSemaphorePermit),
    Token(Token),
    SlotLock(SlotLock),
    Nothing,
}

impl Slots {
    /// Permits from make's jobserver.
    #[must_use]
    pub fn of_jobserver(jobserver: Arc<Jobserver>) -> Self {
        Self::with(Others::Jobserver(jobserver))
    }

    /// `count` permits on this machine, shared by all processes whose state is in `dir`.
    #[must_use]
    pub fn of_machine(dir: &Path, count: usize) -> Self {
        Self::with(Others::Files(SlotFiles::of_machine(dir, count)))
    }

    /// The same without the first permit: for one of very many processes that all have a farm to do
    /// their work.
    #[must_use]
    pub fn of_machine_only(dir: &Path, count: usize) -> Self {
        Self {
            own: Arc::new(Semaphore::new(0)),
            ..Self::of_machine(dir, count)
        }
    }

    /// Any number of permits.
    #[must_use]
    pub fn unlimited() -> Self {
        Self::with(Others::Unlimited)
    }

    fn with(others: Others) -> Self {
        Self {
            own: Arc::new(Semaphore::new(1)),
            others,
        }
    }

    /// Waits for a permit. Must be called on a tokio runtime with I/O and time.
    pub async fn permit(&self) -> SlotPermit {
        let own = Arc::clone(&self.own).acquire_owned();
        let held = tokio::select! {
            biased;
            own = own => own.map_or(Held::Nothing, Held::Own),
            other = self.other() => other,
        };
        SlotPermit { _held: held }
    }

    async fn other(&self) -> Held {
        match &self.others {
            // If make has exited, its tokens no longer count.
            Others::Jobserver(jobserver) => {
                jobserver.token().await.map_or(Held::Nothing, Held::Token)
            }
            Others::Files(files) => loop {
                match files.attempt() {
                    SlotAttempt::Taken(slot) => return Held::SlotLock(slot),
                    SlotAttempt::Full => tokio::time::sleep(LOOK_INTERVAL).await,
                    SlotAttempt::Unlimited => return Held::Nothing,
                }
            },
            Others::Unlimited => Held::Nothing,
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::poll;

    use super::*;

    #[tokio::test]
    async fn links_share_the_machine_and_each_has_one_slot_of_its_own() {
        let dir = tempfile::tempdir().expect("a directory");
        let [one, other] = [2, 2].map(|count| Slots::of_machine(dir.path(), count));
        let mut of_one = Vec::new();
        for _ in 0..3 {
            of_one.push(one.permit().await);
        }
        let _own = other.permit().await;
        let mut waits = std::pin::pin!(other.permit());
        assert!(poll!(waits.as_mut()).is_pending(), "the machine is full");
        of_one.pop();
        let _shared = waits.await;
        let mut fourth = std::pin::pin!(one.permit());
        assert!(poll!(fourth.as_mut()).is_pending());
    }

    #[tokio::test]
    async fn a_process_without_a_permit_of_its_own_waits_for_one_of_the_machine() {
        let dir = tempfile::tempdir().expect("a directory");
        let slots = Slots::of_machine_only(dir.path(), 1);
        let first = slots.permit().await;
        let other = Slots::of_machine_only(dir.path(), 1);
        let mut second = std::pin::pin!(other.permit());
        assert!(poll!(second.as_mut()).is_pending());
        drop(first);
        let _second = second.await;
    }

    #[tokio::test]
    async fn a_process_takes_its_own_slot_again_when_it_is_free() {
        let dir = tempfile::tempdir().expect("a directory");
        let slots = Slots::of_machine(dir.path(), 0);
        let own = slots.permit().await;
        let mut second = std::pin::pin!(slots.permit());
        assert!(poll!(second.as_mut()).is_pending());
        drop(own);
        let _own = second.await;
    }

    #[tokio::test]
    async fn without_a_directory_there_is_no_limit() {
        let slots = Slots::of_machine(Path::new("/proc/nowhere"), 1);
        let _permits = [
            slots.permit().await,
            slots.permit().await,
            slots.permit().await,
        ];
    }
}
