//! Workers that read no action: a result is known by the target's name, and takes its time.
//!
//! For benchmarks, which must not measure the farm: a job costs it a lookup and a timer.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use prost_types::Timestamp;
use relto::internals::digest::Digest;
use relto::internals::pb::reapi::{ActionResult, ExecutedActionMetadata, OutputFile};
use tokio::sync::Semaphore;

/// What a job takes and leaves.
#[derive(Debug, Clone)]
pub struct TimedResult {
    pub takes: Duration,
    pub object: Bytes,
    pub digest: Digest,
}

impl TimedResult {
    /// The result of an action whose outputs are `paths`: each is the object.
    pub(super) fn to_pb(&self, paths: &[String]) -> ActionResult {
        let outputs = paths.iter().map(|path| OutputFile {
            path: path.clone(),
            digest: Some(self.digest.to_pb()),
            ..OutputFile::default()
        });
        let takes = self.takes.max(Duration::from_nanos(1));
        let end = Timestamp {
            seconds: i64::try_from(takes.as_secs()).expect("a job's time"),
            nanos: i32::try_from(takes.subsec_nanos()).expect("less than a second"),
        };
        ActionResult {
            output_files: outputs.collect(),
            execution_metadata: Some(ExecutedActionMetadata {
                execution_start_timestamp: Some(Timestamp::default()),
                execution_completed_timestamp: Some(end),
                ..ExecutedActionMetadata::default()
            }),
            ..ActionResult::default()
        }
    }
}

/// A number of workers, and by `RequestMetadata.target_id` what they make.
#[derive(Clone)]
pub struct TimedWorkers {
    slots: Arc<Semaphore>,
    results: Arc<dyn Fn(&str) -> TimedResult + Send + Sync>,
}

impl TimedWorkers {
    pub fn new(
        slots: usize,
        results: impl Fn(&str) -> TimedResult + Send + Sync + 'static,
    ) -> Self {
        Self {
            slots: Arc::new(Semaphore::new(slots)),
            results: Arc::new(results),
        }
    }

    /// Waits for a slot, and holds it as long as the job takes.
    pub(super) async fn run(&self, target: &str) -> TimedResult {
        let result = (self.results)(target);
        let slot = self.slots.acquire().await.expect("never closed");
        tokio::time::sleep(result.takes).await;
        drop(slot);
        result
    }
}
