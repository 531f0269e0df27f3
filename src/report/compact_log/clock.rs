//! How the time of a job divides into the steps that a spawn's metrics name.

use std::time::Duration;

use crate::events::JobStep;
use crate::pb::spawn::SpawnMetrics;

/// The time that a job has taken on one side.
#[derive(Debug, Default)]
pub(super) struct JobClock {
    /// When the attempt under way began.
    pub(super) began: Option<Duration>,
    steps: Vec<(JobStep, Duration)>,
    pub(super) executed: Option<Duration>,
    /// Of attempts that have ended without a result.
    pub(super) lost: Duration,
}

impl JobClock {
    pub(super) fn has_run(&self) -> bool {
        self.began.is_some() || self.lost > Duration::ZERO
    }

    pub(super) fn advance(&mut self, step: JobStep, at: Duration) {
        self.began.get_or_insert(at);
        if self.steps.last().is_none_or(|(last, _)| *last != step) {
            self.steps.push((step, at));
        }
    }

    pub(super) fn stop(&mut self, at: Duration) {
        if let Some(began) = self.began.take() {
            self.lost += at.saturating_sub(began);
        }
        self.steps.clear();
        self.executed = None;
    }

    /// Splits the time until `at` into steps.
    pub(super) fn split(&self, at: Duration, metrics: &mut SpawnMetrics) {
        let ends = self.steps.iter().skip(1).map(|(_, start)| *start);
        let is_told = self.steps.iter().any(|(step, _)| *step == JobStep::Execute);
        for ((step, start), end) in self.steps.iter().zip(ends.chain([at])) {
            let mut time = end.saturating_sub(*start);
            let field = match step {
                JobStep::LookUp => &mut metrics.network_time,
                JobStep::Upload => &mut metrics.upload_time,
                JobStep::Queue => {
                    // Not every server says when a worker begins.
                    let executed = self.executed.filter(|_| !is_told);
                    let executed = executed.unwrap_or_default().min(time);
                    if executed > Duration::ZERO {
                        metrics.execution_wall_time = protobuf(executed);
                    }
                    time -= executed;
                    &mut metrics.queue_time
                }
                JobStep::Execute => &mut metrics.execution_wall_time,
                JobStep::Fetch => &mut metrics.fetch_time,
                JobStep::Write => &mut metrics.process_outputs_time,
            };
            *field = protobuf(time);
        }
    }
}

pub(super) fn protobuf(time: Duration) -> Option<prost_types::Duration> {
    prost_types::Duration::try_from(time).ok()
}
