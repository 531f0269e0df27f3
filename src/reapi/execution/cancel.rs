//! Cancels operations that no job waits for any more.
//!
//! Names come from destructors, which cannot wait. Cancelling is a courtesy: failures are ignored,
//! and a server without the service is asked once. Servers that cannot cancel stop when the stream
//! is gone.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::sync::mpsc;

use crate::pb::longrunning::CancelOperationRequest;
use crate::pb::longrunning::operations_client::OperationsClient;
use crate::reapi::failure::{Failure, FailureKind};
use crate::reapi::limits::CANCELLATION;
use crate::reapi::rpc::Rpc;
use crate::reapi::session::Session;
use crate::reapi::transport::Service;
use crate::reapi::transport::metadata::RequestContext;
use crate::reapi::transport::pool::TrafficClass;
use crate::task::{self, Task, lock};

#[derive(Debug)]
pub(crate) struct Canceller {
    names: Mutex<Option<mpsc::UnboundedSender<String>>>,
    work: Mutex<Option<Task<()>>>,
}

impl Canceller {
    pub(crate) fn new(session: Arc<Session>) -> Self {
        let (names, received) = mpsc::unbounded_channel();
        Self {
            names: Mutex::new(Some(names)),
            work: Mutex::new(Some(task::spawn(cancel_all(session, received)))),
        }
    }

    pub(crate) fn cancel(&self, operation: String) {
        let names = lock(&self.names);
        if let Some(names) = names.as_ref() {
            // The task ends only after `close`.
            let _ = names.send(operation);
        }
    }

    /// Takes no more names, and waits at most `timeout` until the operations are cancelled.
    pub(crate) async fn close(&self, timeout: Duration) {
        lock(&self.names).take();
        let work = lock(&self.work).take();
        if let Some(work) = work {
            let _ = tokio::time::timeout(timeout, work).await;
        }
    }
}

async fn cancel_all(session: Arc<Session>, mut names: mpsc::UnboundedReceiver<String>) {
    let mut under_way = FuturesUnordered::new();
    let (mut open, mut supported) = (true, true);
    while open || !under_way.is_empty() {
        tokio::select! {
            name = names.recv(), if open => match name {
                Some(name) if supported => under_way.push(cancel(&session, name)),
                Some(_) => {}
                None => open = false,
            },
            Some(ended) = under_way.next() => {
                supported &= !matches!(ended, Err(Failure { kind: FailureKind::Unsupported, .. }));
            }
        }
    }
}

async fn cancel(session: &Session, name: String) -> Result<(), Failure> {
    let (service, class, rpc) = (
        Service::Execution,
        TrafficClass::Calls,
        Rpc::CancelOperation,
    );
    let cancelled = async {
        let call = session
            .transport
            .open(service, class, rpc, &RequestContext::default())
            .await?;
        let request = call.request(CancelOperationRequest { name });
        let mut client = OperationsClient::new(call.channel());
        call.answer(client.cancel_operation(request)).await
    };
    match tokio::time::timeout(CANCELLATION, cancelled).await {
        Ok(cancelled) => cancelled,
        Err(_) => Err(Failure::timeout(rpc, CANCELLATION)),
    }
}
