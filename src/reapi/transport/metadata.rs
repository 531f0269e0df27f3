//! The headers of a call: `RequestMetadata`, the user's own, and credentials.
//!
//! Farms schedule, log and show executions by `RequestMetadata`.

use std::sync::Arc;

use prost::Message as _;
use tonic::metadata::{Ascii, Binary, MetadataKey, MetadataMap, MetadataValue};

use crate::digest::Digest;
use crate::pb;
use crate::reapi::options::{CallerIdentity, Header};

const REQUEST_METADATA: &str = "build.bazel.remote.execution.v2.requestmetadata-bin";
const TRACEPARENT: &str = "traceparent";
/// Action and target of calls that are for no job in particular.
const WHOLE_LINK: &str = "link";

/// What a call is for, as the farm's pages show it.
#[derive(Debug, Clone, Default)]
pub struct RequestContext {
    pub action: Option<Digest>,
    /// `ThinLTOBackend`
    pub mnemonic: Option<Arc<str>>,
    /// The module as the user knows it.
    pub target: Option<Arc<str>>,
}

/// A header that HTTP cannot carry.
#[derive(Debug, Clone, thiserror::Error)]
#[error("header `{0}` contains characters that HTTP does not allow")]
pub struct BadHeader(pub String);

/// The headers that all calls of a link share.
#[derive(Debug, Clone)]
pub(crate) struct LinkMetadata {
    template: pb::reapi::RequestMetadata,
    traceparent: Option<MetadataValue<Ascii>>,
}

impl LinkMetadata {
    pub(crate) fn new(caller: &CallerIdentity) -> Self {
        Self {
            template: pb::reapi::RequestMetadata {
                tool_details: Some(pb::reapi::ToolDetails {
                    tool_name: env!("CARGO_PKG_NAME").to_owned(),
                    tool_version: env!("CARGO_PKG_VERSION").to_owned(),
                }),
                tool_invocation_id: caller.invocation_id.clone(),
                correlated_invocations_id: caller.build_request_id.clone(),
                ..pb::reapi::RequestMetadata::default()
            },
            // Anything else than text that a header can carry was left out before.
            traceparent: caller.traceparent.as_ref().and_then(|it| it.parse().ok()),
        }
    }

    /// Headers of one call.
    pub(crate) fn of_call(&self, context: &RequestContext) -> MetadataMap {
        // Some servers leave calls out of their pages that name no action or target.
        let target = context.target.as_deref().unwrap_or(WHOLE_LINK);
        let message = pb::reapi::RequestMetadata {
            action_id: context
                .action
                .map_or_else(|| WHOLE_LINK.to_owned(), |digest| digest.hex()),
            action_mnemonic: context.mnemonic.as_deref().unwrap_or_default().to_owned(),
            target_id: target.to_owned(),
            ..self.template.clone()
        };
        let mut map = MetadataMap::new();
        let value = MetadataValue::<Binary>::from_bytes(&message.encode_to_vec());
        map.insert_bin(REQUEST_METADATA, value);
        if let Some(traceparent) = &self.traceparent {
            map.insert(TRACEPARENT, traceparent.clone());
        }
        map
    }
}

/// Adds `headers`. A name that exists gets one more value.
pub(crate) fn append(map: &mut MetadataMap, headers: &[Header]) -> Result<(), BadHeader> {
    for header in headers {
        let bad = || BadHeader(header.name.clone());
        let name = header.name.to_ascii_lowercase();
        let key: MetadataKey<Ascii> = name.parse().map_err(|_| bad())?;
        let mut value: MetadataValue<Ascii> = header.value.parse().map_err(|_| bad())?;
        value.set_sensitive(true);
        map.append(key, value);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn request_metadata_names_the_tool_the_link_and_the_job() {
        let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let caller = CallerIdentity {
            invocation_id: "link".to_owned(),
            build_request_id: "build".to_owned(),
            traceparent: Some(trace.to_owned()),
            ..CallerIdentity::nobody()
        };
        let context = RequestContext {
            action: Some(Digest {
                hash: [7; 32],
                size: 1,
            }),
            mnemonic: Some("ThinLTOBackend".into()),
            target: Some("a.o".into()),
        };
        let map = LinkMetadata::new(&caller).of_call(&context);
        let passed_on = map.get(TRACEPARENT).and_then(|value| value.to_str().ok());
        assert_eq!(passed_on, Some(trace));
        let value = map.get_bin(REQUEST_METADATA).expect("the header");
        let bytes = value.to_bytes().expect("base64");
        let message = pb::reapi::RequestMetadata::decode(bytes).expect("the message");
        assert_eq!(message.tool_details.expect("a tool").tool_name, "relto");
        assert_eq!(
            (
                message.tool_invocation_id,
                message.correlated_invocations_id
            ),
            ("link".to_owned(), "build".to_owned())
        );
        assert_eq!(message.action_id, "07".repeat(32));
        assert_eq!(
            (message.action_mnemonic.as_str(), message.target_id.as_str()),
            ("ThinLTOBackend", "a.o")
        );
        let map = LinkMetadata::new(&caller).of_call(&RequestContext::default());
        let value = map.get_bin(REQUEST_METADATA).expect("the header");
        let bytes = value.to_bytes().expect("base64");
        let message = pb::reapi::RequestMetadata::decode(bytes).expect("the message");
        assert_eq!(
            (message.action_id.as_str(), message.target_id.as_str()),
            ("link", "link")
        );
    }

    #[test]
    fn added_headers_keep_what_is_there_and_bad_ones_are_named_without_their_value() {
        let header = |name: &str, value: &str| Header {
            name: name.to_owned(),
            value: value.to_owned(),
        };
        let mut map =
            LinkMetadata::new(&CallerIdentity::default()).of_call(&RequestContext::default());
        append(&mut map, &[header("X-Key", "1"), header("x-key", "2")]).expect("good");
        assert!(map.get_bin(REQUEST_METADATA).is_some());
        assert_eq!(map.get_all("x-key").iter().count(), 2);
        let error = append(&mut map, &[header("a", "se\ncret")]).expect_err("a line end");
        assert!(!error.to_string().contains("cret"), "{error}");
    }
}
