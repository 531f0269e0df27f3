//! The protocol messages that `build.rs` generates from `protos/*.proto`, one short path per
//! package.
//!
//! Messages that carry blobs get a `Debug` that shows sizes only. [`bounded`] decodes them all.

#![allow(
    clippy::pedantic,
    clippy::large_enum_variant,
    clippy::allow_attributes,
    unused_qualifications,
    reason = "generated code"
)]

pub mod bounded;

use std::fmt;

mod generated {
    pub mod build_event_stream {
        tonic::include_proto!("build_event_stream");
    }
    pub mod command_line {
        tonic::include_proto!("command_line");
    }
    pub mod failure_details {
        tonic::include_proto!("failure_details");
    }
    pub mod tools {
        pub mod protos {
            tonic::include_proto!("tools.protos");
        }
    }
    pub mod google {
        pub mod devtools {
            pub mod build {
                pub mod v1 {
                    tonic::include_proto!("google.devtools.build.v1");
                }
            }
        }
        pub mod bytestream {
            tonic::include_proto!("google.bytestream");
        }
        pub mod longrunning {
            tonic::include_proto!("google.longrunning");
        }
        pub mod rpc {
            tonic::include_proto!("google.rpc");
        }
    }
    pub mod build {
        pub mod bazel {
            pub mod semver {
                tonic::include_proto!("build.bazel.semver");
            }
            pub mod remote {
                pub mod execution {
                    pub mod v2 {
                        tonic::include_proto!("build.bazel.remote.execution.v2");
                    }
                }
            }
        }
    }
}

pub use generated::build::bazel::remote::execution::v2 as reapi;
pub use generated::build::bazel::semver;
pub use generated::google::devtools::build::v1 as build_events;
pub use generated::google::{bytestream, longrunning, rpc};
pub use generated::tools::protos as spawn;
pub use generated::{build_event_stream, command_line, failure_details};

impl fmt::Debug for bytestream::ReadResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ReadResponse({} bytes)", self.data.len())
    }
}

impl fmt::Debug for bytestream::WriteRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WriteRequest")
            .field("resource_name", &self.resource_name)
            .field("write_offset", &self.write_offset)
            .field("finish_write", &self.finish_write)
            .field("bytes", &self.data.len())
            .finish()
    }
}

impl fmt::Debug for reapi::OutputFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OutputFile")
            .field("path", &self.path)
            .field("digest", &self.digest)
            .field("is_executable", &self.is_executable)
            .field("inline_bytes", &self.contents.len())
            .finish()
    }
}

impl fmt::Debug for reapi::batch_update_blobs_request::Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Request({:?}, {} bytes, compressor {})",
            self.digest,
            self.data.len(),
            self.compressor
        )
    }
}

impl fmt::Debug for reapi::batch_read_blobs_response::Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Response({:?}, {} bytes, {:?})",
            self.digest,
            self.data.len(),
            self.status
        )
    }
}
