//! The two executors, and the set of those that may run a job.

/// What runs a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Executor {
    /// The farm.
    Remote,
    /// A slot of this machine.
    Local,
}

/// The executors that may run a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExecutorSet {
    pub remote: bool,
    pub local: bool,
}

impl ExecutorSet {
    pub const REMOTE: Self = Self {
        remote: true,
        local: false,
    };
    pub const LOCAL: Self = Self {
        remote: false,
        local: true,
    };
    pub const BOTH: Self = Self {
        remote: true,
        local: true,
    };
}
