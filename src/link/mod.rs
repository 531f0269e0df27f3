//! One link, from the job file to the last object.
//!
//! [`Engine`] outlives links and runs them. A link plans its jobs ([`Planner`]), looks each up in
//! the disk cache, hands the others to local and remote runners through the queue of
//! [`exec`](crate::exec), and delivers every result. It owns cancellation: when one job fails, or
//! lld is gone, everything stops. What the user sees of it is sent as events.

mod cached;
mod connections;
mod delivery;
mod description;
mod engine;
mod error;
mod failure;
mod farm;
mod keeper;
mod keys;
mod options;
mod other_links;
mod planner;
mod run;
mod runners;
mod slices;
mod stats;
mod stores;
mod verify;

pub use self::engine::Engine;
pub use self::error::LinkError;
pub use self::failure::LinkFailure;
pub use self::keys::common_ingredients;
pub use self::options::{FarmOptions, Options, RecordOptions, VerifyOptions};
pub use self::planner::{Planner, module_note};
pub use self::slices::{ExplainedSlice, SliceExplainer};
pub use self::verify::{CachedJob, NoKey};
