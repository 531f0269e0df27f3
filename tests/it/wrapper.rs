//! `relto ld`: what it links is what the linker links alone.

mod ends;
mod forms;
mod options;
mod releases;
mod resolution;
mod wasm;
