//! Compares the trimmed `protos/` with the complete definitions in the crate `bazel-remote-apis`:
//! every message, enum and method of ours has the standard's names and numbers.
//!
//! A message that is added to `protos/` must be added to `wire/messages.rs`, where a field does not
//! compile until it is listed; an enum must be added here.

mod build_events;
mod messages;
mod paths;
mod sample;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use bazel_remote_apis::build::bazel::remote::execution::v2 as theirs;
use prost::Message as _;
use prost_types::{DescriptorProto, EnumDescriptorProto, FileDescriptorSet, MessageOptions};
use relto::internals::pb::{reapi as ours, rpc};

/// Definitions that the foreign crate does not have; `the_error_details_have_the_standards_bytes`
/// is their test.
const WITHOUT_COUNTERPART: &[&str] = &[
    "google.rpc.RetryInfo",
    "google.rpc.PreconditionFailure",
    "google.rpc.PreconditionFailure.Violation",
];

type Numbers = fn(&str) -> (Option<i32>, Option<i32>);

/// Each enum of ours, with the number that a value's name has in our code and in theirs.
const ENUMS: &[(&str, Numbers)] = &[
    ("ExecutionStage.Value", |name| {
        (
            ours::execution_stage::Value::from_str_name(name).map(|value| value as i32),
            theirs::execution_stage::Value::from_str_name(name).map(|value| value as i32),
        )
    }),
    ("DigestFunction.Value", |name| {
        (
            ours::digest_function::Value::from_str_name(name).map(|value| value as i32),
            theirs::digest_function::Value::from_str_name(name).map(|value| value as i32),
        )
    }),
    ("Compressor.Value", |name| {
        (
            ours::compressor::Value::from_str_name(name).map(|value| value as i32),
            theirs::compressor::Value::from_str_name(name).map(|value| value as i32),
        )
    }),
    ("SymlinkAbsolutePathStrategy.Value", |name| {
        use ours::symlink_absolute_path_strategy as our;
        use theirs::symlink_absolute_path_strategy as their;
        (
            our::Value::from_str_name(name).map(|value| value as i32),
            their::Value::from_str_name(name).map(|value| value as i32),
        )
    }),
];

/// What `protos/` declares, by full name.
#[derive(Default)]
struct Declared {
    messages: BTreeSet<String>,
    enums: Vec<(String, EnumDescriptorProto)>,
    /// `/package.Service/Method`, as it travels.
    paths: BTreeSet<String>,
}

impl Declared {
    fn read() -> Self {
        let mut declared = Self::default();
        for file in descriptors().file {
            let package = file.package().to_owned();
            // Build events are not in the foreign crate.
            if package == "google.protobuf" || build_events::PACKAGES.contains(&&*package) {
                continue;
            }
            for message in &file.message_type {
                declared.add_message(&package, message);
            }
            for each in &file.enum_type {
                let name = format!("{package}.{}", each.name());
                declared.enums.push((name, each.clone()));
            }
            for service in &file.service {
                for method in &service.method {
                    let path = format!("/{package}.{}/{}", service.name(), method.name());
                    declared.paths.insert(path);
                }
            }
        }
        declared
    }

    fn add_message(&mut self, parent: &str, message: &DescriptorProto) {
        if message
            .options
            .as_ref()
            .is_some_and(MessageOptions::map_entry)
        {
            return;
        }
        let name = format!("{parent}.{}", message.name());
        for nested in &message.nested_type {
            self.add_message(&name, nested);
        }
        for each in &message.enum_type {
            let name = format!("{name}.{}", each.name());
            self.enums.push((name, each.clone()));
        }
        self.messages.insert(name);
    }
}

/// All of `protos/`.
fn descriptors() -> FileDescriptorSet {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("protos");
    let mut files = Vec::new();
    find_protos(&root, &mut files);
    protox::compile(files, [root]).expect("protos/ compiles")
}

fn find_protos(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs_err::read_dir(dir).expect("a directory of protos/") {
        let path = entry.expect("a readable entry").path();
        if path.is_dir() {
            find_protos(&path, found);
        } else if path
            .extension()
            .is_some_and(|extension| extension == "proto")
        {
            found.push(path);
        }
    }
}

#[test]
fn every_message_in_protos_is_compared() {
    let compared: BTreeSet<String> = messages::all()
        .iter()
        .map(|(name, _)| name.clone())
        .chain(WITHOUT_COUNTERPART.iter().map(|&name| name.to_owned()))
        .collect();
    assert_eq!(Declared::read().messages, compared);
}

#[test]
fn every_message_means_the_same_on_both_sides() {
    for (_, compare) in messages::all() {
        // Some rounds, so that each flag of a message is both set and unset, alone and with others.
        for round in 0..16 {
            compare(round);
        }
    }
}

#[test]
fn every_enum_value_has_the_standards_number() {
    let declared = Declared::read();
    assert_eq!(declared.enums.len(), ENUMS.len(), "an enum is not compared");
    for (name, each) in &declared.enums {
        let (_, numbers) = ENUMS
            .iter()
            .find(|(short, _)| *name == format!("build.bazel.remote.execution.v2.{short}"))
            .unwrap_or_else(|| panic!("{name} is not compared"));
        for value in &each.value {
            let number = value.number.expect("a value has a number");
            assert_eq!(
                numbers(value.name()),
                (Some(number), Some(number)),
                "{name}.{}",
                value.name()
            );
        }
    }
}

#[tokio::test]
async fn every_method_has_the_standards_path() {
    let declared = Declared::read().paths;
    assert_eq!(declared, paths::ours().await);
    assert_eq!(declared, paths::theirs().await);
}

/// Written by hand from the numbers in googleapis' `error_details.proto`: each field is a tag byte
/// (number << 3 | wire type), a length and the contents.
#[test]
fn the_error_details_have_the_standards_bytes() {
    let retry = rpc::RetryInfo {
        retry_delay: Some(prost_types::Duration {
            seconds: 3,
            nanos: 5,
        }),
    };
    assert_eq!(retry.encode_to_vec(), b"\x0a\x04\x08\x03\x10\x05");
    let failure = rpc::PreconditionFailure {
        violations: vec![rpc::precondition_failure::Violation {
            r#type: "MISSING".to_owned(),
            subject: "blobs/x/1".to_owned(),
            description: "d".to_owned(),
        }],
    };
    assert_eq!(
        failure.encode_to_vec(),
        b"\x0a\x17\x0a\x07MISSING\x12\x09blobs/x/1\x1a\x01d"
    );
}
