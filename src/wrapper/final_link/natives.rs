//! Native files in the final link: members of archives stay members of archives.

use std::collections::HashSet;
use std::ops::Range;

use super::debug_map;
use super::{FinalLinkFiles, lazy};
use crate::wrapper::comdat::{Natives, Objects, PulledMembers};
use crate::wrapper::inputs::Piece;
use crate::wrapper::natives::Native;
use crate::wrapper::{Flavour, Jobs, LinkPlan, Refusal, archive};

pub(super) fn read_natives(plan: &LinkPlan, jobs: &Jobs) -> Result<Natives, Refusal> {
    let mut natives = Natives::new(plan.allows_several_definitions());
    for (number, native) in jobs.thin.natives.iter().enumerate() {
        natives.add(plan.flavour, number, &native.name(), &native.bytes()?)?;
    }
    Ok(natives)
}

/// The members of archives, and the objects between `--start-lib` and `--end-lib`, that `wasm-ld` must
/// find for itself. What the user wants whole is linked whole.
pub(super) fn pulled_members(
    plan: &LinkPlan,
    jobs: &Jobs,
    seen: &Objects<'_>,
) -> Result<PulledMembers, Refusal> {
    let whole = plan.inputs.pieces.iter().filter_map(|piece| match piece {
        Piece::Archive {
            library,
            whole: true,
            ..
        } => Some(&*library.path),
        _ => None,
    });
    let whole: HashSet<&str> = whole.collect();
    let by_need = plan.inputs.pieces.iter().filter_map(|piece| match piece {
        Piece::Object { path, lazy: true } => Some(&**path),
        _ => None,
    });
    let by_need: HashSet<&str> = by_need.collect();
    seen.pulled_members(|number| match &jobs.thin.natives[number] {
        Native::Member(library, _) => !whole.contains(&*library.path),
        Native::File(path) => by_need.contains(&**path),
    })
}

/// Links native files.
pub(super) struct LinkedNatives<'a> {
    pub(super) plan: &'a LinkPlan,
    pub(super) jobs: &'a Jobs,
    pub(super) files: &'a mut FinalLinkFiles,
    pub(super) seen: &'a Objects<'a>,
    pub(super) pulled: &'a PulledMembers,
}

impl LinkedNatives<'_> {
    /// The words that link those of the numbers `range`. Members of one archive that follow each
    /// other stay members of an archive of that name, for `--exclude-libs` and linker scripts.
    pub(super) fn words(&mut self, range: Range<usize>) -> Result<Vec<String>, Refusal> {
        let mut words = Vec::new();
        let mut members: Vec<(String, Vec<u8>)> = Vec::new();
        let all = &self.jobs.thin.natives[..range.end];
        for number in range {
            let (library, member) = match &all[number] {
                Native::File(path) => {
                    let file = self.file(number, path)?;
                    if self.pulled.numbers.contains(&number) {
                        words.extend(lazy([file]));
                    } else {
                        words.push(file);
                    }
                    continue;
                }
                Native::Member(library, member) => (library, member),
            };
            let bytes = all[number].bytes()?;
            if self.plan.flavour == Flavour::MachO {
                debug_map::check_member(&all[number].name(), &bytes)?;
            }
            let changed = self.seen.loser(number, &bytes);
            members.push((member.path.clone(), changed.unwrap_or(bytes)));
            let is_pulled = |number| self.pulled.numbers.contains(&number);
            let goes_on = match all.get(number + 1) {
                Some(Native::Member(next, _)) => {
                    next.path == library.path && is_pulled(number) == is_pulled(number + 1)
                }
                _ => false,
            };
            if !goes_on {
                let members = std::mem::take(&mut members);
                words.extend(self.archive(&library.path, &members, is_pulled(number))?);
            }
        }
        Ok(words)
    }

    fn file(&mut self, number: usize, path: &str) -> Result<String, Refusal> {
        if !self.seen.overrules(number) {
            return Ok(path.to_owned());
        }
        let bytes = self.jobs.thin.natives[number].bytes()?;
        let Some(changed) = self.seen.loser(number, &bytes) else {
            return Ok(path.to_owned());
        };
        let written = self.files.write(path, &changed)?;
        self.files.renamed.add(written.clone(), path.to_owned());
        Ok(written)
    }

    fn archive(
        &mut self,
        path: &str,
        members: &[(String, Vec<u8>)],
        by_need: bool,
    ) -> Result<Vec<String>, Refusal> {
        let archive = if by_need {
            WrittenArchive::part(self.files, path, members)?
        } else {
            WrittenArchive::whole(self.plan.flavour, self.files, path, members)?
        };
        for (member, _) in members {
            let ours = format!("{}:{member}", archive.file);
            self.files.renamed.add(ours, format!("{path}:{member}"));
        }
        Ok(archive.words)
    }
}

/// An archive that was made for the final link.
pub(super) struct WrittenArchive {
    pub(super) file: String,
    /// The words that link it.
    pub(super) words: Vec<String>,
}

impl WrittenArchive {
    /// An archive of which everything is linked.
    pub(super) fn whole(
        flavour: Flavour,
        files: &mut FinalLinkFiles,
        path: &str,
        members: &[(String, Vec<u8>)],
    ) -> Result<Self, Refusal> {
        let file = files.write(path, &archive::write(members))?;
        let words = match flavour {
            Flavour::Elf | Flavour::Wasm => vec![
                "--whole-archive".to_owned(),
                file.clone(),
                "--no-whole-archive".to_owned(),
            ],
            Flavour::MachO => vec!["-force_load".to_owned(), file.clone()],
        };
        Ok(Self { file, words })
    }

    /// An archive of which the part is linked that the stub asks for.
    fn part(
        files: &mut FinalLinkFiles,
        path: &str,
        members: &[(String, Vec<u8>)],
    ) -> Result<Self, Refusal> {
        let file = files.write(path, &archive::write(members))?;
        let words = vec![file.clone()];
        Ok(Self { file, words })
    }
}
