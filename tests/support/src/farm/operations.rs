//! Operations: what runs, which clients watch it, and how it is cancelled.
//!
//! An operation has a name and its messages so far, which outlive the stream of the client that
//! started it. What the messages say is up to `execution`.

use std::collections::HashMap;

use relto::internals::digest::Digest;
use relto::internals::pb::longrunning::operations_server::Operations as Service_;
use relto::internals::pb::longrunning::{
    CancelOperationRequest, GetOperationRequest, Operation, operation,
};
use relto::internals::task::{Task, lock};
use tokio::sync::watch;
use tonic::codegen::BoxStream;
use tonic::{Code, Request, Response, Status};

use super::Service;
use super::bytestream::{break_of, break_off};
use super::failure::Failure;
use super::fault::Break;
use super::gate::{Entry, RequestContext};
use super::record::Method;

/// All messages of an operation, in order.
pub(super) type Messages = watch::Receiver<Vec<Operation>>;

pub(super) struct Running {
    pub(super) action: Digest,
    pub(super) messages: Messages,
    sender: watch::Sender<Vec<Operation>>,
    mergeable: bool,
    task: Option<Task<()>>,
}

#[derive(Default)]
pub(super) struct Operations {
    by_name: HashMap<String, Running>,
    last: u64,
    servers: Vec<Task<()>>,
}

impl Operations {
    /// Keeps the farm's own tasks alive.
    pub(super) fn own(&mut self, task: Task<()>) {
        self.servers.push(task);
    }

    pub(super) fn clear(&mut self) {
        self.by_name.clear();
    }

    /// A new operation; `start` gets its name and where its messages go, and gives the task that
    /// does the work.
    pub(super) fn begin(
        &mut self,
        action: Digest,
        mergeable: bool,
        start: impl FnOnce(String, watch::Sender<Vec<Operation>>) -> Task<()>,
    ) -> Messages {
        self.last += 1;
        let name = format!("operations/{}", self.last);
        let (sender, messages) = watch::channel(Vec::new());
        let running = Running {
            action,
            messages: messages.clone(),
            sender: sender.clone(),
            mergeable,
            task: Some(start(name.clone(), sender)),
        };
        self.by_name.insert(name, running);
        messages
    }

    /// An operation for the same action that is not done.
    pub(super) fn in_flight(&self, action: Digest) -> Option<Messages> {
        let all = self.by_name.values();
        let mut same = all.filter(|running| running.action == action && running.mergeable);
        same.find(|running| !is_done(&running.messages.borrow()))
            .map(|running| running.messages.clone())
    }

    pub(super) fn get(&self, name: &str) -> Option<&Running> {
        self.by_name.get(name)
    }

    fn cancel(&mut self, name: &str) -> bool {
        let Some(running) = self.by_name.get_mut(name) else {
            return false;
        };
        running.task = None;
        running.sender.send_modify(|messages| {
            if !is_done(messages) {
                messages.push(Operation {
                    name: name.to_owned(),
                    done: true,
                    result: Some(operation::Result::Error(
                        Failure::new(Code::Cancelled, "cancelled").to_pb(),
                    )),
                    ..Operation::default()
                });
            }
        });
        true
    }
}

fn is_done(messages: &[Operation]) -> bool {
    messages.last().is_some_and(|message| message.done)
}

#[tonic::async_trait]
impl Service_ for Service {
    async fn get_operation(
        &self,
        request: Request<GetOperationRequest>,
    ) -> Result<Response<Operation>, Status> {
        let about = RequestContext::new(request.get_ref());
        let entry = self.enter(Method::GetOperation, &request, about).await?;
        let found = lock(&self.operations)
            .get(&request.get_ref().name)
            .and_then(|running| running.messages.borrow().last().cloned());
        entry.answer(found.ok_or_else(|| Status::not_found("no such operation")))
    }

    async fn cancel_operation(
        &self,
        request: Request<CancelOperationRequest>,
    ) -> Result<Response<()>, Status> {
        let about = RequestContext::new(request.get_ref());
        let entry = self.enter(Method::CancelOperation, &request, about).await?;
        let name = request.into_inner().name;
        let known = lock(&self.operations).cancel(&name);
        lock(&self.record).cancelled.push(name);
        entry.answer(if known {
            Ok(())
        } else {
            Err(Status::not_found("no such operation"))
        })
    }
}

/// A client that watches an operation.
struct Watching {
    entry: Entry,
    messages: Messages,
    next: usize,
    sent: usize,
    end: Option<(usize, Break)>,
    is_over: bool,
}

/// The messages from number `from` on, until the operation is done.
pub(super) fn watch(entry: Entry, messages: Messages, from: usize) -> BoxStream<Operation> {
    let watching = Watching {
        end: break_of(&entry),
        entry,
        messages,
        next: from,
        sent: 0,
        is_over: false,
    };
    Box::pin(futures_util::stream::unfold(watching, Watching::next))
}

impl Watching {
    async fn next(mut self) -> Option<(Result<Operation, Status>, Self)> {
        if self.is_over {
            return None;
        }
        if let Some((after, how)) = self.end.clone()
            && self.sent >= after
        {
            self.is_over = true;
            let status = break_off(&mut self.entry, how).await?;
            return Some((Err(status), self));
        }
        let next = self.next;
        let message = {
            let wait = self.messages.wait_for(|messages| messages.len() > next);
            // The operation was forgotten: the server restarted.
            wait.await.ok()?[next].clone()
        };
        self.next += 1;
        self.sent += 1;
        if message.done {
            self.is_over = true;
            self.entry.end_with(Code::Ok);
        }
        Some((Ok(message), self))
    }
}
