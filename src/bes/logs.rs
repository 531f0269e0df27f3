//! Files that belong to the invocation: uploaded first, then named.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::events::Events;
use crate::fs::read_regular;
use crate::pb::build_event_stream::File;
use crate::pb::build_event_stream::file::File as Contents;
use crate::reapi::{Address, Blob, Client, ClientOptions};

/// A file that the link has written, and the name by which viewers know its kind.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ToolLog {
    pub name: String,
    pub path: PathBuf,
}

/// Uploads `logs` to the farm's CAS. What cannot be uploaded is not among the result.
pub(super) async fn upload(logs: &[ToolLog], farm: &ClientOptions) -> Vec<File> {
    let address = farm.cache.as_ref().or(farm.executor.as_ref());
    // A URI has no place for the path of a socket.
    let Some(host) = address.and_then(authority) else {
        return Vec::new();
    };
    let client = match Client::connect(farm, Events::discarded()).await {
        Ok(client) => client,
        Err(error) => {
            tracing::info!("the logs of the link are not uploaded: {error}");
            return Vec::new();
        }
    };
    let mut files = Vec::new();
    for log in logs {
        match upload_one(&client, &log.path, &host).await {
            Ok((uri, digest, length)) => files.push(File {
                name: log.name.clone(),
                digest,
                length,
                file: Some(Contents::Uri(uri)),
            }),
            Err(reason) => {
                tracing::info!("`{}` is not uploaded: {reason}", log.path.display());
            }
        }
    }
    files
}

async fn upload_one(
    client: &Client,
    path: &Path,
    host: &str,
) -> Result<(String, String, i64), String> {
    let bytes = read_regular(path).map_err(|error| error.to_string())?;
    let bytes = Bytes::from(bytes);
    let digest = client.digest_function().digest(&bytes);
    let blobs = [Blob::from_bytes(digest, bytes)];
    let uploaded = client.ensure_uploaded(&blobs).await;
    uploaded.map_err(|failure| failure.to_string())?;
    let uri = format!("bytestream://{host}/{}", client.resource_name(&digest));
    let length = i64::try_from(digest.size).unwrap_or(i64::MAX);
    Ok((uri, digest.hex(), length))
}

fn authority(address: &Address) -> Option<String> {
    match address {
        Address::Tcp { host, port, .. } => Some(format!("{host}:{port}")),
        // Nothing else than REAPI serves such a blob by this name.
        Address::Unix(_) | Address::Http { .. } => None,
    }
}
