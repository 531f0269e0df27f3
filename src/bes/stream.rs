//! Sends the events of a queue until the server has acknowledged all of them.
//!
//! Events are sent while acknowledgements are read: a server whose acknowledgements nothing reads
//! stops reading events. A server may acknowledge events one by one, in batches, or all at the end;
//! a stream that breaks begins again behind the last acknowledged event. Neither is there a time by
//! which something must be acknowledged, as long as the stream is open: the one who waits has a
//! limit.

use std::sync::Arc;
use std::time::Duration;

use futures_util::stream;
use tokio::time::{sleep, timeout};

use super::options::BesOptions;
use super::queue::{EventQueue, NumberedEvent};
use crate::pb::build_events::build_event::{
    BuildComponentStreamFinished, Event, build_component_stream_finished::FinishType,
};
use crate::pb::build_events::stream_id::BuildComponent;
use crate::pb::build_events::{
    BuildEvent, OrderedBuildEvent, PublishBuildToolEventStreamRequest, StreamId,
};
use crate::reapi::{EventService, Failure, FailureKind, Header, Rpc, event_failure};

/// Attempts after one that made no progress, once all events are there.
const RETRIES: u32 = 4;
/// The pause before another attempt, by how much it grows, and its limit.
const PAUSE: Duration = Duration::from_secs(1);
const GROWTH: f64 = 1.6;
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// Attempts in all: a server that takes one event at a time is no use.
const MOST_ATTEMPTS: u32 = 100;

/// How long the server may take to end a stream that it has acknowledged.
const GOODBYE: Duration = Duration::from_millis(500);

const RPC: Rpc = Rpc::PublishBuildToolEventStream;

/// Who sends: what each message says besides its event.
#[derive(Debug, Clone)]
pub(super) struct Sender {
    pub(super) stream: StreamId,
    pub(super) keywords: Vec<String>,
    pub(super) project: String,
}

impl Sender {
    pub(super) fn new(options: &BesOptions, command: &str) -> Self {
        let caller = &options.transport.caller;
        // Servers tell builds apart by it; a link outside of a known build is one of its own.
        let build_id = if caller.build_request_id.is_empty() {
            caller.invocation_id.clone()
        } else {
            caller.build_request_id.clone()
        };
        Self {
            stream: StreamId {
                build_id,
                component: BuildComponent::Tool.into(),
                invocation_id: caller.invocation_id.clone(),
            },
            keywords: vec![
                format!("command_name={command}"),
                "protocol_name=BEP".to_owned(),
            ],
            project: options.instance_name.clone(),
        }
    }

    fn message(&self, event: NumberedEvent) -> PublishBuildToolEventStreamRequest {
        let time = event.time();
        let is_first = event.number == 1;
        let payload = match event.event {
            Some(bytes) => Event::BazelEvent(prost_types::Any {
                type_url: "type.googleapis.com/build_event_stream.BuildEvent".to_owned(),
                value: bytes,
            }),
            None => Event::ComponentStreamFinished(BuildComponentStreamFinished {
                r#type: FinishType::Finished.into(),
            }),
        };
        PublishBuildToolEventStreamRequest {
            ordered_build_event: Some(OrderedBuildEvent {
                stream_id: Some(self.stream.clone()),
                sequence_number: event.number,
                event: Some(BuildEvent {
                    event_time: Some(time),
                    event: Some(payload),
                }),
            }),
            notification_keywords: if is_first {
                self.keywords.clone()
            } else {
                Vec::new()
            },
            project_id: self.project.clone(),
        }
    }
}

/// Publishes all events of `queue`, to its end.
///
/// # Errors
/// The server refuses them, or has failed too often.
pub(super) async fn publish(
    service: &EventService,
    sender: &Sender,
    queue: &Arc<EventQueue>,
) -> Result<(), Failure> {
    let mut fruitless = 0;
    let mut renewed = false;
    let mut of_another_server = None;
    for _ in 0..MOST_ATTEMPTS {
        let before = queue.acknowledged();
        let (failure, used) = match attempt(service, sender, queue).await {
            Ok(()) => return Ok(()),
            Err(ended) => ended,
        };
        tracing::debug!("the stream of build events broke: {failure}");
        if !renewed && service.renew(&failure, &used).await {
            renewed = true;
            continue;
        }
        if !failure.is_transient() {
            return Err(failure);
        }
        if failure.is_of_another_server() {
            of_another_server.get_or_insert_with(|| failure.clone());
        }
        if queue.acknowledged() > before {
            fruitless = 0;
        }
        // A server may come back while the link goes on; there is nothing to be late for.
        if queue.is_complete() && fruitless >= RETRIES {
            return Err(failure.or_earlier(of_another_server));
        }
        let was_complete = queue.is_complete();
        tokio::select! {
            () = sleep(pause(fruitless)) => {}
            () = queue.completed(), if !was_complete => {}
        }
        fruitless += 1;
        if !was_complete && queue.is_complete() {
            fruitless = 0;
        }
    }
    let text = "the server has broken the stream too often";
    Err(Failure::new(FailureKind::GivenUp, RPC, text))
}

fn pause(fruitless: u32) -> Duration {
    let factor = GROWTH.powi(i32::try_from(fruitless.min(20)).unwrap_or_default());
    PAUSE.mul_f64(factor).min(LONGEST_PAUSE)
}

/// One stream, from the first event that is not acknowledged. The second part of an error are the
/// credentials that were used.
async fn attempt(
    service: &EventService,
    sender: &Sender,
    queue: &Arc<EventQueue>,
) -> Result<(), (Failure, Vec<Header>)> {
    let (events, first) = (Arc::clone(queue), queue.acknowledged() + 1);
    let of_each = sender.clone();
    // The stream of requests ends behind the last event, which closes this half of the call.
    let messages = stream::unfold(first, move |number| {
        let (events, sender) = (Arc::clone(&events), of_each.clone());
        async move {
            let event = events.next(number).await?;
            let next = event.number + 1;
            Some((sender.message(event), next))
        }
    });
    let request = service.request(RPC, messages).await;
    let (request, used) = request.map_err(|failure| (failure, Vec::new()))?;
    let failed = |failure| (failure, used.clone());
    let refused = |status| failed(event_failure(RPC, &status));
    let mut client = service.client();
    // Some servers answer only once they have an event, so events are sent meanwhile.
    let answer = client.publish_build_tool_event_stream(request).await;
    let mut answers = answer.map_err(refused)?.into_inner();
    while let Some(answer) = answers.message().await.map_err(refused)? {
        if queue.acknowledge(answer.sequence_number).is_err() {
            let text = "the server acknowledges events that it was not sent";
            return Err(failed(Failure::new(FailureKind::Corrupt, RPC, text)));
        }
        if queue.is_done() {
            // The server has everything. How it says goodbye changes nothing.
            let _ = timeout(GOODBYE, answers.message()).await;
            return Ok(());
        }
    }
    let text = "the server ended the stream before it had acknowledged all events";
    let kind = FailureKind::Transient { retry_after: None };
    Err(failed(Failure::new(kind, RPC, text)))
}
