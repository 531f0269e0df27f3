//! Cancels operations that nobody waits for any more.
//!
//! Enters: operation names, from destructors, which cannot wait. Leaves: `CancelOperation` calls,
//! as a courtesy: failures are ignored, and a server without the service is asked once. Servers
//! that cannot cancel stop when the stream is gone.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::sync::mpsc;

use super::channel::Lane;
use super::farm::Farm;
use super::metadata::RequestContext;
use super::rpc::Rpc;
use super::status::{Failure, FailureKind};
use super::wire::Role;
use crate::pb::longrunning::CancelOperationRequest;
use crate::pb::longrunning::operations_client::OperationsClient;
use crate::task::{self, Task};

/// Nobody waits longer than this for a cancellation.
pub(super) const PATIENCE: Duration = Duration::from_secs(3);

#[derive(Debug)]
pub(super) struct Canceller {
    names: Mutex<Option<mpsc::UnboundedSender<String>>>,
    work: Mutex<Option<Task<()>>>,
}

impl Canceller {
    pub(super) fn new(farm: Arc<Farm>) -> Self {
        let (names, received) = mpsc::unbounded_channel();
        Self {
            names: Mutex::new(Some(names)),
            work: Mutex::new(Some(task::spawn(cancel_all(farm, received)))),
        }
    }

    pub(super) fn cancel(&self, operation: String) {
        let names = self.names.lock().expect("nothing panics while it is held");
        if let Some(names) = names.as_ref() {
            // The task ends only after `close`.
            let _ = names.send(operation);
        }
    }

    /// Takes no more names and waits, no longer than `patience`, until those given are cancelled.
    pub(super) async fn close(&self, patience: Duration) {
        self.names
            .lock()
            .expect("nothing panics while it is held")
            .take();
        let work = self
            .work
            .lock()
            .expect("nothing panics while it is held")
            .take();
        if let Some(work) = work {
            let _ = tokio::time::timeout(patience, work).await;
        }
    }
}

async fn cancel_all(farm: Arc<Farm>, mut names: mpsc::UnboundedReceiver<String>) {
    let mut underway = FuturesUnordered::new();
    let (mut open, mut supported) = (true, true);
    while open || !underway.is_empty() {
        tokio::select! {
            name = names.recv(), if open => match name {
                Some(name) if supported => underway.push(cancel(&farm, name)),
                Some(_) => {}
                None => open = false,
            },
            Some(ended) = underway.next() => {
                supported &= !matches!(ended, Err(Failure { kind: FailureKind::Unsupported, .. }));
            }
        }
    }
}

async fn cancel(farm: &Farm, name: String) -> Result<(), Failure> {
    let (role, lane, rpc) = (Role::Execution, Lane::Calls, Rpc::CancelOperation);
    let cancelled = async {
        let call = farm
            .wire
            .open(role, lane, rpc, &RequestContext::default())
            .await?;
        let request = call.request(CancelOperationRequest { name });
        let mut client = OperationsClient::new(call.channel());
        call.answer(client.cancel_operation(request)).await
    };
    match tokio::time::timeout(PATIENCE, cancelled).await {
        Ok(cancelled) => cancelled,
        Err(_) => Err(Failure::timeout(rpc, PATIENCE)),
    }
}
