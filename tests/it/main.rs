//! The integration tests: one binary, one module for each theme. `tests/run.sh` prepares the
//! machine and runs them all.
//!
//! They use the LLVM that `RELTO_TEST_LLVM_ROOT` names, else Debian's, and real servers where
//! `RELTO_TEST_*` variables name programs that start them.

use relto_testing as support;

mod ahead;
mod arguments;
mod boundaries;
mod cache;
mod cli;
mod client;
mod client_action;
mod client_farms;
mod client_real;
mod compiler_config;
mod configuration;
mod confinement;
mod contract;
mod daemon;
mod doctor;
mod dynamic;
mod ends;
mod explain;
mod faults;
mod faulty_network;
mod figures;
mod full_disk;
mod guards;
mod harness;
mod hits;
mod index;
mod index_command;
mod interface;
mod kernel;
mod keys;
mod launcher;
mod launcher_builds;
mod launcher_drivers;
mod launcher_ends;
mod launcher_farm;
mod launcher_faults;
mod launcher_forms;
mod launcher_make;
mod launcher_outputs;
mod layering;
mod limits;
mod links;
mod make;
mod matrix;
mod memory;
mod messages;
mod misses;
mod names;
mod other_releases;
mod parent;
mod planning;
mod process;
mod real_caches;
mod real_servers;
mod remote;
mod remote_fallback;
mod remote_real;
mod remote_toolchain;
mod rust;
mod sandbox;
mod scratch;
mod scripted_farm;
mod security_table;
mod slices;
mod streaming;
mod toolchain;
mod twins;
mod uncached;
mod verify;
mod wire;
mod wrapper;
