//! The HTTP/2 path of each call that generated clients make, ours and those of `bazel-remote-apis`.
//! Nothing is sent: the channel notes the path and answers UNIMPLEMENTED.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use tonic::body::Body;

/// Calls each method that relto uses through the clients in `$root`.
macro_rules! call_all {
    ($reapi:path, $bytestream:path, $longrunning:path) => {{
        use reapi::content_addressable_storage_client as cas_client;
        use $bytestream as bytestream;
        use $longrunning as longrunning;
        use $reapi as reapi;

        let asked = Arc::new(Mutex::new(BTreeSet::new()));
        let record = {
            let asked = Arc::clone(&asked);
            tower::service_fn(move |request: http::Request<Body>| {
                let path = request.uri().path().to_owned();
                asked.lock().expect("not poisoned").insert(path);
                async { Ok::<_, Infallible>(tonic::Status::unimplemented("").into_http::<Body>()) }
            })
        };
        let mut execution = reapi::execution_client::ExecutionClient::new(record.clone());
        let _ = execution.execute(reapi::ExecuteRequest::default()).await;
        let _ = execution
            .wait_execution(reapi::WaitExecutionRequest::default())
            .await;
        let mut cache = reapi::action_cache_client::ActionCacheClient::new(record.clone());
        let _ = cache
            .get_action_result(reapi::GetActionResultRequest::default())
            .await;
        let _ = cache
            .update_action_result(reapi::UpdateActionResultRequest::default())
            .await;
        let mut cas = cas_client::ContentAddressableStorageClient::new(record.clone());
        let _ = cas
            .find_missing_blobs(reapi::FindMissingBlobsRequest::default())
            .await;
        let _ = cas
            .batch_update_blobs(reapi::BatchUpdateBlobsRequest::default())
            .await;
        let _ = cas
            .batch_read_blobs(reapi::BatchReadBlobsRequest::default())
            .await;
        let mut server = reapi::capabilities_client::CapabilitiesClient::new(record.clone());
        let _ = server
            .get_capabilities(reapi::GetCapabilitiesRequest::default())
            .await;
        let mut streams = bytestream::byte_stream_client::ByteStreamClient::new(record.clone());
        let _ = streams.read(bytestream::ReadRequest::default()).await;
        let nothing = tokio_stream::empty::<bytestream::WriteRequest>();
        let _ = streams.write(nothing).await;
        let mut operations = longrunning::operations_client::OperationsClient::new(record);
        let _ = operations
            .get_operation(longrunning::GetOperationRequest::default())
            .await;
        let _ = operations
            .cancel_operation(longrunning::CancelOperationRequest::default())
            .await;
        let asked = asked.lock().expect("not poisoned");
        asked.clone()
    }};
}

pub(super) async fn ours() -> BTreeSet<String> {
    call_all!(
        relto::internals::pb::reapi,
        relto::internals::pb::bytestream,
        relto::internals::pb::longrunning
    )
}

pub(super) async fn theirs() -> BTreeSet<String> {
    call_all!(
        bazel_remote_apis::build::bazel::remote::execution::v2,
        bazel_remote_apis::google::bytestream,
        bazel_remote_apis::google::longrunning
    )
}
