//! One process per user that runs the links of other processes, and keeps connections, digests and
//! what it knows of the farm between them.
//!
//! Nothing depends on it: a process that finds no daemon, or loses it, does the work itself.
//! Whether there is to be one is said in the settings.
//!
//! A daemon lives in a [`RuntimeDir`]; [`start`] starts it there, [`server`] accepts connections,
//! [`connection`] serves one of them, and the [`engines`] outlive them. [`client`] is the other
//! end, and [`protocol`] is what both ends say. [`state`] is what all connections share.

mod build;
mod build_streams;
mod client;
mod connection;
mod engines;
mod frames;
mod link_request;
mod prefetch_request;
mod protocol;
mod publish_request;
mod runtime_dir;
mod server;
mod start;
mod state;
mod stats;

pub use build::Build;
pub use client::{DaemonClient, Unavailable, control};
pub use protocol::{DaemonRequest, LinkRequest, Purpose, Status};
pub use runtime_dir::RuntimeDir;
pub use server::{DaemonConfig, TLS_VARIABLES, serve};
pub use start::SERVE;
