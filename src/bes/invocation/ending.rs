//! The end of an invocation: its target, the failed actions, how it finished, and what it counted.

use std::collections::BTreeMap;
use std::time::SystemTime;

use super::{
    CONFIGURATION, FailedAction, InvocationEvents, LONGEST_MESSAGE, LONGEST_STDERR, MNEMONIC,
    Outcome, PROGRESS_PIECE, count, millis, stderr, timestamp,
};
use crate::bes::ids;
use crate::bes::queue::EventQueue;
use crate::bes::text::published;
use crate::pb::build_event_stream::aborted::AbortReason;
use crate::pb::build_event_stream::build_event::Payload;
use crate::pb::build_event_stream::build_finished::ExitCode;
use crate::pb::build_event_stream::build_metrics::action_summary::{ActionData, RunnerCount};
use crate::pb::build_event_stream::build_metrics::network_metrics::SystemNetworkStats;
use crate::pb::build_event_stream::build_metrics::{
    ActionSummary, NetworkMetrics, TargetMetrics, TimingMetrics,
};
use crate::pb::build_event_stream::file::File as Contents;
use crate::pb::build_event_stream::{
    Aborted, ActionExecuted, BuildEvent, BuildFinished, BuildMetrics, BuildToolLogs, File,
    TargetComplete,
};
use crate::pb::failure_details::failure_detail::Category;
use crate::pb::failure_details::{FailureDetail, Interrupted, Spawn, interrupted, spawn};

impl InvocationEvents {
    /// Ends the invocation, but for the logs that it announces if there are to be some: then
    /// [`close`] has the last word.
    pub(in crate::bes) fn end(&mut self, outcome: &Outcome, with_logs: bool, at: SystemTime) {
        self.flush(at);
        self.last_progress_event(outcome, at);
        self.complete_target(outcome, at);
        let detail = self.failure_detail(outcome);
        let mut children = vec![ids::build_metrics()];
        children.extend(with_logs.then(ids::build_tool_logs));
        let (name, code) = exit_code(outcome);
        self.event_at(
            ids::build_finished(),
            children,
            Payload::Finished(BuildFinished {
                exit_code: Some(ExitCode {
                    name: name.to_owned(),
                    code,
                }),
                finish_time: Some(timestamp(at)),
                failure_detail: detail,
            }),
            false,
            at,
        );
        let metrics = Payload::BuildMetrics(self.metrics(at));
        self.event_at(ids::build_metrics(), Vec::new(), metrics, !with_logs, at);
        if !with_logs {
            self.queue.complete(at);
        }
    }

    /// The one that was announced last. It announces no other.
    fn last_progress_event(&self, outcome: &Outcome, at: SystemTime) {
        let mut text = format!("relto: {}", self.summary());
        match outcome {
            Outcome::Succeeded => {}
            Outcome::Failed(reason) | Outcome::FarmFailed(reason) => {
                text = format!("{text}\n{reason}");
            }
            Outcome::Interrupted => text.push_str(", interrupted"),
        }
        for (count, what) in [
            (self.left_out, "pieces of text"),
            (self.more_failures, "more failed actions"),
        ] {
            if count > 0 {
                text = format!("{text}\n{count} {what} left out");
            }
        }
        let text = published(&text, &self.dir, PROGRESS_PIECE) + "\n";
        let id = ids::progress(self.progress);
        self.event_at(id, Vec::new(), stderr(text), false, at);
    }

    /// The failed actions come behind their target, which announces them as its causes.
    fn complete_target(&self, outcome: &Outcome, at: SystemTime) {
        let id = ids::target_completed(&self.label, CONFIGURATION);
        if *outcome == Outcome::Interrupted {
            let aborted = Payload::Aborted(Aborted {
                reason: AbortReason::UserInterrupted.into(),
                description: "interrupted".to_owned(),
            });
            self.event_at(id, Vec::new(), aborted, false, at);
            return;
        }
        // Two failures of one module are one action.
        let failed: BTreeMap<String, &FailedAction> = self
            .failures
            .iter()
            .map(|it| (published(&it.module, &self.dir, LONGEST_MESSAGE), it))
            .collect();
        let action = |output: &str| ids::action_completed(output, &self.label, CONFIGURATION);
        self.event_at(
            id,
            failed.keys().map(|output| action(output)).collect(),
            Payload::Completed(TargetComplete {
                success: *outcome == Outcome::Succeeded,
                failure_detail: self.failure_detail(outcome),
            }),
            false,
            at,
        );
        for (output, failed) in failed {
            let payload = Payload::Action(self.failed_action(failed, at));
            self.event_at(action(&output), Vec::new(), payload, false, at);
        }
    }

