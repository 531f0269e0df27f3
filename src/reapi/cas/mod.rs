//! The content-addressable storage: which blobs it has, sending them, fetching them.
//!
//! [`upload`] and [`download`] work for a whole link and share calls between its jobs. The other
//! modules make single calls, or read and verify the bytes of single blobs.

pub(crate) mod batch;
pub(crate) mod batch_read;
pub(crate) mod batch_update;
pub(crate) mod blob;
pub(crate) mod bytestream;
pub(crate) mod download;
pub(crate) mod find_missing;
pub(crate) mod incoming;
pub(crate) mod learned_limit;
pub(crate) mod memory;
pub(crate) mod resource_name;
pub(crate) mod source;
pub(crate) mod upload;
