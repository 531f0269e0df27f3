//! Where build events go, and how, as plain values that can be handed to another process.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::reapi::{Address, CallerIdentity, ClientOptions, Header};

/// What a link does about events that are still to be sent when it has ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum UploadMode {
    /// It waits for them.
    #[default]
    Wait,
    /// A daemon sends them, and the next link's events wait for that; without a daemon the link
    /// waits.
    Nowait,
    /// A daemon sends them; without one the link waits.
    FullyAsync,
}

/// All settings of the publisher.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct BesOptions {
    /// `None`: nothing is published.
    pub backend: Option<Address>,
    /// Headers of every call.
    pub headers: Vec<Header>,
    pub instance_name: String,
    /// What an invocation id is appended to for the address of its page.
    pub results_url: String,
    /// What the URIs of uploaded logs begin with: a host and an instance. Empty: the farm's own.
    pub bytestream_uri_prefix: String,
    /// How long a link waits at its end; `None`: without limit.
    pub timeout: Option<Duration>,
    pub mode: UploadMode,
    /// Send the events about the invocation itself, which strict servers ask for.
    pub lifecycle_events: bool,
    /// Connections, TLS and credential helpers are the farm's; headers and addresses are not used.
    pub transport: ClientOptions,
    /// Who builds what where: the items of the workspace status.
    pub status: Vec<(String, String)>,
    /// Options as the page shows them.
    pub shown: Vec<(String, String)>,
}

impl Default for BesOptions {
    fn default() -> Self {
        Self {
            backend: None,
            headers: Vec::new(),
            instance_name: String::new(),
            results_url: String::new(),
            bytestream_uri_prefix: String::new(),
            timeout: None,
            mode: UploadMode::default(),
            lifecycle_events: false,
            transport: ClientOptions {
                caller: CallerIdentity::nobody(),
                ..ClientOptions::default()
            },
            status: Vec::new(),
            shown: Vec::new(),
        }
    }
}

impl BesOptions {
    /// Whether the id of stream and invocation is what servers accept: a UUID in lower case.
    pub(super) fn has_valid_id(&self) -> bool {
        let id = &self.transport.caller.invocation_id;
        Uuid::parse_str(id).is_ok_and(|parsed| parsed.to_string() == *id)
    }

    /// The address of the page, if the user has said where pages are.
    #[must_use]
    pub fn page(&self) -> Option<String> {
        let url = self.results_url.trim_end_matches('/');
        (!url.is_empty()).then(|| format!("{url}/{}", self.transport.caller.invocation_id))
    }
}
