//! `relto ld` links the same program as the linker alone.

mod ends;
mod forms;
mod options;
mod releases;
mod resolution;
mod wasm;
