//! Every message of `protos/` with its fields: the table that both sides are built and compared
//! from.
//!
//! A field that is added to `protos/` makes the literal of our side incomplete, so this file does
//! not compile until the field is listed.

#![expect(
    deprecated,
    clippy::needless_update,
    reason = "the complete definitions have fields that we do not know, and deprecated ones that we send to old servers"
)]

use std::any::type_name;

use prost::Message;

use super::sample::{Same, Sampled, Seeds};

/// A comparison takes the number of the round, which decides the values.
pub(super) type Compare = fn(u64);

/// Each message's full name and its comparison.
pub(super) fn all() -> Vec<(String, Compare)> {
    [
        reapi::TABLE,
        semver::TABLE,
        bytestream::TABLE,
        longrunning::TABLE,
        rpc::TABLE,
    ]
    .concat()
    .into_iter()
    .map(|(package, name, compare)| (format!("{package}.{name}"), compare))
    .collect()
}

/// The same values on both sides, there and back: field by field, and byte by byte.
fn compare<Ours, Theirs>(round: u64)
where
    Ours: Message + Default + Sampled + Same<Theirs>,
    Theirs: Message + Default + Sampled,
{
    let ours = Ours::sample(&mut Seeds::new(round));
    let bytes = ours.encode_to_vec();
    let read_by_them = Theirs::decode(bytes.as_slice()).expect("their side reads ours");
    ours.assert_same(&read_by_them, "read by them");
    let name = type_name::<Ours>();
    assert_eq!(bytes, read_by_them.encode_to_vec(), "{name}: their bytes");

    let theirs = Theirs::sample(&mut Seeds::new(round));
    let bytes = theirs.encode_to_vec();
    let read_by_us = Ours::decode(bytes.as_slice()).expect("our side reads theirs");
    read_by_us.assert_same(&theirs, "read by us");
    assert_eq!(bytes, read_by_us.encode_to_vec(), "{name}: our bytes");
}

macro_rules! fields {
    ($ours:ty, $theirs:ty { $($field:ident),* }) => {
        impl Sampled for $ours {
            fn sample(_seeds: &mut Seeds) -> Self {
                Self { $($field: Sampled::sample(_seeds)),* }
            }
        }

        impl Sampled for $theirs {
            fn sample(_seeds: &mut Seeds) -> Self {
                Self { $($field: Sampled::sample(_seeds),)* ..Self::default() }
            }
        }

        impl Same<$theirs> for $ours {
            fn assert_same(&self, _theirs: &$theirs, _at: &str) {
                $(self.$field.assert_same(
                    &_theirs.$field,
                    concat!(stringify!($ours), ".", stringify!($field)),
                );)*
            }
        }
    };
}

macro_rules! package {
    ($name:literal; $($message:literal = $($path:ident)::+ { $($field:ident),* },)*) => {
        pub(super) const TABLE: &[(&str, &str, Compare)] = &[
            $(($name, $message, compare::<ours::$($path)::+, theirs::$($path)::+>),)*
        ];
        $(fields!(ours::$($path)::+, theirs::$($path)::+ { $($field),* });)*
    };
}

/// Messages of protobuf itself, inside of ours: the runtime's types against those of the complete
/// definitions.
mod well_known {
    use bazel_remote_apis::google::protobuf as theirs;

    use super::{Same, Sampled, Seeds};

    fields!(prost_types::Any, theirs::Any { type_url, value });
    fields!(prost_types::Duration, theirs::Duration { seconds, nanos });
    fields!(prost_types::Timestamp, theirs::Timestamp { seconds, nanos });
}

mod semver {
    use bazel_remote_apis::build::bazel::semver as theirs;
    use relto::internals::pb::semver as ours;

    use super::{Compare, Same, Sampled, Seeds, compare};

    package! { "build.bazel.semver";
        "SemVer" = SemVer { major, minor, patch, prerelease },
    }
}

mod bytestream {
    use bazel_remote_apis::google::bytestream as theirs;
    use relto::internals::pb::bytestream as ours;

    use super::{Compare, Same, Sampled, Seeds, compare};

    package! { "google.bytestream";
        "ReadRequest" = ReadRequest { resource_name, read_offset, read_limit },
        "ReadResponse" = ReadResponse { data },
        "WriteRequest" = WriteRequest { resource_name, write_offset, finish_write, data },
        "WriteResponse" = WriteResponse { committed_size },
    }
}

mod rpc {
    use bazel_remote_apis::google::rpc as theirs;
    use relto::internals::pb::rpc as ours;

    use super::{Compare, Same, Sampled, Seeds, compare};

    package! { "google.rpc";
        "Status" = Status { code, message, details },
    }
}

mod longrunning {
    use bazel_remote_apis::google::longrunning as theirs;
    use relto::internals::pb::longrunning as ours;

    use super::{Compare, Same, Sampled, Seeds, compare};

    package! { "google.longrunning";
        "Operation" = Operation { name, metadata, done, result },
        "GetOperationRequest" = GetOperationRequest { name },
        "CancelOperationRequest" = CancelOperationRequest { name },
    }

    use ours::operation::Result as Ours;
    use theirs::operation::Result as Theirs;

    macro_rules! either {
        ($($side:ident),*) => {$(
            impl Sampled for $side {
                fn sample(seeds: &mut Seeds) -> Self {
                    if seeds.flag() {
                        Self::Error(Sampled::sample(seeds))
                    } else {
                        Self::Response(Sampled::sample(seeds))
                    }
                }
            }
        )*};
    }

    either!(Ours, Theirs);

