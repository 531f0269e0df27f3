//! Blobs to upload: a digest and where its bytes are.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;

use crate::digest::Digest;

/// A blob that the farm may not have yet.
#[derive(Debug, Clone)]
pub struct Blob {
    pub digest: Digest,
    pub source: BlobSource,
}

/// Where the bytes of a blob are. Files are read only when they are sent.
#[derive(Debug, Clone)]
pub enum BlobSource {
    Bytes(Bytes),
    File(Arc<Path>),
}

impl Blob {
    #[must_use]
    pub fn from_bytes(digest: Digest, bytes: Bytes) -> Self {
        Self {
            digest,
            source: BlobSource::Bytes(bytes),
        }
    }

    #[must_use]
    pub fn from_file(digest: Digest, path: impl Into<Arc<Path>>) -> Self {
        Self {
            digest,
            source: BlobSource::File(path.into()),
        }
    }
}

/// Everything that an action needs in the CAS, itself included. Built only when a server reports
/// missing blobs, so that no list is kept for each job in flight.
pub trait ActionClosure: Send + Sync {
    fn blobs(&self) -> Vec<Blob>;
}

impl ActionClosure for Vec<Blob> {
    fn blobs(&self) -> Vec<Blob> {
        self.clone()
    }
}
