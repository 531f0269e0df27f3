//! Compiles `protos/` into the module `relto::pb`, in pure Rust: no `protoc` is needed to build
//! relto. Tells a release build which commit it is made of.

use std::collections::BTreeMap;
use std::env;
use std::error::Error;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use fs_err as fs;
use tonic_prost_build::FileDescriptorSet;

const FILES: &[&str] = &[
    "build/bazel/remote/execution/v2/remote_execution.proto",
    "build_event_stream/build_event_stream.proto",
    "google/bytestream/bytestream.proto",
    "google/devtools/build/v1/publish_build_event.proto",
    "google/rpc/error_details.proto",
    "tools/protos/spawn.proto",
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
    let origin = origin().map_or_else(String::new, |origin| format!(" ({origin})"));
    println!("cargo::rustc-env=RELTO_ORIGIN={origin}");
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

/// Commit and date of the sources, for `relto --version`. A development build has none: it would
/// compile everything again after each commit.
fn origin() -> Option<String> {
    if env::var_os("PROFILE")? != "release" {
        return None;
    }
    let root = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR")?);
    of_package(&root).or_else(|| of_checkout(&root))
}

/// What `cargo package` wrote down. It keeps no date; that of the release stands in the changelog.
fn of_package(root: &Path) -> Option<String> {
    let recorded = fs::read_to_string(root.join(".cargo_vcs_info.json")).ok()?;
    let is_commit = |word: &&str| word.len() == 40 && word.bytes().all(|it| it.is_ascii_hexdigit());
    let commit = recorded.split('"').find(is_commit)?;
    let changelog = fs::read_to_string(root.join("CHANGELOG.md")).ok()?;
    let release = format!("## [{}] - ", env::var("CARGO_PKG_VERSION").ok()?);
    let date = changelog.lines().find_map(|it| it.strip_prefix(&release));
    Some(named(commit, date.unwrap_or_default()))
}

fn of_checkout(root: &Path) -> Option<String> {
    let git = |arguments: &[&str]| {
        let output = Command::new("git")
            .args(arguments)
            .current_dir(root)
            .output();
        let output = output.ok().filter(|it| it.status.success())?;
        Some(String::from_utf8(output.stdout).ok()?.trim_end().to_owned())
    };
    // Sources that lie in a repository of something else are of no commit of it.
    if !git(&["rev-parse", "--show-prefix"])?.is_empty() {
        return None;
    }
    let moves = git(&["rev-parse", "--git-path", "logs/HEAD"])?;
    println!("cargo::rerun-if-changed={moves}");
    let head = git(&["log", "-1", "--format=%H %cs"])?;
    let (commit, date) = head.split_once(' ')?;
    Some(named(commit, date))
}

fn named(commit: &str, date: &str) -> String {
    // git's own short form grows with the clone.
    let short = commit.get(..10).unwrap_or(commit);
    format!("{short} {date}").trim_end().to_owned()
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
