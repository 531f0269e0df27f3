//! A string table as LLVM's `StringTableBuilder` lays it out for ELF.

use std::collections::HashMap;

/// The bytes of a table, and the offset of each name in it.
#[derive(Debug)]
pub(super) struct StringTable<'a> {
    pub(super) bytes: Vec<u8>,
    places: HashMap<&'a [u8], u32>,
}

impl<'a> StringTable<'a> {
    /// Lays out a table of these names; each may come more than once.
    pub(super) fn layout(names: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut sorted: Vec<&[u8]> = names.into_iter().filter(|name| !name.is_empty()).collect();
        // By the bytes from the end on, the greater first; what another name ends with follows it.
        sorted.sort_unstable_by(|a, b| b.iter().rev().cmp(a.iter().rev()));
        sorted.dedup();
        let mut bytes = vec![0];
        let mut places = HashMap::with_capacity(sorted.len() + 1);
        places.insert(&b""[..], 0);
        let mut previous: &[u8] = b"";
        for name in sorted {
            let start = if previous.ends_with(name) {
                bytes.len() - name.len() - 1
            } else {
                let start = bytes.len();
                bytes.extend_from_slice(name);
                bytes.push(0);
                previous = name;
                start
            };
            // Objects with larger tables are not parsed.
            places.insert(name, u32::try_from(start).unwrap_or(u32::MAX));
        }
        Self { bytes, places }
    }

    pub(super) fn place(&self, name: &[u8]) -> Option<u32> {
        self.places.get(name).copied()
    }
}
