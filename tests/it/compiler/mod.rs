//! What relto asks a compiler and reads of its configuration.

mod answers;
mod config;
mod questions;
