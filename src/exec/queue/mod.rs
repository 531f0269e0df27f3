//! The queue of jobs that wait for a slot of this machine or of the farm.
//!
//! Planning pushes jobs, each with the executors that may run it; slots take [`Assignment`]s until
//! every job has a result. Both executors may work on one job at once: the first to claim it writes
//! its outputs, and the other is superseded.

mod assignment;
mod duplicates;
mod executor;
mod memory;
mod policy;
mod slot;
mod state;

#[cfg(test)]
mod tests;

pub use self::assignment::{Assignment, Claim, NotTaken, Queue};
pub use self::executor::{Executor, ExecutorSet};
pub use self::slot::{AttemptOutcome, Runner, run_slot};
