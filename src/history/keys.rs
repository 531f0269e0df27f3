//! What the keys of earlier links were made of, for `relto explain`.
//!
//! A link of thousands of jobs names the same files again and again, so [`LinkKeys`] holds each
//! name and word once. The last different links of each output are kept within a bound, and the
//! newest of all within another.

use std::time::SystemTime;

use rusqlite::{Connection, OptionalExtension as _, Transaction, params};
use serde::{Deserialize, Serialize};

use super::{ModuleKey, ModuleNames, moment};
use crate::digest::Digest;
use crate::events::Origin;
use crate::state::RecordTable;

/// The keys of all links.
pub(super) const TABLE: RecordTable = RecordTable {
    name: "link_keys",
    row_length: "length(keys)",
    row_overhead: 0,
    worth_compressing: 16 << 10,
    max_record: 8 << 20,
    max_total: 64 << 20,
    max_unpacked: 512 << 20,
};

/// How many different links of one output are kept, and how many bytes of them: one of 30,000 jobs
/// takes a few megabytes, and other outputs have a right to their last two.
const MAX_OF_OUTPUT: i64 = 8;
const MAX_BYTES_OF_OUTPUT: i64 = 16 << 20;

/// Something that the digest of an Action depends on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ingredient {
    /// `input relto/m/0000.bc`, `variable SOURCE_DATE_EPOCH`, `toolchain relto/tc/bin/clang`.
    pub name: String,
    pub value: String,
    /// The user's name for it; not part of the key.
    pub known_as: Option<String>,
    /// Equal for modules that differ only in the name of their source file.
    pub sourceless: Option<[u8; 16]>,
}

impl Ingredient {
    /// The user's name for the input that this is.
    pub fn input(&self) -> Option<&str> {
        let known_as = self.known_as.as_deref();
        known_as.filter(|_| self.name.starts_with("input"))
    }
}

/// The keys of one link.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkKeys {
    /// The file that was linked, as the user knows it.
    pub output: String,
    /// What the keys of all jobs depend on.
    pub common: Vec<Ingredient>,
    pub words: Vec<String>,
    pub files: Vec<KeyFile>,
    pub jobs: Vec<JobKey>,
}

/// An input of jobs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyFile {
    /// As the user knows it; [`ModuleNames`] has what is the same in other links.
    pub name: String,
    pub digest: Digest,
    pub sourceless: Option<[u8; 16]>,
}

/// The key of one job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobKey {
    /// As the user knows it, likewise.
    pub module: String,
    /// Where its object came from.
    pub origin: Option<Origin>,
    /// Or why there is no key.
    pub parts: Result<KeyParts, String>,
}

/// What a key is made of besides [`LinkKeys::common`]; numbers are positions in its lists.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyParts {
    pub action: Digest,
    pub index: Digest,
    pub words: Vec<u32>,
    pub files: Vec<u32>,
    /// The second key, if the job was looked up by it.
    pub slice: Option<SliceLookup>,
}

/// The slice key of a job that was not found by its own key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SliceLookup {
    pub key: Digest,
    /// Whether a result was found.
    pub found: bool,
    /// How many imports count by their slices, and how many whole.
    pub sliced: u32,
    pub whole: u32,
    /// What differs from the slice key that the job had before; `None` if that is not known.
    pub changes: Option<Vec<SliceChange>>,
}

/// A part of a slice key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum SliceChange {
    Toolchain,
    Command,
    /// The shard, hashes of modules aside.
    Shard,
    OwnModule,
    /// What the job sees of an import, by its position in [`LinkKeys::files`].
    Import(u32),
    /// Which modules share the name of a source file, and which inline assembly has one location.
    Equalities,
}

impl SliceChange {
    /// In words; `name_of` knows the names of imports.
    pub fn words<'a>(self, name_of: impl Fn(u32) -> Option<&'a str>) -> String {
        let words = match self {
            Self::Toolchain => "the toolchain",
            Self::Command => "the arguments",
            Self::Shard => "what is imported or exported",
            Self::OwnModule => "the module itself",
            Self::Import(number) => {
                let name = name_of(number).unwrap_or("an import");
                return format!("what the job sees of {name}");
            }
            Self::Equalities => "which modules share a source file's name, or inline assembly",
        };
        words.to_owned()
    }
}

/// A link whose keys were recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordedLink {
    pub finished: SystemTime,
    /// The link before had the same keys, and is not kept.
    pub repeated: bool,
    pub keys: LinkKeys,
}

/// The keys of a link that ended now, ready to be written: packing takes longer than others should
/// wait for the database.
#[derive(Debug)]
pub(super) struct PendingKeys {
    /// Identifies the output.
    output: ModuleKey,
    digest: Vec<u8>,
    packed: Vec<u8>,
}

impl PendingKeys {
    /// `None` if they are too large to be kept.
    pub(super) fn new(output: ModuleKey, keys: &LinkKeys) -> Option<Self> {
        Some(Self {
            output,
            digest: keys.digest(),
            packed: TABLE.pack(keys)?,
        })
    }
}

impl LinkKeys {
    /// By which the modules are known in other links.
    pub fn names(&self) -> ModuleNames {
        let jobs = self.jobs.iter().map(|job| &*job.module);
        ModuleNames::recorded(jobs.chain(self.files.iter().map(|file| &*file.name)))
    }

    /// The arguments of a job. Numbers without an item are damage that the database has not
    /// noticed.
    pub fn words_of(&self, parts: &KeyParts) -> impl Iterator<Item = &String> {
        let words = parts.words.iter();
        words.filter_map(|&number| self.words.get(number as usize))
    }

