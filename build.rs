//! Compiles `protos/` into the module `relto::pb`, in pure Rust: no `protoc` is needed to build
//! relto.

use std::collections::BTreeMap;
use std::env;
use std::error::Error;
use std::fmt::Write as _;
use std::path::PathBuf;

use fs_err as fs;
use tonic_prost_build::FileDescriptorSet;

const FILES: &[&str] = &[
    "build/bazel/remote/execution/v2/remote_execution.proto",
    "build_event_stream/build_event_stream.proto",
    "google/bytestream/bytestream.proto",
    "google/devtools/build/v1/publish_build_event.proto",
    "google/rpc/error_details.proto",
];

/// Messages that carry whole blobs: a debug log must not print megabytes of object code.
const BLOB_MESSAGES: &[&str] = &[
    ".google.bytestream.ReadResponse",
    ".google.bytestream.WriteRequest",
    ".build.bazel.remote.execution.v2.OutputFile",
    ".build.bazel.remote.execution.v2.BatchUpdateBlobsRequest.Request",
    ".build.bazel.remote.execution.v2.BatchReadBlobsResponse.Response",
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=protos");
    let descriptors = protox::compile(FILES, ["protos"])?;
    let shapes = PathBuf::from(env::var("OUT_DIR")?).join("shapes.rs");
    fs::write(shapes, shapes_of(&descriptors))?;
    let mut config = tonic_prost_build::Config::new();
    config.enable_type_names();
    tonic_prost_build::configure()
        .bytes(".")
        .skip_debug(BLOB_MESSAGES)
        .generate_default_stubs(true)
        .build_transport(true)
        .codec_path("crate::pb::bounded::BoundedCodec")
        .compile_fds_with_config(descriptors, config)?;
    Ok(())
}

/// Every message with those of its fields that are messages themselves, for `src/pb/bounded.rs`:
/// sorted by name, and fields refer to messages by their position.
fn shapes_of(descriptors: &FileDescriptorSet) -> String {
    let mut messages = BTreeMap::new();
    for file in &descriptors.file {
        let mut open: Vec<_> = file
            .message_type
            .iter()
            .map(|message| (file.package().to_owned(), message))
            .collect();
        while let Some((scope, message)) = open.pop() {
            let name = format!("{scope}.{}", message.name());
            open.extend(message.nested_type.iter().map(|it| (name.clone(), it)));
            messages.insert(name, message);
        }
    }
    let position = |name: &str| messages.keys().position(|other| other == name);
    let mut text = String::from("&[\n");
    for (name, message) in &messages {
        let nested = message.field.iter().filter_map(|field| {
            let child = position(field.type_name().trim_start_matches('.'))?;
            Some(format!("({}, {child})", field.number()))
        });
        let nested = nested.collect::<Vec<_>>().join(", ");
        let _ = writeln!(text, "    (\"{name}\", &[{nested}]),");
    }
    text + "]\n"
}
