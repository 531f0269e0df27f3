//! Slice keys compared with the compiler: what a key covers, and that equal keys mean equal
//! objects.

mod campaign;
mod farm;
mod figures;
mod ir;
mod lab;
mod links;
mod pieces;
pub(crate) mod rust;
pub(crate) mod source;
mod tools;
