//! Native files in the final link: members of archives stay members of archives.

use std::collections::HashSet;

use super::FinalLinkFiles;
use super::debug_map;
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

/// The native members of archives of which only what is needed is linked: their numbers, names and
/// contents.
pub(super) fn members_by_need(
    plan: &LinkPlan,
    jobs: &Jobs,
) -> Result<Vec<(usize, String, Vec<u8>)>, Refusal> {
    let whole = plan.inputs.pieces.iter().filter_map(|piece| match piece {
        Piece::Archive {
            library,
            whole: true,
            ..
        } => Some(&*library.path),
        _ => None,
    });
    let whole: HashSet<&str> = whole.collect();
    let mut members = Vec::new();
    for (number, native) in jobs.thin.natives.iter().enumerate() {
        if let Native::Member(library, _) = native
            && !whole.contains(&*library.path)
        {
            members.push((number, native.name(), native.bytes()?));
        }
    }
    Ok(members)
}

/// Members of one archive that follow each other stay members of an archive of that name, for
/// `--exclude-libs` and linker scripts.
pub(super) fn linked_natives(
    plan: &LinkPlan,
    jobs: &Jobs,
    files: &mut FinalLinkFiles,
    seen: &Objects<'_>,
    pulled: &PulledMembers,
) -> Result<Vec<String>, Refusal> {
    let mut words = Vec::new();
    let mut members: Vec<(String, Vec<u8>)> = Vec::new();
    let all = &jobs.thin.natives;
    for (number, native) in all.iter().enumerate() {
        let (library, member) = match native {
            Native::Member(library, member) => (library, member),
            Native::File(path) if !seen.overrules(number) => {
                words.push(path.clone());
                continue;
            }
            Native::File(path) => {
                words.push(match seen.loser(number, &native.bytes()?) {
                    None => path.clone(),
                    Some(changed) => {
                        let written = files.write(path, &changed)?;
                        files.renamed.add(written.clone(), path.clone());
                        written
                    }
                });
                continue;
            }
        };
        let bytes = native.bytes()?;
        let changed = seen.loser(number, &bytes);
        if plan.flavour == Flavour::MachO {
            debug_map::check_member(&native.name(), &bytes)?;
        }
        members.push((member.path.clone(), changed.unwrap_or(bytes)));
        let goes_on = match all.get(number + 1) {
            Some(Native::Member(next, _)) => {
                let alike = |number| pulled.numbers.contains(number);
                next.path == library.path && alike(&number) == alike(&(number + 1))
            }
            _ => false,
        };
        if !goes_on {
            let members = std::mem::take(&mut members);
            let words_of = if pulled.numbers.contains(&number) {
                by_need(files, &library.path, &members)?
            } else {
                whole(plan.flavour, files, &library.path, &members)?
            };
            for (member, _) in &members {
                let theirs = format!("{}:{member}", library.path);
                files
                    .renamed
                    .add(format!("{}:{member}", words_of.file), theirs);
            }
            words.extend(words_of.words);
        }
    }
    Ok(words)
}

pub(super) fn whole(
    flavour: Flavour,
    files: &mut FinalLinkFiles,
    path: &str,
    members: &[(String, Vec<u8>)],
) -> Result<WrittenArchive, Refusal> {
    let file = files.write(path, &archive::write(members))?;
    let words = match flavour {
        Flavour::Elf | Flavour::Wasm => vec![
            "--whole-archive".to_owned(),
            file.clone(),
            "--no-whole-archive".to_owned(),
        ],
        Flavour::MachO => vec!["-force_load".to_owned(), file.clone()],
    };
    Ok(WrittenArchive { file, words })
}

/// An archive whose members the stub asks for.
fn by_need(
    files: &mut FinalLinkFiles,
    path: &str,
    members: &[(String, Vec<u8>)],
) -> Result<WrittenArchive, Refusal> {
    let file = files.write(path, &archive::write(members))?;
    let words = vec![file.clone()];
    Ok(WrittenArchive { file, words })
}

/// An archive that was made for the final link, which takes all of it.
pub(super) struct WrittenArchive {
    pub(super) file: String,
    pub(super) words: Vec<String>,
}
