//! The niceness, resource limits and CPU affinity of a process, which a program inherits from the
//! process that starts it.
//!
//! Two processes compare them before one of them works for the other.

use rustix::process::{Resource, getpriority_process, getrlimit};
use rustix::thread::sched_getaffinity;
use serde::{Deserialize, Serialize};

/// Those that a compiler can run into.
const RESOURCES: [Resource; 5] = [
    Resource::As,
    Resource::Cpu,
    Resource::Data,
    Resource::Fsize,
    Resource::Stack,
];

/// What a program has that this process starts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    nice: Option<i32>,
    /// In the kernel's units; `None` is no limit.
    resources: [Option<u64>; RESOURCES.len()],
    /// The numbers of those that it may run on.
    processors: Vec<usize>,
}

impl Limits {
    /// Those of this process.
    #[must_use]
    pub fn of_process() -> Self {
        let set = sched_getaffinity(None).ok();
        let is_ours = |number: &usize| set.as_ref().is_some_and(|set| set.is_set(*number));
        Self {
            nice: getpriority_process(None).ok(),
            resources: RESOURCES.map(|resource| getrlimit(resource).current),
            processors: (0..rustix::thread::CpuSet::MAX_CPU)
                .filter(is_ours)
                .collect(),
        }
    }
}
