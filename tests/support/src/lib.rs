//! What the integration tests are built on: an LLVM, real programs as ThinLTO bitcode, real links
//! of them; a scripted farm, a faulty network, real servers.
//!
//! What relto should do with them is for the tests to say, never for this module.

pub mod backends;
pub mod built;
pub mod campaign;
pub mod cgroup;
pub mod chromium;
pub mod clean_home;
pub mod compiler;
pub mod corpus;
pub mod daemon;
pub mod debian;
pub mod denied;
pub mod event_server;
pub mod executable;
pub mod fake;
pub mod farm;
pub mod flood;
pub mod http_store;
pub mod kernel;
pub mod kernel_edits;
pub mod kernel_tree;
pub mod lease;
pub mod link;
pub mod llvm;
pub mod measure;
pub mod memory;
pub mod mount;
pub mod outcome;
pub mod program;
pub mod proxy;
pub mod raw;
pub mod remote;
pub mod repeat;
pub mod saved;
pub mod servers;
pub mod skip;
pub mod tls;
pub mod tls_flood;
pub mod toolchain_dir;
pub mod web;
pub mod wrapped;
