//! The events about the invocation itself, which some strict servers want around its stream. They
//! are sent if the user asks for them; a server that refuses them costs no more than a note.

use std::time::{Duration, SystemTime};

use tokio::time::timeout;

use super::invocation::Outcome;
use super::stream::Sender;
use crate::pb::build_events::build_event::{
    BuildEnqueued, BuildFinished, Event, InvocationAttemptFinished, InvocationAttemptStarted,
};
use crate::pb::build_events::build_status::Result as StatusResult;
use crate::pb::build_events::publish_lifecycle_event_request::ServiceLevel;
use crate::pb::build_events::stream_id::BuildComponent;
use crate::pb::build_events::{
    BuildEvent, BuildStatus, OrderedBuildEvent, PublishLifecycleEventRequest, StreamId,
};
use crate::reapi::{EventService, Failure, Rpc, event_failure};

/// How long each call may take.
const LONGEST_CALL: Duration = Duration::from_secs(5);

const RPC: Rpc = Rpc::PublishLifecycleEvent;

/// Says that the invocation has begun.
pub(super) async fn begin(service: &EventService, sender: &Sender) {
    let enqueued = Event::BuildEnqueued(BuildEnqueued {});
    let started = Event::InvocationAttemptStarted(InvocationAttemptStarted { attempt_number: 1 });
    send(service, sender, [(false, 1, enqueued), (true, 1, started)]).await;
}

/// Says how it has ended.
pub(super) async fn end(service: &EventService, sender: &Sender, outcome: &Outcome) {
    let result = match outcome {
        Outcome::Succeeded => StatusResult::CommandSucceeded,
        Outcome::Failed(_) => StatusResult::CommandFailed,
        Outcome::FarmFailed(_) => StatusResult::SystemError,
        Outcome::Interrupted => StatusResult::Cancelled,
    };
    let status = || {
        Some(BuildStatus {
            result: result.into(),
            final_invocation_id: sender.stream.invocation_id.clone(),
            build_tool_exit_code: None,
        })
    };
    let attempt = Event::InvocationAttemptFinished(InvocationAttemptFinished {
        invocation_status: status(),
    });
    let finished = Event::BuildFinished(BuildFinished { status: status() });
    send(service, sender, [(true, 2, attempt), (false, 2, finished)]).await;
}

/// Each is of the attempt, or else of the build, and has its number among those.
async fn send(service: &EventService, sender: &Sender, events: [(bool, i64, Event); 2]) {
    for (of_attempt, number, event) in events {
        let sent = timeout(
            LONGEST_CALL,
            call(service, sender, of_attempt, number, event),
        )
        .await;
        match sent {
            Ok(Ok(())) => {}
            Ok(Err(failure)) => {
                tracing::info!("lifecycle events are not published: {failure}");
                return;
            }
            Err(_) => {
                tracing::info!("lifecycle events are not published: no answer");
                return;
            }
        }
    }
}

async fn call(
    service: &EventService,
    sender: &Sender,
    of_attempt: bool,
    number: i64,
    event: Event,
) -> Result<(), Failure> {
    let invocation_id = if of_attempt {
        sender.stream.invocation_id.clone()
    } else {
        String::new()
    };
    let message = PublishLifecycleEventRequest {
        service_level: ServiceLevel::Interactive.into(),
        build_event: Some(OrderedBuildEvent {
            stream_id: Some(StreamId {
                build_id: sender.stream.build_id.clone(),
                component: BuildComponent::Controller.into(),
                invocation_id,
            }),
            sequence_number: number,
            event: Some(BuildEvent {
                event_time: Some(SystemTime::now().into()),
                event: Some(event),
            }),
        }),
        notification_keywords: sender.keywords.clone(),
        project_id: sender.project.clone(),
    };
    let (request, _) = service.request(RPC, message).await?;
    let mut client = service.client();
    let called = client.publish_lifecycle_event(request).await;
    called.map_err(|status| event_failure(RPC, &status))?;
    Ok(())
}
