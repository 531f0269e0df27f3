//! The events of one stream: numbered as they are put in, and kept until the server has
//! acknowledged them.
//!
//! Servers demand numbers without a gap, and the same content under the same number when a stream
//! is resent. So what has a number is never dropped; an event that there is no room for is dropped
//! before it gets one. Some servers acknowledge nothing before the end, so the queue holds a whole
//! stream, within [`CAPACITY`].

use std::collections::VecDeque;
use std::sync::Mutex;
use std::time::{SystemTime, UNIX_EPOCH};

use prost::Message as _;
use prost_types::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use crate::pb::build_event_stream::BuildEvent;
use crate::task::lock;

/// Bytes of events that are kept.
const CAPACITY: usize = 8 << 20;
/// What of it is only for events that must come.
const RESERVED: usize = 2 << 20;
/// What an event counts beside its own bytes.
const OVERHEAD: usize = 128;

/// An event with its number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct NumberedEvent {
    pub(super) number: i64,
    /// Seconds and nanoseconds since 1970.
    time: (i64, i32),
    /// The encoded event; `None` for the end of the stream.
    pub(super) event: Option<Vec<u8>>,
}

impl NumberedEvent {
    pub(super) fn time(&self) -> Timestamp {
        Timestamp {
            seconds: self.time.0,
            nanos: self.time.1,
        }
    }

    fn size(&self) -> usize {
        self.event.as_ref().map_or(0, Vec::len) + OVERHEAD
    }
}

/// The server acknowledged what it was not sent.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NeverSent;

/// A queue of numbered events. Any thread may put events in; one stream at a time takes them out.
#[derive(Debug, Default)]
pub(super) struct EventQueue {
    state: Mutex<EventQueueState>,
    /// Notified when there is more to send.
    more: Notify,
    /// Notified when no more events come.
    completed: Notify,
}

#[derive(Debug, Default)]
struct EventQueueState {
    /// Those that are not acknowledged; numbers are consecutive.
    events: VecDeque<NumberedEvent>,
    bytes: usize,
    last: i64,
    acknowledged: i64,
    /// The greatest number that a stream was given.
    sent: i64,
    complete: bool,
    /// The time of the last event: times never go back.
    time: (i64, i32),
}

impl EventQueue {
    /// A queue that goes on where another has ended.
    pub(super) fn resumed(events: Vec<NumberedEvent>) -> Self {
        let queue = Self::default();
        {
            let mut state = lock(&queue.state);
            state.last = events.last().map_or(0, |event| event.number);
            state.acknowledged = events.first().map_or(state.last, |event| event.number - 1);
            state.complete = events.last().is_some_and(|event| event.event.is_none());
            state.bytes = events.iter().map(NumberedEvent::size).sum();
            state.events = events.into();
        }
        queue
    }

    /// Numbers `event`. Returns false, without a number, if there is no room left for events that
    /// can be done without.
    pub(super) fn push_optional(&self, event: &BuildEvent, at: SystemTime) -> bool {
        self.add(Some(event.encode_to_vec()), at, CAPACITY - RESERVED)
    }

    /// Numbers an event that must come: there are few, and they are small.
    pub(super) fn push(&self, event: &BuildEvent, at: SystemTime) {
        self.add(Some(event.encode_to_vec()), at, usize::MAX);
    }

    /// Ends the stream.
    pub(super) fn complete(&self, at: SystemTime) {
        self.add(None, at, usize::MAX);
        self.completed.notify_waiters();
    }

    fn add(&self, event: Option<Vec<u8>>, at: SystemTime, capacity: usize) -> bool {
        let mut state = lock(&self.state);
        let numbered = NumberedEvent {
            number: state.last + 1,
            time: state.time.max(since_1970(at)),
            event,
        };
        if state.complete || state.bytes + numbered.size() > capacity {
            return false;
        }
        state.last = numbered.number;
        state.time = numbered.time;
        state.bytes += numbered.size();
        state.complete = numbered.event.is_none();
        state.events.push_back(numbered);
        drop(state);
        self.more.notify_waiters();
        true
    }

    /// The event with this number, as soon as there is one; `None` behind the last.
    pub(super) async fn next(&self, number: i64) -> Option<NumberedEvent> {
        loop {
            let mut more = std::pin::pin!(self.more.notified());
            more.as_mut().enable();
            {
                let mut state = lock(&self.state);
                // A server that acknowledges early may be ahead of the sender.
                let first = state.acknowledged + 1;
                let at = usize::try_from(number.max(first) - first).ok()?;
                if let Some(event) = state.events.get(at).cloned() {
                    state.sent = state.sent.max(event.number);
                    return Some(event);
                }
                if state.complete {
                    return None;
                }
            }
            more.await;
        }
    }

