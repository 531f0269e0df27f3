//! Renames promoted locals in an ELF object to the names that another link gave them.
//!
//! A promoted local is called `NAME.llvm.NUMBER`, and the number depends on the link. [`restore`]
//! takes an object and, for each module of its job, the old and the new number; the result is bit
//! for bit what the compiler would have written. Such names are in the string table only, which
//! is laid out anew as LLVM's `StringTableBuilder` does: sorted by their reversed bytes in
//! descending order, where a name that is the end of another one shares its bytes. The section
//! headers follow the table and move with its size; everything before it stays where it is.
//!
//! Any other form is refused, and so are names that change places ([`order`]).

mod elf;
mod order;
mod table;

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::ops::Range;

use memchr::memmem::{self, Finder};

use self::elf::{Elf, Name};
use self::table::StringTable;
use crate::thinlto::PROMOTED;

/// Smaller numbers occur anywhere by chance. A module without a hash counts as zero.
const LEAST: u64 = 10_000_000;

/// The old and the new number of each module, each once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Renumbering(Vec<(u64, u64)>);

/// Why the names of an object cannot be restored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RestoreError {
    #[error("it is not an ELF object of the form that is known")]
    Form,
    #[error("its string table is not laid out as expected")]
    Layout,
    #[error("a module's hash stands outside of the string table")]
    HashElsewhere,
    #[error("a module's hash is too short to be told from other numbers")]
    ShortHash,
    #[error("a name holds the hash of a module that is not of the job")]
    OtherHash,
    #[error("one number for two modules, or two for one")]
    Ambiguous,
    #[error("names of one spelling change places")]
    Order,
}

impl Renumbering {
    /// Numbers `pairs` of (then, now), one for each module of a job.
    ///
    /// # Errors
    /// Modules that shared a number do not share one now, or the other way round.
    pub fn new(pairs: impl IntoIterator<Item = (u64, u64)>) -> Result<Self, RestoreError> {
        let mut by_old: Vec<(u64, u64)> = pairs.into_iter().collect();
        by_old.sort_unstable();
        by_old.dedup();
        let mut new: Vec<u64> = by_old.iter().map(|(_, new)| *new).collect();
        new.sort_unstable();
        let ambiguous = by_old.windows(2).any(|pair| pair[0].0 == pair[1].0)
            || new.windows(2).any(|pair| pair[0] == pair[1]);
        if ambiguous {
            return Err(RestoreError::Ambiguous);
        }
        Ok(Self(by_old))
    }

    fn get(&self, old: u64) -> Option<u64> {
        let position = self.0.binary_search_by_key(&old, |(old, _)| *old).ok()?;
        Some(self.0[position].1)
    }

    fn old(&self) -> impl Iterator<Item = u64> {
        self.0.iter().map(|(old, _)| *old)
    }

    /// A name with its numbers replaced.
    fn rename(&self, name: &[u8]) -> Vec<u8> {
        let mut renamed = Vec::with_capacity(name.len());
        let mut copied = 0;
        for place in numbers_in(name) {
            if let Some(new) = self.renumbered(&name[place.clone()]) {
                renamed.extend_from_slice(&name[copied..place.start]);
                renamed.extend_from_slice(&new);
                copied = place.end;
            }
        }
        renamed.extend_from_slice(&name[copied..]);
        renamed
    }

    /// The new digits for old ones.
    fn renumbered(&self, digits: &[u8]) -> Option<Vec<u8>> {
        let new = number(digits).and_then(|old| self.get(old))?;
        Some(new.to_string().into_bytes())
    }
}

/// Whether the names of `object` could be restored: it has the known form, its string table is the
/// one that would be laid out for its names, and no number of `numbers` occurs anywhere else in it,
/// as text or as eight bytes.
///
/// # Errors
/// They could not.
pub fn check(object: &[u8], numbers: &[u64]) -> Result<(), RestoreError> {
    if numbers.iter().any(|number| *number < LEAST) {
        return Err(RestoreError::ShortHash);
    }
    let elf = Elf::parse(object).ok_or(RestoreError::Form)?;
    let (before, after) = elf.around_strings();
    let identity = Renumbering::new(numbers.iter().map(|number| (*number, *number)))?;
    if [before, after].iter().any(|bytes| holds(bytes, &identity)) {
        return Err(RestoreError::HashElsewhere);
    }
    match restore(object, &identity) {
        Ok(same) if same == object => Ok(()),
        Ok(_) => Err(RestoreError::Layout),
        Err(error) => Err(error),
    }
}

