//! One process for many links of one user: it keeps connections, digests and what is known about
//! the farm as long as there is work.
//!
//! Clients are processes that the build or the linker started; they connect through a socket that
//! only this user can open, and receive events and a verdict. Nothing depends on the daemon: a
//! process that finds none, or loses it, does the work itself.
//!
//! [`runtime_dir`] is the daemon's directory, [`start`] starts it, [`server`] waits for clients,
//! [`connection`] serves one of them, and [`engines`] hold what outlives them. [`client`] is the
//! other end, and [`protocol`] defines what both send.

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