    impl Same<Theirs> for Ours {
        fn assert_same(&self, theirs: &Theirs, at: &str) {
            match (self, theirs) {
                (Self::Error(ours), Theirs::Error(theirs)) => ours.assert_same(theirs, at),
                (Self::Response(ours), Theirs::Response(theirs)) => ours.assert_same(theirs, at),
                _ => panic!("{at}: an error on one side, a response on the other"),
            }
        }
    }
}

mod reapi {
    use bazel_remote_apis::build::bazel::remote::execution::v2 as theirs;
    use relto::internals::pb::reapi as ours;

    use super::{Compare, Same, Sampled, Seeds, compare};

    package! { "build.bazel.remote.execution.v2";
        "Digest" = Digest { hash, size_bytes },
        "Action" = Action { command_digest, input_root_digest, timeout, do_not_cache, salt, platform },
        "Command" = Command {
            arguments, environment_variables, output_files, platform, working_directory, output_paths
        },
        "Command.EnvironmentVariable" = command::EnvironmentVariable { name, value },
        "Platform" = Platform { properties },
        "Platform.Property" = platform::Property { name, value },
        "Directory" = Directory { files, directories },
        "FileNode" = FileNode { name, digest, is_executable },
        "DirectoryNode" = DirectoryNode { name, digest },
        "ActionResult" = ActionResult {
            output_files, output_file_symlinks, output_symlinks, exit_code, stdout_raw, stdout_digest, stderr_raw,
            stderr_digest, execution_metadata
        },
        "OutputFile" = OutputFile { path, digest, is_executable, contents },
        "OutputSymlink" = OutputSymlink { path, target },
        "ExecutedActionMetadata" = ExecutedActionMetadata {
            worker, queued_timestamp, worker_start_timestamp, worker_completed_timestamp,
            input_fetch_start_timestamp, input_fetch_completed_timestamp, execution_start_timestamp,
            execution_completed_timestamp, output_upload_start_timestamp, output_upload_completed_timestamp,
            auxiliary_metadata, virtual_execution_duration
        },
        "ExecutionPolicy" = ExecutionPolicy { priority },
        "ResultsCachePolicy" = ResultsCachePolicy { priority },
        "ExecuteRequest" = ExecuteRequest {
            instance_name, skip_cache_lookup, action_digest, execution_policy, results_cache_policy,
            digest_function, inline_stdout, inline_stderr, inline_output_files
        },
        "WaitExecutionRequest" = WaitExecutionRequest { name },
        "LogFile" = LogFile { digest, human_readable },
        "ExecuteResponse" = ExecuteResponse { result, cached_result, status, server_logs, message },
        "ExecutionStage" = ExecutionStage {},
        "ExecuteOperationMetadata" = ExecuteOperationMetadata {
            stage, action_digest, stdout_stream_name, stderr_stream_name, partial_execution_metadata,
            digest_function
        },
        "GetActionResultRequest" = GetActionResultRequest {
            instance_name, action_digest, inline_stdout, inline_stderr, inline_output_files, digest_function
        },
        "UpdateActionResultRequest" = UpdateActionResultRequest {
            instance_name, action_digest, action_result, results_cache_policy, digest_function
        },
        "FindMissingBlobsRequest" = FindMissingBlobsRequest { instance_name, blob_digests, digest_function },
        "FindMissingBlobsResponse" = FindMissingBlobsResponse { missing_blob_digests },
        "BatchUpdateBlobsRequest" = BatchUpdateBlobsRequest { instance_name, requests, digest_function },
        "BatchUpdateBlobsRequest.Request" = batch_update_blobs_request::Request { digest, data, compressor },
        "BatchUpdateBlobsResponse" = BatchUpdateBlobsResponse { responses },
        "BatchUpdateBlobsResponse.Response" = batch_update_blobs_response::Response { digest, status },
        "BatchReadBlobsRequest" = BatchReadBlobsRequest {
            instance_name, digests, acceptable_compressors, digest_function
        },
        "BatchReadBlobsResponse" = BatchReadBlobsResponse { responses },
        "BatchReadBlobsResponse.Response" = batch_read_blobs_response::Response {
            digest, data, status, compressor
        },
        "GetCapabilitiesRequest" = GetCapabilitiesRequest { instance_name },
        "ServerCapabilities" = ServerCapabilities {
            cache_capabilities, execution_capabilities, deprecated_api_version, low_api_version, high_api_version
        },
        "DigestFunction" = DigestFunction {},
        "Compressor" = Compressor {},
        "SymlinkAbsolutePathStrategy" = SymlinkAbsolutePathStrategy {},
        "ActionCacheUpdateCapabilities" = ActionCacheUpdateCapabilities { update_enabled },
        "PriorityCapabilities" = PriorityCapabilities { priorities },
        "PriorityCapabilities.PriorityRange" = priority_capabilities::PriorityRange {
            min_priority, max_priority
        },
        "CacheCapabilities" = CacheCapabilities {
            digest_functions, action_cache_update_capabilities, cache_priority_capabilities,
            max_batch_total_size_bytes, symlink_absolute_path_strategy, supported_compressors,
            supported_batch_update_compressors, max_cas_blob_size_bytes
        },
        "ExecutionCapabilities" = ExecutionCapabilities {
            digest_function, exec_enabled, execution_priority_capabilities, supported_node_properties,
            digest_functions
        },
        "ToolDetails" = ToolDetails { tool_name, tool_version },
        "RequestMetadata" = RequestMetadata {
            tool_details, action_id, tool_invocation_id, correlated_invocations_id, action_mnemonic, target_id,
            configuration_id
        },
    }
}
