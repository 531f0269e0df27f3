//! Slice keys compared with the compiler: what a key covers, and that equal keys mean equal
//! objects.

mod campaign;
mod excluded;
mod farm;
mod figures;
mod ir;
mod kept;
mod lab;
mod links;
mod memory;
mod numbered;
mod order;
mod pieces;
mod pulled;
pub(crate) mod rust;
pub(crate) mod source;
mod tools;
mod whole;