    /// The server has all events up to `number`.
    ///
    /// # Errors
    /// It was not sent that one.
    pub(super) fn acknowledge(&self, number: i64) -> Result<(), NeverSent> {
        let mut state = lock(&self.state);
        if number > state.sent.max(state.acknowledged) {
            return Err(NeverSent);
        }
        while state
            .events
            .front()
            .is_some_and(|event| event.number <= number)
        {
            let event = state.events.pop_front();
            state.bytes -= event.map_or(0, |event| event.size());
        }
        state.acknowledged = state.acknowledged.max(number);
        Ok(())
    }

    /// The greatest number that was acknowledged.
    pub(super) fn acknowledged(&self) -> i64 {
        lock(&self.state).acknowledged
    }

    /// Whether every event has come, and was acknowledged.
    pub(super) fn is_done(&self) -> bool {
        let state = lock(&self.state);
        state.complete && state.events.is_empty()
    }

    /// Whether no more events come.
    pub(super) fn is_complete(&self) -> bool {
        lock(&self.state).complete
    }

    /// Resolves when no more events come.
    pub(super) async fn completed(&self) {
        let mut completed = std::pin::pin!(self.completed.notified());
        completed.as_mut().enable();
        if !self.is_complete() {
            completed.await;
        }
    }

    /// What is not acknowledged.
    pub(super) fn remaining(&self) -> Vec<NumberedEvent> {
        lock(&self.state).events.iter().cloned().collect()
    }
}

fn since_1970(time: SystemTime) -> (i64, i32) {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    (
        i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
        i32::try_from(since.subsec_nanos()).unwrap_or_default(),
    )
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::pb::build_event_stream::{Progress, build_event::Payload};

    fn event(text: &str) -> BuildEvent {
        BuildEvent {
            payload: Some(Payload::Progress(Progress {
                stderr: text.to_owned(),
                ..Progress::default()
            })),
            ..BuildEvent::default()
        }
    }

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    async fn taken(queue: &EventQueue, from: i64) -> Vec<i64> {
        let mut numbers = Vec::new();
        let mut next = from;
        while let Some(event) = queue.next(next).await {
            next = event.number + 1;
            numbers.push(event.number);
        }
        numbers
    }

    #[tokio::test]
    async fn numbers_are_consecutive_and_a_resent_event_keeps_number_time_and_bytes() {
        let queue = EventQueue::default();
        for (nth, text) in ["a", "b", "c"].into_iter().enumerate() {
            queue.push(&event(text), at(nth as u64));
        }
        queue.complete(at(9));
        assert_eq!(taken(&queue, 1).await, [1, 2, 3, 4]);
        let before = queue.next(3).await;
        queue.acknowledge(2).expect("it was sent");
        assert_eq!(queue.next(3).await, before);
        assert_eq!(taken(&queue, queue.acknowledged() + 1).await, [3, 4]);
        assert!(!queue.is_done());
        queue.acknowledge(4).expect("it was sent");
        assert!(queue.is_done());
    }

    #[tokio::test]
    async fn what_was_not_sent_cannot_be_acknowledged() {
        let queue = EventQueue::default();
        queue.push(&event("a"), at(0));
        queue.push(&event("b"), at(0));
        queue.next(1).await.expect("the first");
        assert_eq!(queue.acknowledge(2), Err(NeverSent));
        assert_eq!(queue.acknowledge(1), Ok(()));
        assert_eq!(queue.acknowledge(1), Ok(()));
    }

    #[tokio::test]
    async fn a_full_queue_drops_before_it_numbers_and_keeps_room_for_the_end() {
        let queue = EventQueue::default();
        let large = event(&"x".repeat(1 << 20));
        let taken_in = (0..100)
            .filter(|_| queue.push_optional(&large, at(0)))
            .count();
        assert_eq!(taken_in, (CAPACITY - RESERVED) / (1 << 20) - 1);
        queue.push(&event("end"), at(0));
        queue.complete(at(0));
        let last = i64::try_from(taken_in).expect("a few") + 2;
        assert_eq!(taken(&queue, 1).await, (1..=last).collect::<Vec<_>>());
    }

    #[tokio::test]
    async fn times_never_go_back() {
        let queue = EventQueue::default();
        queue.push(&event("a"), at(5));
        queue.push(&event("b"), at(3));
        let time = |event: Option<NumberedEvent>| event.expect("an event").time().seconds;
        assert_eq!(time(queue.next(1).await), 5);
        assert_eq!(time(queue.next(2).await), 5);
    }

    #[tokio::test]
    async fn another_process_goes_on_with_the_same_numbers() {
        let queue = EventQueue::default();
        for text in ["a", "b", "c"] {
            queue.push(&event(text), at(1));
        }
        queue.complete(at(2));
        taken(&queue, 1).await;
        queue.acknowledge(2).expect("it was sent");
        let resumed = EventQueue::resumed(queue.remaining());
        assert_eq!(resumed.acknowledged(), 2);
        assert_eq!(taken(&resumed, 3).await, [3, 4]);
        resumed.acknowledge(4).expect("it was sent");
        assert!(resumed.is_done());
    }
}