/// Whether all names in `object` that look like those of promoted locals hold one of `numbers`.
///
/// # Errors
/// One does not, or the object does not have the known form.
pub fn check_names(object: &[u8], numbers: &[u64]) -> Result<(), RestoreError> {
    let elf = Elf::parse(object).ok_or(RestoreError::Form)?;
    for name in elf.names().ok_or(RestoreError::Form)? {
        let is_known = |digits: &[u8]| number(digits).is_some_and(|it| numbers.contains(&it));
        if !numbers_in(name.text).all(|place| is_known(&name.text[place])) {
            return Err(RestoreError::OtherHash);
        }
    }
    Ok(())
}

/// Returns `object` with the new numbers.
///
/// # Errors
/// The object does not have the known form, or something in it could be in another order then.
pub fn restore(object: &[u8], numbers: &Renumbering) -> Result<Vec<u8>, RestoreError> {
    let elf = Elf::parse(object).ok_or(RestoreError::Form)?;
    let names = elf.names().ok_or(RestoreError::Form)?;
    let distinct = DistinctNames::new(&names);
    let suffix = Finder::new(PROMOTED);
    let (mut kept, mut changed) = (Vec::with_capacity(distinct.names.len()), Vec::new());
    let mut texts: Vec<Cow<'_, [u8]>> = Vec::with_capacity(distinct.names.len());
    for (position, name) in distinct.names.iter().enumerate() {
        if suffix.find(name).is_some() {
            changed.push(position);
            texts.push(Cow::Owned(numbers.rename(name)));
        } else {
            kept.push(position);
            texts.push(Cow::Borrowed(name));
        }
    }
    if !order::is_kept(changed.iter().map(|at| distinct.names[*at]), numbers) {
        return Err(RestoreError::Order);
    }
    // The others stay in their order.
    kept.extend(changed);
    let table = StringTable::layout(&texts, kept);
    let places = distinct.of_each.iter().map(|name| table.place(*name));
    elf.with_strings(&table.bytes, places)
        .ok_or(RestoreError::Form)
}

/// The names of an object in the order of its string table, each once.
struct DistinctNames<'a> {
    names: Vec<&'a [u8]>,
    /// For each name of the object, its position in `names`.
    of_each: Vec<usize>,
}

impl<'a> DistinctNames<'a> {
    fn new(names: &[Name<'a>]) -> Self {
        let mut order: Vec<usize> = (0..names.len()).collect();
        order.sort_unstable_by_key(|at| names[*at].start);
        let mut distinct = Self {
            names: Vec::with_capacity(names.len()),
            of_each: vec![0; names.len()],
        };
        let mut last = None;
        for at in order {
            let name = &names[at];
            if last.replace(name.start) != Some(name.start) {
                distinct.names.push(name.text);
            }
            distinct.of_each[at] = distinct.names.len() - 1;
        }
        distinct
    }
}

/// Whether `bytes` contain any old number, as decimal text or as eight bytes in either order.
fn holds(bytes: &[u8], numbers: &Renumbering) -> bool {
    let old: Vec<u64> = numbers.old().collect();
    let old_texts: Vec<String> = old.iter().map(u64::to_string).collect();
    let mut text = bytes
        .split(|byte| !byte.is_ascii_digit())
        .filter(|digits| digits.len() >= 8);
    let in_text = text.any(|digits| {
        let mut texts = old_texts.iter();
        texts.any(|text| memmem::find(digits, text.as_bytes()).is_some())
    });
    in_text || holds_word(bytes, &old)
}

/// Whether eight bytes anywhere are one of `numbers`, in either order.
fn holds_word(bytes: &[u8], numbers: &[u64]) -> bool {
    let mut words: Vec<u64> = numbers
        .iter()
        .flat_map(|number| [*number, number.swap_bytes()])
        .collect();
    words.sort_unstable();
    // An object has millions of windows, and hardly any of them begins like a number.
    let mut begins = vec![false; 1 << 16];
    let beginning = |word: u64| (word % (1 << 16)) as usize;
    for word in &words {
        begins[beginning(*word)] = true;
    }
    bytes.windows(8).any(|window| {
        let word = window.first_chunk::<8>().copied().unwrap_or_default();
        let word = u64::from_le_bytes(word);
        begins[beginning(word)] && words.binary_search(&word).is_ok()
    })
}

/// Where digits follow [`PROMOTED`] in a name.
fn numbers_in(name: &[u8]) -> impl Iterator<Item = Range<usize>> {
    let starts = memmem::find_iter(name, PROMOTED).map(|at| at + PROMOTED.len());
    starts.filter_map(|start| {
        let digits = name[start..]
            .iter()
            .take_while(|byte| byte.is_ascii_digit());
        let end = start + digits.count();
        (end > start).then_some(start..end)
    })
}

fn number(digits: &[u8]) -> Option<u64> {
    if digits.len() > 1 && digits[0] == b'0' {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}
