//! Files that belong to the invocation: uploaded first, then named.

use std::path::PathBuf;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::events::Events;
use crate::fs::read_regular;
use crate::pb::build_event_stream::File;
use crate::pb::build_event_stream::file::File as Contents;
use crate::reapi::{Address, Blob, Client, ClientOptions};
use crate::report::gzip;

/// What gzip's files begin with.
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// A file that the link has written, and the name by which viewers know its kind.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ToolLog {
    pub name: String,
    pub path: PathBuf,
    /// It is uploaded in gzip's form, which the file may have already.
    pub gzipped: bool,
}

/// Uploads `logs` to the farm's CAS. What cannot be uploaded is not among the result. URIs begin
/// with `prefix`, or with the farm's own address if that is empty.
pub(super) async fn upload(logs: &[ToolLog], farm: &ClientOptions, prefix: &str) -> Vec<File> {
    let address = farm.cache.as_ref().or(farm.executor.as_ref());
    let place = match address {
        // Nothing else than REAPI serves a blob by the name that a URI gives it.
        None | Some(Address::Http { .. }) => return Vec::new(),
        // It names the instance, too.
        Some(_) if !prefix.is_empty() => prefix.trim_end_matches('/').to_owned(),
        Some(Address::Tcp { host, port, .. }) => match farm.instance_name.as_str() {
            "" => format!("{host}:{port}"),
            instance => format!("{host}:{port}/{instance}"),
        },
        // Viewers are elsewhere.
        Some(Address::Unix(_)) => {
            tracing::info!(
                "the logs of the link are not uploaded: a `unix:` farm needs `remote_bytestream_uri_prefix`"
            );
            return Vec::new();
        }
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
        match upload_one(&client, log, &place).await {
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
    log: &ToolLog,
    place: &str,
) -> Result<(String, String, i64), String> {
    let bytes = read_regular(&log.path).map_err(|error| error.to_string())?;
    let bytes = if log.gzipped && !bytes.starts_with(&GZIP) {
        gzip(&bytes).map_err(|error| error.to_string())?
    } else {
        bytes
    };
    let bytes = Bytes::from(bytes);
    let digest = client.digest_function().digest(&bytes);
    let blobs = [Blob::from_bytes(digest, bytes)];
    let uploaded = client.ensure_uploaded(&blobs).await;
    uploaded.map_err(|failure| failure.to_string())?;
    let uri = format!("bytestream://{place}/{}", client.blob_name(&digest));
    let length = i64::try_from(digest.size).unwrap_or(i64::MAX);
    Ok((uri, digest.hex(), length))
}
