//! Decides when to call a server, how often to try again, and when to give it up.

pub(crate) mod circuit;
pub(crate) mod concurrency;
pub(crate) mod idle;
pub(crate) mod retry;
