//! The integration tests: one binary, one module for each theme. `tests/run.sh` prepares the
//! machine and runs them all.
//!
//! They use the LLVM that `RELTO_TEST_LLVM_ROOT` names, else Debian's, and real servers where
//! `RELTO_TEST_*` variables name programs that start them.

use relto_testing as support;

mod ahead;
mod arguments;
mod bes;
mod boundaries;
mod builds;
mod cache;
mod cli;
mod client;
mod compiler;
mod configuration;
mod confinement;
mod contract;
mod daemon;
mod doctor;
mod duplicates;
mod dynamic;
mod ends;
mod explain;
mod faults;
mod faulty_network;
mod figures;
mod floods;
mod full_disk;
mod guards;
mod harness;
mod hostile_state;
mod index;
mod interface;
mod kernel;
mod launcher;
mod limits;
mod links;
mod make;
mod matrix;
mod memory;
mod messages;
mod names;
mod option_sweep;
mod other_releases;
mod parent;
mod planning;
mod process;
mod random_links;
mod reading;
mod real_servers;
mod remote;
mod report;
mod repository;
mod rust;
mod sandbox;
mod scratch;
mod scripted_farm;
mod silent_names;
mod simultaneous;
mod slices;
mod split_dwarf;
mod streaming;
mod toolchain;
mod uncached;
mod verify;
mod wire;
mod wrapper;