    fn failed_action(&self, failed: &FailedAction, at: SystemTime) -> ActionExecuted {
        let text = published(&failed.stderr, &self.dir, LONGEST_STDERR);
        let stderr = (!text.is_empty()).then(|| File {
            name: "stderr".to_owned(),
            digest: String::new(),
            length: i64::try_from(text.len()).unwrap_or_default(),
            file: Some(Contents::Contents(text.into_bytes().into())),
        });
        ActionExecuted {
            success: false,
            exit_code: failed.exit_code,
            stderr,
            r#type: MNEMONIC.to_owned(),
            failure_detail: Some(FailureDetail {
                message: published(&failed.reason, &self.dir, LONGEST_MESSAGE),
                category: Some(Category::Spawn(Spawn {
                    code: spawn::Code::NonZeroExit.into(),
                    spawn_exit_code: failed.exit_code,
                })),
            }),
            start_time: Some(timestamp(self.first_started.unwrap_or(self.started))),
            end_time: Some(timestamp(at)),
        }
    }

    fn failure_detail(&self, outcome: &Outcome) -> Option<FailureDetail> {
        let (message, category) = match outcome {
            Outcome::Succeeded => return None,
            Outcome::Failed(reason) => (
                reason.as_str(),
                Category::Spawn(Spawn {
                    code: spawn::Code::NonZeroExit.into(),
                    spawn_exit_code: 1,
                }),
            ),
            Outcome::FarmFailed(reason) => (
                reason.as_str(),
                Category::Spawn(Spawn {
                    code: spawn::Code::ExecutionFailed.into(),
                    spawn_exit_code: 0,
                }),
            ),
            Outcome::Interrupted => (
                "interrupted",
                Category::Interrupted(Interrupted {
                    code: interrupted::Code::Build.into(),
                }),
            ),
        };
        Some(FailureDetail {
            message: published(message, &self.dir, LONGEST_MESSAGE),
            category: Some(category),
        })
    }

    fn metrics(&self, at: SystemTime) -> BuildMetrics {
        let counts = &self.counts;
        let executed = count(counts.remote + counts.local + counts.in_place);
        let runner = |name: &str, number: usize, kind: &str| RunnerCount {
            name: name.to_owned(),
            count: i32::try_from(number).unwrap_or(i32::MAX),
            exec_kind: kind.to_owned(),
        };
        let places = [
            runner("disk cache hit", counts.disk_cache, ""),
            runner("remote cache hit", counts.remote_cache, ""),
            runner("deduplicated", counts.shared, ""),
            runner("remote", counts.remote, "Remote"),
            runner("local", counts.local + counts.in_place, "Local"),
        ];
        let mut runner_count = vec![runner("total", counts.total(), "")];
        runner_count.extend(places.into_iter().filter(|place| place.count > 0));
        let wall = millis(at) - millis(self.started);
        BuildMetrics {
            action_summary: Some(ActionSummary {
                actions_created: count(self.jobs),
                actions_executed: executed,
                action_data: vec![ActionData {
                    mnemonic: MNEMONIC.to_owned(),
                    actions_executed: executed,
                    first_started_ms: self.first_started.map(millis).unwrap_or_default(),
                    last_ended_ms: self.last_ended.map(millis).unwrap_or_default(),
                    actions_created: count(self.jobs),
                }],
                runner_count,
            }),
            target_metrics: Some(TargetMetrics {
                targets_configured: 1,
            }),
            timing_metrics: Some(TimingMetrics {
                wall_time_in_ms: wall,
                execution_phase_time_in_ms: wall,
            }),
            network_metrics: Some(NetworkMetrics {
                system_network_stats: Some(SystemNetworkStats {
                    bytes_sent: self.transferred.0,
                    bytes_recv: self.transferred.1,
                }),
            }),
        }
    }
}

/// Says where the logs are, and ends the stream.
pub(in crate::bes) fn close(queue: &EventQueue, log: Vec<File>, at: SystemTime) {
    let event = BuildEvent {
        id: Some(ids::build_tool_logs()),
        children: Vec::new(),
        payload: Some(Payload::BuildToolLogs(BuildToolLogs { log })),
        last_message: true,
    };
    queue.push(&event, at);
    queue.complete(at);
}

/// Bazel's names and numbers. A server may cancel what the invocation still executes when it was
/// interrupted.
fn exit_code(outcome: &Outcome) -> (&'static str, i32) {
    match outcome {
        Outcome::Succeeded => ("SUCCESS", 0),
        Outcome::Failed(_) => ("BUILD_FAILURE", 1),
        Outcome::FarmFailed(_) => ("REMOTE_ERROR", 34),
        Outcome::Interrupted => ("INTERRUPTED", 8),
    }
}
