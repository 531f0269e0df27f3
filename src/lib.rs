//! The engine of `relto`, the ThinLTO distributor.
//!
//! A library only so that its own tests, benchmarks and fuzz targets can link it: no stable interface is promised.
//! `ARCHITECTURE.md` is the map. The modules, from the ground up:

// L0
pub mod error;
pub mod pb;
// L1
pub mod digest;
pub mod events;
pub mod fs;
pub mod task;
