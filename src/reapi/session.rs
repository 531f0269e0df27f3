//! What all services of one connected farm share: the wire, what the farm said of itself, and what
//! its limits turned out to be.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::digest::{Digest, DigestFunction};
use crate::reapi::capabilities::Capabilities;
use crate::reapi::cas::resource_name::Encoding;
use crate::reapi::options::ClientOptions;
use crate::reapi::transport::Transport;

/// Blobs up to this size are not worth compressing.
const WORTH_COMPRESSING: u64 = 1024;
/// Larger blobs gain nothing from sharing a call.
const LARGEST_IN_BATCH: usize = 1 << 20;
/// Digests that one `FindMissingBlobs` asks about: below every server's message limit.
const MOST_DIGESTS: usize = 10_000;
const LEAST_LIMIT: usize = 1024;

#[derive(Debug)]
pub(super) struct Session {
    pub(super) transport: Transport,
    pub(super) capabilities: Capabilities,
    pub(super) limits: Arc<LearnedLimits>,
}

impl Session {
    pub(super) fn new(transport: Transport, capabilities: Capabilities) -> Self {
        let limits = LearnedLimits {
            upload: LearnedLimit::new(capabilities.batch_limit),
            download: LearnedLimit::new(capabilities.batch_limit),
            digests: LearnedLimit::new(MOST_DIGESTS),
        };
        Self {
            transport,
            capabilities,
            limits: Arc::new(limits),
        }
    }

    /// The same farm for another link.
    pub(super) fn for_link(&self, options: &ClientOptions) -> Self {
        Self {
            transport: self.transport.for_link(options),
            capabilities: self.capabilities.clone(),
            limits: Arc::clone(&self.limits),
        }
    }

    pub(super) fn function(&self) -> DigestFunction {
        self.capabilities.digest_function
    }

    /// How a blob of this size travels in a stream.
    pub(super) fn stream_encoding(&self, digest: &Digest) -> Encoding {
        if self.capabilities.zstd_streams && digest.size > WORTH_COMPRESSING {
            Encoding::Zstd
        } else {
            Encoding::Identity
        }
    }

    /// How a blob of this size travels in a batch that we send.
    pub(super) fn batch_encoding(&self, digest: &Digest) -> Encoding {
        if self.capabilities.zstd_batches && digest.size > WORTH_COMPRESSING {
            Encoding::Zstd
        } else {
            Encoding::Identity
        }
    }
}

/// Limits as a server's answers have taught them: they only ever shrink.
#[derive(Debug)]
pub(super) struct LearnedLimits {
    pub(super) upload: LearnedLimit,
    pub(super) download: LearnedLimit,
    /// Of `FindMissingBlobs`, in digests.
    pub(super) digests: LearnedLimit,
}

#[derive(Debug)]
pub(super) struct LearnedLimit(AtomicUsize);

impl LearnedLimit {
    fn new(start: usize) -> Self {
        Self(AtomicUsize::new(start))
    }

    pub(super) fn get(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    /// A request of `refused` units was too large: none of more than half of it will be sent again.
    pub(super) fn refuse(&self, refused: usize) {
        self.0
            .fetch_min((refused / 2).max(LEAST_LIMIT), Ordering::Relaxed);
    }

    /// The server has no such call: everything goes by stream.
    pub(super) fn close(&self) {
        self.0.store(0, Ordering::Relaxed);
    }

    /// Whether a blob that takes `cost` bytes goes into a batch rather than into a stream of its
    /// own.
    pub(super) fn admits(&self, cost: usize) -> bool {
        let limit = self.get();
        // A quarter, so that batches are well filled, unless the limit is so small that nothing
        // would fit.
        let share = if limit >= LARGEST_IN_BATCH {
            limit / 4
        } else {
            limit
        };
        cost <= share.min(LARGEST_IN_BATCH)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_shrink_and_never_vanish() {
        let limit = LearnedLimit::new(4 << 20);
        assert!(limit.admits(1 << 20) && !limit.admits((1 << 20) + 1));
        limit.refuse(100_000);
        limit.refuse(3 << 20);
        assert_eq!(limit.get(), 50_000);
        assert!(limit.admits(50_000));
        limit.refuse(1);
        assert_eq!(limit.get(), LEAST_LIMIT);
    }
}
