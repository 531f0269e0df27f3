//! The engine of `relto`, the ThinLTO distributor.
//!
//! A library only so that its own tests, benchmarks and fuzz targets can link it: no stable
//! interface is promised. `ARCHITECTURE.md` is the map. The modules, from the ground up:

// L0
pub mod error;
pub mod fs;
pub mod pb;
// L1
pub mod client_context;
pub mod digest;
pub mod events;
pub mod once;
pub mod state;
pub mod task;
// L2
pub mod hash_cache;
pub mod history;
pub mod job;
pub mod process;
pub mod report;
pub mod thinlto;
// L3
pub mod action;
pub mod toolchain;
// L4
pub mod cache;
pub mod compiler;
pub mod reapi;
// L5
pub mod exec;
pub mod launcher;
// L6
pub mod link;
pub mod wrapper;
// L7
pub mod config;
pub mod doctor;
pub mod explain;
pub mod prefetch;
// L8
pub mod daemon;
// L9
pub mod cli;
