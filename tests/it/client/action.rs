//! Actions that need nothing of a worker but its kernel.

use std::sync::Arc;

use bytes::Bytes;
use fs_err as fs;
use prost::Message as _;
use relto::internals::digest::{Digest, DigestFunction};
use relto::internals::pb::reapi;
use relto::internals::reapi::{Blob, Client, ExecuteJob, OutputStyle, RequestContext};

const BUSYBOX: &str = "/bin/busybox";

pub(crate) struct Prepared {
    pub(crate) action: Digest,
    pub(crate) blobs: Vec<Blob>,
}

/// What differs between farms in an action that means the same.
pub(crate) struct ActionShape {
    pub(crate) function: DigestFunction,
    pub(crate) style: OutputStyle,
    pub(crate) properties: Vec<(String, String)>,
    /// The interpreter, where it will really run.
    pub(crate) busybox: Vec<u8>,
}

impl ActionShape {
    pub(crate) fn linux(client: &Client) -> Self {
        Self::of_system("linux", client)
    }

    pub(crate) fn of_system(system: &str, client: &Client) -> Self {
        Self {
            function: client.digest_function(),
            style: client.output_style(),
            properties: vec![("OSFamily".to_owned(), system.to_owned())],
            busybox: fs::read(BUSYBOX).expect("busybox"),
        }
    }
}

/// `busybox sh -c SCRIPT` in a tree `relto/{bin/busybox,in}`.
pub(crate) fn prepare(shape: &ActionShape, script: &str, input: &str) -> Prepared {
    let mut blobs = Vec::new();
    let mut put = |bytes: Vec<u8>| {
        let digest = shape.function.digest(&bytes);
        blobs.push(Blob::from_bytes(digest, bytes.into()));
        Some(digest.to_pb())
    };
    let file = |name: &str, digest, is_executable| reapi::FileNode {
        name: name.to_owned(),
        digest,
        is_executable,
    };
    let dir = |name: &str, digest| reapi::DirectoryNode {
        name: name.to_owned(),
        digest,
    };
    let busybox = file("busybox", put(shape.busybox.clone()), true);
    let input = file("in", put(input.as_bytes().to_vec()), false);
    let bin = put(directory(vec![busybox], vec![]));
    let relto = put(directory(vec![input], vec![dir("bin", bin)]));
    let root = put(directory(vec![], vec![dir("relto", relto)]));
    let properties = shape
        .properties
        .iter()
        .map(|(name, value)| reapi::platform::Property {
            name: name.clone(),
            value: value.clone(),
        });
    let platform = Some(reapi::Platform {
        properties: properties.collect(),
    });
    let outputs = |style| {
        let wanted = shape.style == style;
        wanted.then(|| "relto/out".to_owned()).into_iter().collect()
    };
    let command = reapi::Command {
        arguments: ["relto/bin/busybox", "sh", "-c", script]
            .map(str::to_owned)
            .to_vec(),
        output_files: outputs(OutputStyle::Files),
        output_paths: outputs(OutputStyle::Paths),
        platform: platform.clone(),
        ..reapi::Command::default()
    };
    let action = reapi::Action {
        command_digest: put(command.encode_to_vec()),
        input_root_digest: root,
        platform,
        salt: Bytes::copy_from_slice(uuid_like().as_bytes()),
        ..reapi::Action::default()
    };
    let action = put(action.encode_to_vec()).expect("a digest");
    Prepared {
        action: Digest::from_pb(&action).expect("our own"),
        blobs,
    }
}

/// Differs from run to run, so that no server remembers the action.
fn uuid_like() -> String {
    format!("{:?}-{}", std::time::SystemTime::now(), std::process::id())
}

fn directory(files: Vec<reapi::FileNode>, directories: Vec<reapi::DirectoryNode>) -> Vec<u8> {
    reapi::Directory { files, directories }.encode_to_vec()
}

pub(crate) fn job(prepared: &Prepared) -> ExecuteJob {
    ExecuteJob {
        action: prepared.action,
        skip_cache_lookup: false,
        closure: Arc::new(prepared.blobs.clone()),
        inline_outputs: vec![],
        context: RequestContext {
            action: Some(prepared.action),
            ..RequestContext::default()
        },
    }
}
