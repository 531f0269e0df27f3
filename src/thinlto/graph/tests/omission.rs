//! Leaves one field out of all digests that a thread makes.
//!
//! A field is a place in the source that writes to an encoder, together with the kind of record and
//! the part of it that is written there.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::fmt;
use std::panic::Location;
use std::path::Path;

/// Parts of a record that are told apart.
const PARTS: usize = 8;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in super::super) struct WrittenField {
    file: &'static str,
    line: u32,
    kind: u64,
    part: usize,
}

impl WrittenField {
    /// Whether the field is written at this line of a file of the reader.
    pub(super) fn is_at(&self, file: &str, line: &str) -> bool {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(self.file);
        let text = fs_err::read_to_string(&path).expect("a source file");
        let number = usize::try_from(self.line).expect("a line number");
        let written = text.lines().nth(number - 1);
        path.ends_with(file) && written.map(str::trim) == Some(line)
    }
}

impl fmt::Display for WrittenField {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (block, code) = (self.kind >> 32, self.kind & 0xFFFF_FFFF);
        let Self {
            file, line, part, ..
        } = self;
        write!(
            out,
            "{file}:{line}: block {block}, record {code}, part {part}"
        )
    }
}

thread_local! {
    static OMITTED: Cell<Option<WrittenField>> = const { Cell::new(None) };
    static WRITTEN: RefCell<BTreeSet<WrittenField>> = const { RefCell::new(BTreeSet::new()) };
    static KIND: Cell<(u64, usize)> = const { Cell::new((0, 0)) };
}

pub(in super::super) fn within(kind: u64) {
    KIND.set((kind, 0));
}

pub(in super::super) fn part(number: usize) {
    KIND.set((KIND.get().0, number.min(PARTS - 1)));
}

/// Notes the field that is written, and says whether it is the one to leave out.
#[track_caller]
pub(in super::super) fn is_left_out() -> bool {
    let place = Location::caller();
    let (kind, part) = KIND.get();
    let field = WrittenField {
        file: place.file(),
        line: place.line(),
        kind,
        part,
    };
    WRITTEN.with_borrow_mut(|written| written.insert(field));
    OMITTED.get() == Some(field)
}

/// Makes `of` without a field.
pub(super) fn without<T>(field: WrittenField, of: impl FnOnce() -> T) -> T {
    OMITTED.set(Some(field));
    let made = of();
    OMITTED.set(None);
    made
}

/// The fields that `of` writes.
pub(super) fn written(of: impl FnOnce()) -> BTreeSet<WrittenField> {
    WRITTEN.take();
    of();
    WRITTEN.take()
}
