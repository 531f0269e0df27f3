//! One link's session with a connected farm: the state that all services share.

use std::sync::Arc;

use crate::digest::{Digest, DigestFunction};
use crate::reapi::capabilities::Capabilities;
use crate::reapi::cas::learned_limit::LearnedLimits;
use crate::reapi::cas::resource_name::Encoding;
use crate::reapi::limits::WORTH_COMPRESSING;
use crate::reapi::options::{CallerIdentity, ClientOptions};
use crate::reapi::transport::Transport;

#[derive(Debug)]
pub(super) struct Session {
    pub(super) transport: Transport,
    pub(super) capabilities: Capabilities,
    /// Shared by all links to this farm.
    pub(super) limits: Arc<LearnedLimits>,
    /// In whose name calls are made. The links of one build have the same.
    pub(super) caller: Arc<CallerIdentity>,
}

impl Session {
    pub(super) fn new(
        transport: Transport,
        capabilities: Capabilities,
        options: &ClientOptions,
    ) -> Self {
        Self {
            limits: Arc::new(LearnedLimits::new(capabilities.batch_limit)),
            transport,
            capabilities,
            caller: Arc::new(options.caller.clone()),
        }
    }

    /// A session of another link with the same farm.
    pub(super) fn for_link(&self, options: &ClientOptions) -> Self {
        Self {
            transport: self.transport.for_link(options),
            capabilities: self.capabilities.clone(),
            limits: Arc::clone(&self.limits),
            caller: Arc::new(options.caller.clone()),
        }
    }

    /// The calls that send this link's blobs, counted with its own. They have no deadline, because
    /// a link that has more time may wait for them too.
    pub(super) fn for_uploads(&self, options: &ClientOptions) -> Self {
        let mut uploads = self.for_link(options);
        uploads.transport.policy.deadline = None;
        uploads.transport.counters = Arc::clone(&self.transport.counters);
        uploads
    }

    pub(super) fn function(&self) -> DigestFunction {
        self.capabilities.digest_function
    }

    /// How a blob travels in a stream.
    pub(super) fn stream_encoding(&self, digest: &Digest) -> Encoding {
        encoding(self.capabilities.zstd_streams, digest)
    }

    /// How a blob travels in a batch that relto sends.
    pub(super) fn batch_encoding(&self, digest: &Digest) -> Encoding {
        encoding(self.capabilities.zstd_batches, digest)
    }
}

fn encoding(zstd: bool, digest: &Digest) -> Encoding {
    if zstd && digest.size > WORTH_COMPRESSING {
        Encoding::Zstd
    } else {
        Encoding::Identity
    }
}
