//! Renames the modules of a shard and puts its summary into canonical order.
//!
//! Only two blocks and the lengths around them change; nothing else in a shard holds a path or an
//! offset. The caller has to choose names that sort like the old ones, because imports are
//! processed in path order.

use super::bitstream::{
    Abbrev, BlockHeader, Records, ScalarEncoding, Tail, UNABBREVIATED, char6_index,
};
use super::canonical::{Obstacle, canonical};
use super::index::{Index, strtab};
use crate::error::Hinted;

#[cfg(test)]
mod tests;

/// How far a shard is canonical.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Names and order.
    Canonical,
    /// Names only; the summary keeps its order for this reason.
    NamesOnly(Obstacle),
}

/// A rewritten shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rewritten {
    pub bytes: Vec<u8>,
    pub form: Form,
}

/// Why modules cannot have the given names.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RewriteError {
    #[error("there are {names} names for {modules} modules of a ThinLTO index")]
    Count { names: usize, modules: usize },
    #[error("the new name for module `{path}` of a ThinLTO index is empty")]
    Empty { path: String },
    #[error("two modules of a ThinLTO index would be named `{name}`")]
    Twice { name: String },
    #[error("the new ThinLTO index would be too large")]
    TooLarge,
}

impl Hinted for RewriteError {}

impl Index<'_> {
    /// The shard with `names`, one for each of [`modules`](Index::modules) in that order, and with
    /// its summary in canonical order where that is possible.
    ///
    /// # Errors
    /// There are more or fewer names than modules, or the names are not one-to-one.
    pub fn rewrite<N: AsRef<[u8]>>(&self, names: &[N]) -> Result<Rewritten, RewriteError> {
        let strtab = self.renamed(names)?;
        let (form, summary) = match self.canonical_summary() {
            Ok(summary) => (Form::Canonical, Some(summary)),
            Err(obstacle) => (Form::NamesOnly(obstacle), None),
        };
        let bytes = self.with_blocks(&strtab, summary.as_ref())?;
        Ok(Rewritten { bytes, form })
    }

    /// The shard with another list of modules, and with another summary or its own.
    fn with_blocks(
        &self,
        strtab: &Records,
        summary: Option<&Records>,
    ) -> Result<Vec<u8>, RewriteError> {
        let mut edits = vec![(&self.strtab_block, strtab.body())];
        edits.extend(summary.map(|summary| (&self.summary_block, summary.body())));
        self.splice(edits).ok_or(RewriteError::TooLarge)
    }

    fn check<N: AsRef<[u8]>>(&self, names: &[N]) -> Result<(), RewriteError> {
        let lossy = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        if names.len() != self.modules().len() {
            return Err(RewriteError::Count {
                names: names.len(),
                modules: self.modules().len(),
            });
        }
        let mut sorted: Vec<&[u8]> = names.iter().map(AsRef::as_ref).collect();
        if let Some(position) = sorted.iter().position(|name| name.is_empty()) {
            return Err(RewriteError::Empty {
                path: lossy(&self.modules()[position].path),
            });
        }
        sorted.sort_unstable();
        match sorted.windows(2).find(|pair| pair[0] == pair[1]) {
            Some(pair) => Err(RewriteError::Twice {
                name: lossy(pair[0]),
            }),
            None => Ok(()),
        }
    }

    fn renamed<N: AsRef<[u8]>>(&self, names: &[N]) -> Result<Records, RewriteError> {
        self.check(names)?;
        let encodings = Encodings::of(&self.strtab);
        let mut out = self.strtab.emptied();
        let mut names = names.iter().map(AsRef::as_ref);
        let mut modules = self.modules().iter();
        for record in self.strtab.iter() {
            if record.code != strtab::ENTRY {
                out.push_copy(record);
                continue;
            }
            // `check` made sure that there are as many names as modules, and so as entries.
            match (modules.next(), names.next()) {
                (Some(module), Some(name)) if module.path != name => {
                    let head = [strtab::ENTRY, module.id];
                    let path = name.iter().map(|byte| u64::from(*byte));
                    out.push(head.into_iter().chain(path), encodings.for_name(name));
                }
                _ => {
                    out.push_copy(record);
                }
            }
        }
        Ok(out)
    }

    fn canonical_summary(&self) -> Result<Records, Obstacle> {
        match self.foreign_block {
            Some(id) => Err(Obstacle::UnknownBlock { id }),
            None => canonical(&self.summary),
        }
    }

    /// The stream with other bodies for blocks inside the module block. Returns `None` if a length
    /// does not fit 32 bits.
    fn splice(&self, mut edits: Vec<(&BlockHeader, Vec<u8>)>) -> Option<Vec<u8>> {
        edits.sort_by_key(|(header, _)| header.body.start);
        let bodies: usize = edits.iter().map(|(_, body)| body.len()).sum();
        let mut out = Vec::with_capacity(self.stream.len() + bodies);
        let mut copied = 0;
        for (header, body) in &edits {
            out.extend_from_slice(&self.stream[copied..header.length_at]);
            out.extend_from_slice(&length_word(body.len())?);
            out.extend_from_slice(body);
            copied = header.body.end;
        }
        // The module block ends as far from the end of the stream as before.
        let behind = self.stream.len() - self.module_block.body.end;
        out.extend_from_slice(&self.stream[copied..]);
        let length = length_word(out.len() - behind - self.module_block.body.start)?;
        let length_at = self.module_block.length_at;
        out[length_at..length_at + length.len()].copy_from_slice(&length);
        Some(out)
    }
}

fn length_word(bytes: usize) -> Option<[u8; 4]> {
    u32::try_from(bytes / 4).ok().map(u32::to_le_bytes)
}

/// The abbreviations that a shard defines for paths; LLVM's writer chooses among them in the same
/// way.
struct Encodings {
    char6: u32,
    seven_bits: u32,
    eight_bits: u32,
}

impl Encodings {
    fn of(records: &Records) -> Self {
        let with = |element: ScalarEncoding| {
            let mut found = records
                .abbrevs()
                .filter(|(_, abbrev)| is_entry(abbrev, element));
            found.next().map_or(UNABBREVIATED, |(id, _)| id)
        };
        Self {
            char6: with(ScalarEncoding::Char6),
            seven_bits: with(ScalarEncoding::Fixed(7)),
            eight_bits: with(ScalarEncoding::Fixed(8)),
        }
    }

    fn for_name(&self, name: &[u8]) -> u32 {
        if name
            .iter()
            .all(|byte| char6_index(u64::from(*byte)).is_some())
        {
            self.char6
        } else if name.is_ascii() {
            self.seven_bits
        } else {
            self.eight_bits
        }
    }
}

/// `[ENTRY, id, array of element]`
fn is_entry(abbrev: &Abbrev, element: ScalarEncoding) -> bool {
    abbrev.tail == Tail::Array(element)
        && matches!(
            abbrev.scalars[..],
            [
                ScalarEncoding::Literal(strtab::ENTRY),
                ScalarEncoding::Vbr(_)
            ]
        )
}
