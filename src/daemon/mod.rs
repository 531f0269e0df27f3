//! One process for many links: it keeps connections, digests and what is known of the farm, as long
//! as it has work.
//!
//! Enters: links of one user, from processes that the build or the linker started, through a socket
//! that only this user can open. Leaves: what `link` leaves, for those processes: events as they
//! happen, and a verdict. Nothing depends on it: who finds no daemon, or loses it, does the work
//! itself. Whether there is to be one is said in the settings.
//!
//! The parts: `place` is where it lives, `start` starts it, `server` waits for callers,
//! `conversation` is one of them, `engines` is what outlives them; `client` is the other end.
//! `protocol` is what both ends say.

mod build;
mod client;
mod connection;
mod engines;
mod frames;
mod link_request;
mod prefetch_request;
mod protocol;
mod runtime_dir;
mod server;
mod start;
mod stats;

pub use build::Build;
pub use client::{DaemonClient, Unavailable, control};
pub use protocol::{LinkRequest, Purpose, Request, Status};
pub use runtime_dir::RuntimeDir;
pub use server::{DaemonConfig, TLS_VARIABLES, serve};
pub use start::SERVE;
