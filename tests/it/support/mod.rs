//! What the integration tests are built on: an LLVM, real programs as ThinLTO bitcode, real links
//! of them; a scripted farm, a faulty network, real servers.
//!
//! What relto should do with them is for the tests to say, never for this module.

#![allow(
    dead_code,
    unused_imports,
    unused_macros,
    clippy::allow_attributes,
    reason = "a knob is there for the themes; not each is turned at any time"
)]

pub(crate) mod backends;
pub(crate) mod clean_home;
pub(crate) mod compiler;
pub(crate) mod corpus;
pub(crate) mod daemon;
pub(crate) mod fake;
pub(crate) mod farm;
pub(crate) mod kernel;
pub(crate) mod kernel_tree;
pub(crate) mod lease;
pub(crate) mod link;
pub(crate) mod llvm;
pub(crate) mod memory;
pub(crate) mod mount;
pub(crate) mod outcome;
pub(crate) mod program;
pub(crate) mod proxy;
pub(crate) mod raw;
pub(crate) mod remote;
pub(crate) mod repeat;
pub(crate) mod saved;
pub(crate) mod servers;
pub(crate) mod skip;
pub(crate) mod tls;
pub(crate) mod toolchain_dir;
pub(crate) mod wrapped;
