//! A string table as LLVM's `StringTableBuilder` lays it out for ELF.

use std::borrow::Borrow;

/// The bytes of a table, and the offset of each name in it.
#[derive(Debug)]
pub(super) struct StringTable {
    pub(super) bytes: Vec<u8>,
    places: Vec<u32>,
}

impl StringTable {
    /// Lays out a table of `names`. `order` has all their positions; it takes the less time the
    /// more of them are in the order of the table already.
    pub(super) fn layout(names: &[impl Borrow<[u8]>], mut order: Vec<usize>) -> Self {
        let name = |position: usize| -> &[u8] { names[position].borrow() };
        // By the bytes from the end on, the greater first; what another name ends with follows it.
        order.sort_by(|a, b| name(*b).iter().rev().cmp(name(*a).iter().rev()));
        let mut bytes = vec![0];
        let mut places = vec![0; names.len()];
        let mut previous: &[u8] = b"";
        for position in order {
            let name = name(position);
            let start = if name.is_empty() {
                0
            } else if previous.ends_with(name) {
                bytes.len() - name.len() - 1
            } else {
                let start = bytes.len();
                bytes.extend_from_slice(name);
                bytes.push(0);
                previous = name;
                start
            };
            // Objects with larger tables are not parsed.
            places[position] = u32::try_from(start).unwrap_or(u32::MAX);
        }
        Self { bytes, places }
    }

    /// Where the name at this position stands.
    pub(super) fn place(&self, position: usize) -> u32 {
        self.places[position]
    }
}
