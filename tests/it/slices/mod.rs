//! Slice keys, held against the compiler: what enters a key, and that equal keys mean equal objects.

mod campaign;
mod fields;
mod links;
mod source;
