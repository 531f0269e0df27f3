//! `relto ld` links the same program as the linker alone.

mod dependencies;
mod drivers;
mod ends;
mod farms;
mod forms;
mod guards;
mod kinds;
mod macho;
mod messages;
mod options;
mod random;
mod releases;
mod resolution;
mod rust;
mod scripts;
mod targets;
mod wasm;
