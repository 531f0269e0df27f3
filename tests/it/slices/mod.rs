//! Slice keys compared with the compiler: what a key covers, and that equal keys mean equal
//! objects.

mod campaign;
mod fields;
mod links;
mod source;