    /// The inputs of a job, likewise.
    pub fn files_of(&self, parts: &KeyParts) -> impl Iterator<Item = &KeyFile> {
        let files = parts.files.iter();
        files.filter_map(|&number| self.files.get(number as usize))
    }

    /// What differs in the slice key of a job, in words.
    pub fn words_for<'a>(
        &'a self,
        changes: &'a [SliceChange],
    ) -> impl Iterator<Item = String> + 'a {
        let name_of = |number: u32| self.files.get(number as usize).map(|file| &*file.name);
        changes.iter().map(move |change| change.words(name_of))
    }

    /// Equal for links with equal keys.
    fn digest(&self) -> Vec<u8> {
        let mut hasher = blake3::Hasher::new();
        let names = self.names();
        for job in &self.jobs {
            hasher.update(names.stable(&job.module).as_bytes());
            match &job.parts {
                Ok(parts) => hasher.update(&parts.action.hash),
                Err(reason) => hasher.update(reason.as_bytes()),
            };
            hasher.update(b"\n");
        }
        hasher.finalize().as_bytes()[..16].to_vec()
    }
}

/// Stores the keys beside those of the links before. If those of the last one are the same, it
/// takes their place.
pub(super) fn store(
    transaction: &Transaction<'_>,
    pending: &PendingKeys,
    now: i64,
) -> rusqlite::Result<()> {
    let (output, digest) = (pending.output.0, &pending.digest);
    let last: Option<(i64, Vec<u8>)> = transaction
        .prepare_cached(
            "SELECT id, digest FROM link_keys WHERE output = ?1 ORDER BY id DESC LIMIT 1",
        )?
        .query_row([output], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let repeated = last.as_ref().is_some_and(|(_, last)| last == digest);
    match last {
        Some((id, _)) if repeated => {
            transaction.execute("DELETE FROM link_keys WHERE id = ?1", [id])?;
        }
        Some(_) => make_room(transaction, output, pending.packed.len())?,
        None => {}
    }
    transaction
        .prepare_cached("INSERT INTO link_keys (output, finished, digest, repeated, keys) VALUES (?1, ?2, ?3, ?4, ?5)")?
        .execute(params![output, now, digest, repeated, pending.packed])?;
    TABLE.grown(transaction, pending.packed.len())
}

/// Forgets the oldest links of an output, but not the last, before one of `length` bytes.
fn make_room(
    transaction: &Transaction<'_>,
    output: [u8; 16],
    length: usize,
) -> rusqlite::Result<()> {
    let length = i64::try_from(length).unwrap_or(i64::MAX);
    let bytes = MAX_BYTES_OF_OUTPUT.saturating_sub(length);
    transaction
        .prepare_cached(
            "DELETE FROM link_keys WHERE id IN (SELECT id FROM
               (SELECT id, row_number() OVER newer AS number, sum(length(keys)) OVER newer AS bytes
                FROM link_keys WHERE output = ?1 WINDOW newer AS (ORDER BY id DESC))
             WHERE number > 1 AND (number >= ?2 OR bytes > ?3))",
        )?
        .execute(params![output, MAX_OF_OUTPUT, bytes])?;
    Ok(())
}

/// The newest link that `is_wanted`, and the one of the same output before it.
pub(super) fn last_two(
    connection: &Connection,
    is_wanted: &dyn Fn(&LinkKeys) -> bool,
) -> rusqlite::Result<Option<(RecordedLink, Option<RecordedLink>)>> {
    let mut newest_first = connection
        .prepare("SELECT id, output, finished, repeated, keys FROM link_keys ORDER BY id DESC")?;
    let mut rows = newest_first.query([])?;
    while let Some(row) = rows.next()? {
        let Some(link) = recorded(row.get(2)?, row.get(3)?, row.get_ref(4)?.as_blob()?) else {
            continue;
        };
        if !is_wanted(&link.keys) {
            continue;
        }
        let (id, output): (i64, Vec<u8>) = (row.get(0)?, row.get(1)?);
        let before: Option<(i64, bool, Vec<u8>)> = connection
            .prepare(
                "SELECT finished, repeated, keys FROM link_keys WHERE output = ?1 AND id < ?2 ORDER BY id DESC LIMIT 1",
            )?
            .query_row(params![output, id], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
            .optional()?;
        let before =
            before.and_then(|(finished, repeated, keys)| recorded(finished, repeated, &keys));
        return Ok(Some((link, before)));
    }
    Ok(None)
}

/// Passes all links to `visit`, the newest first, while it returns true.
pub(super) fn visit(
    connection: &Connection,
    visit: &mut dyn FnMut(ModuleKey, RecordedLink) -> bool,
) -> rusqlite::Result<()> {
    let mut newest_first = connection
        .prepare("SELECT output, finished, repeated, keys FROM link_keys ORDER BY id DESC")?;
    let mut rows = newest_first.query([])?;
    while let Some(row) = rows.next()? {
        let output = ModuleKey(row.get(0)?);
        let link = recorded(row.get(1)?, row.get(2)?, row.get_ref(3)?.as_blob()?);
        if let Some(link) = link
            && !visit(output, link)
        {
            break;
        }
    }
    Ok(())
}

fn recorded(finished: i64, repeated: bool, packed: &[u8]) -> Option<RecordedLink> {
    Some(RecordedLink {
        finished: moment(finished),
        repeated,
        keys: TABLE.unpack(packed)?,
    })
}
