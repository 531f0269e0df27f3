//! Compiles `protos/` into the module `relto::pb`, in pure Rust: no `protoc` is needed to build
//! relto.

use std::error::Error;

const FILES: &[&str] = &[
    "build/bazel/remote/execution/v2/remote_execution.proto",
    "google/bytestream/bytestream.proto",
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
    tonic_prost_build::configure()
        .bytes(".")
        .skip_debug(BLOB_MESSAGES)
        .generate_default_stubs(true)
        .build_transport(true)
        .compile_fds(descriptors)?;
    Ok(())
}
