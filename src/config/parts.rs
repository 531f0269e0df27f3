//! What each part of the engine takes from the settings.
//!
//! Enters: `RemoteSettings`. Leaves: `reapi`'s own options. `reapi` lies below and knows no
//! `Settings`.

use super::secret::Secret;
use super::settings::{Header, RemoteSettings};
use crate::reapi::{self, ClientOptions};

impl RemoteSettings {
    /// The options of a client for this farm. Ids of the invocation are new ones; deadline and
    /// priorities are nobody's setting and have the client's defaults.
    #[must_use]
    pub fn client_options(&self) -> ClientOptions {
        let elsewhere = self
            .cache
            .iter()
            .find(|&cache| Some(cache) != self.executor.as_ref());
        ClientOptions {
            executor: self.executor.clone(),
            cache: elsewhere.cloned(),
            instance_name: self.instance_name.clone(),
            headers: headers(&self.headers),
            cache_headers: headers(&self.cache_headers),
            exec_headers: headers(&self.exec_headers),
            tls: self.tls.clone(),
            credential_helpers: self.credential_helpers.clone(),
            timeout: self.timeout,
            retries: u32::try_from(self.retries).unwrap_or(u32::MAX),
            deadline: self.deadline,
            max_connections: self.max_connections,
            compression: self.compression,
            keepalive_time: self.keepalive_time,
            digest_function: self.digest_function,
            ..ClientOptions::default()
        }
    }
}

fn headers(headers: &[Header]) -> Vec<reapi::Header> {
    let header = |header: &Header| reapi::Header {
        name: header.name.clone(),
        value: Secret::expose(&header.value).to_owned(),
    };
    headers.iter().map(header).collect()
}
