//! Publishes what happens in a link by the Build Event Protocol, so that the farm's own web
//! interface has a page for it.
//!
//! [`InvocationEvents`](invocation::InvocationEvents) turns the engine's events into build events,
//! without I/O; an [`EventQueue`](queue::EventQueue) numbers them and keeps them until they are
//! acknowledged; [`stream`] sends them, again with the same numbers where a stream breaks. A
//! [`Publisher`] does this for one link on a thread of its own.
//!
//! A server that fails, stalls or lies costs the link at most `bes_timeout`, at its end, and never
//! its result. What enters an event is chosen here: no header, no argument of a compiler, no
//! variable outside a short list, and no absolute path ([`text`]).

mod build;
mod ids;
mod invocation;
mod lifecycle;
mod logs;
mod options;
mod publication;
mod publisher;
mod queue;
mod stream;
mod text;

pub use build::BuildStream;
pub use invocation::{FailedAction, Outcome};
pub use logs::ToolLog;
pub use options::{BesOptions, UploadMode};
pub use publication::Publication;
pub use publisher::{Closing, NotPublished, Publisher, publish_here};
