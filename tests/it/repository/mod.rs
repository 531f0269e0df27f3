//! The repository agrees with its own documents.

mod documents;
mod layering;
mod security_table;
