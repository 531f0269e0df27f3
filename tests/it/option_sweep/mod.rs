//! No option of clang or LLVM makes relto keep an object that names where it was made, or that a
//! file made which the key does not hold.
//!
//! A ThinLTO backend is compiled twice by clang alone with each option, in directories and under
//! names that have nothing in common, and with a file `x.txt` in only one of them ([`place`]). Where
//! the objects differ, where clang fails, prints on standard output, reads `x.txt` or writes further
//! files, relto compiles the module too, and must do what clang does in place. The options are those
//! that clang itself lists ([`options`]). A seed of the campaign is a dozen of them; all are played
//! in some hours. Other object formats than ELF have campaigns of their own, which begin with the
//! options of clang: those of LLVM do mostly the same in all of them.

mod options;
mod place;

use std::sync::Mutex;

use place::{Compiled, FILE, Names, Place, Target};

use crate::support::backends::add;
use crate::support::campaign::{Campaign, SeedCounts};
use crate::support::link::Home;
use crate::support::outcome::Counts;

/// Options of one seed.
const TOGETHER: usize = 12;

/// Seeds of a usual run.
const USUAL: u64 = 2;

struct Sweep {
    here: Place,
    there: Place,
    home: Home,
    target: Target,
}

/// What clang alone does with an option.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// The same in both places.
    Same,
    /// Writes other objects in the two places.
    Differs,
    /// Writes another object each time, in one place too.
    DiffersEachTime,
    Fails,
    /// Works and leaves no object: relto says so loudly.
    LeavesNone,
    /// Prints on standard output.
    Prints,
    Reads,
    WritesFiles,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Same => "the same object",
            Self::Differs => "other objects",
            Self::DiffersEachTime => "another object each time",
            Self::Fails => "clang fails",
            Self::LeavesNone => "no object",
            Self::Prints => "prints",
            Self::Reads => "reads a file",
            Self::WritesFiles => "writes other files",
        }
    }
}

impl Sweep {
    fn new(target: Target) -> Self {
        let home = Home::new();
        let place = |dir, modules, output, has_file| {
            let names = Names {
                modules,
                output,
                has_file,
            };
            Place::new(home.path().join("work").join(dir), names, target)
        };
        Self {
            here: place("one", ["a.o", "b.o"], "n.o", true),
            there: place(
                "another",
                ["relto/m/0000.bc", "relto/m/0001.bc"],
                "relto/out.o",
                false,
            ),
            home,
            target,
        }
    }

    /// Options together, as long as nothing is remarkable about them.
    fn judge(
        &self,
        options: &[Vec<String>],
        report: &mut impl FnMut(&[String], Kind, Option<String>),
    ) {
        if options.is_empty() {
            return;
        }
        let words = options.concat();
        let (here, there) = (self.here.copy(), self.there.copy());
        let (one, another) = (here.clang(&words), there.clang(&words));
        let objects_differ = one.object(here.output()) != another.object(there.output());
        let kind = if !one.works || !another.works {
            Kind::Fails
        } else if one.object(here.output()).is_none() {
            Kind::LeavesNone
        } else if one.read_file {
            Kind::Reads
        } else if objects_differ {
            Kind::Differs
        } else if one.names() != [here.output()] {
            Kind::WritesFiles
        } else if !one.stdout.is_empty() {
            Kind::Prints
        } else {
            Kind::Same
        };
        match (kind, options) {
            (Kind::Same, _) => {
                for option in options {
                    report(option, kind, None);
                }
            }
            (_, [option]) => {
                let (kind, complaint) = self.compare(option, kind);
                report(option, kind, complaint);
            }
            _ => {
                for some in options.chunks(options.len().div_ceil(3)) {
                    self.judge(some, report);
                }
            }
        }
    }

    /// relto and clang in the same place.
    fn compare(&self, option: &[String], kind: Kind) -> (Kind, Option<String>) {
        let copy = self.here.copy();
        let (one, again) = (copy.clang(option), copy.clang(option));
        if one.works && one.object(copy.output()) != again.object(copy.output()) {
            return (Kind::DiffersEachTime, None);
        }
        // What the first run keeps, the second one finds.
        for _ in 0..2 {
            let ours = copy.relto(&self.home, option, "main\n");
            let complaint = complaint(&one, &again, &ours, copy.output());
            if complaint.is_some() {
                return (kind, complaint);
            }
            // On a farm, where nobody looks for such files, it would have passed for its action.
            if matches!(kind, Kind::WritesFiles | Kind::Differs) && ours.stderr.contains(UNKNOWN) {
                return (
                    kind,
                    Some("relto does not know that it writes files".to_owned()),
                );
            }
        }
        if !one.read_file {
            return (kind, None);
        }
        let other = copy.clang_reading(option, "cells\n");
        let again = copy.clang_reading(option, "cells\n");
        let ours = copy.relto(&self.home, option, "cells\n");
        let mut counts = Counts::default();
        add(&mut counts, &ours.stderr);
        let kept = (counts.cached > 0).then(|| format!("`{FILE}` does not matter to the key"));
        let complaint = complaint(&other, &again, &ours, copy.output());
        (kind, complaint.or(kept))
    }
}

/// Part of what relto notes when only its sandbox shows that a job must run in place.
const UNKNOWN: &str = "does not compile from its action alone";

/// What relto does otherwise than clang, which did it twice: what differs then, need not be the same.
fn complaint(theirs: &Compiled, again: &Compiled, ours: &Compiled, output: &str) -> Option<String> {
    if theirs.works && theirs.object(output).is_none() && !ours.works {
        return None;
    }
    if theirs.works != ours.works {
        let end = if ours.works { "works" } else { "fails" };
        return Some(format!("relto {end}: {}", ours.stderr));
    }
    if !theirs.works {
        return None;
    }
    let same_names = theirs.names() == again.names();
    let same_files = theirs.files == again.files;
    let same_text = theirs.stdout == again.stdout;
    if theirs.object(output) != ours.object(output) {
        return Some("another object".to_owned());
    }
    let other_names = same_names && theirs.names() != ours.names();
    if other_names || theirs.files.len() != ours.files.len() {
        return Some(format!(
            "the files {:?}, not {:?}",
            ours.names(),
            theirs.names()
        ));
    }
    if same_files && theirs.files != ours.files {
        return Some(format!("other contents of {:?}", theirs.names()));
    }
    (same_text && theirs.stdout != ours.stdout).then(|| "other standard output".to_owned())
}

/// Options that do each of the things that an action has no place for.
const REMARKABLE: [&str; 12] = [
    "-mllvm -view-machine-block-freq-propagation-dags=fraction",
    "-mllvm -lto-embed-bitcode=post-merge-pre-opt",
    "-Xclang -mllvm -Xclang -lto-embed-bitcode=post-merge-pre-opt",
    "-mllvm -print-pipeline-passes",
    "--via-file-asm",
    "-save-temps",
    "-fstack-usage",
    "-fsave-optimization-record",
    "-gsplit-dwarf=single",
    "-fsanitize-ignorelist=x.txt",
    "-Xclang -dependency-file -Xclang x.d",
    "--config=./x.txt",
];

#[test]
fn options_that_name_places_or_files_do_what_clang_does_in_place() {
    remarkable_options_do_what_clang_does(Target::ELF);
}

#[test]
fn options_that_name_places_or_files_do_what_clang_does_in_place_for_other_formats() {
    for target in Target::OTHERS {
        remarkable_options_do_what_clang_does(target);
    }
}

fn remarkable_options_do_what_clang_does(target: Target) {
    let sweep = Sweep::new(target);
    let mut complaints = Vec::new();
    for option in REMARKABLE {
        let words = option.split(' ').map(str::to_owned).collect();
        sweep.judge(&[words], &mut |_, kind, complaint| {
            // Objects of other formats name no temporary file.
            if kind == Kind::Same && target.is_elf() {
                complaints.push(format!("nothing is remarkable about `{option}`"));
            }
            complaints.extend(complaint.map(|it| format!("{option}: {it}")));
        });
    }
    let campaign = target.campaign;
    assert!(
        complaints.is_empty(),
        "{campaign}: {}",
        complaints.join("\n")
    );
}

#[test]
fn no_option_of_clang_or_llvm_makes_another_object_than_clangs_own() {
    play(Target::ELF, USUAL);
}

#[test]
fn no_option_makes_another_coff_object_than_clangs_own() {
    play(Target::COFF, 1);
}

#[test]
fn no_option_makes_another_macho_object_than_clangs_own() {
    play(Target::MACHO, 1);
}

#[test]
fn no_option_makes_another_macho_object_for_arm64_than_clangs_own() {
    play(Target::MACHO_ARM64, 1);
}

#[expect(
    clippy::print_stderr,
    reason = "a run of hours shows at once what it finds"
)]
fn play(target: Target, usual: u64) {
    let sweep = Sweep::new(target);
    let rounds = Mutex::new(Vec::new());
    let complaints = Mutex::new(Vec::new());
    let play = |seed: u64, counts: &mut SeedCounts| {
        let some = {
            let mut rounds = rounds.lock().expect("no thread panics with it");
            group(&sweep.target, seed, &mut rounds)
        };
        let options: Vec<_> = some.iter().flat_map(options::Named::with_values).collect();
        for options in options.chunks(TOGETHER) {
            sweep.judge(options, &mut |option, kind, complaint| {
                counts.count(kind.name(), 1);
                if !matches!(kind, Kind::Same | Kind::Fails) {
                    eprintln!("seed {seed}, {}: {}", option.join(" "), kind.name());
                }
                if let Some(complaint) = complaint {
                    counts.count("wrong", 1);
                    let complaint = format!("seed {seed}, {}: {complaint}", option.join(" "));
                    eprintln!("{complaint}");
                    complaints
                        .lock()
                        .expect("no thread panics with it")
                        .push(complaint);
                }
            });
        }
        Ok(())
    };
    Campaign::begin(target.campaign, usual).play(play);
    let complaints = complaints.into_inner().expect("no thread panics with it");
    let campaign = target.campaign;
    assert!(
        complaints.is_empty(),
        "{campaign}: {}",
        complaints.join("\n")
    );
}

/// The options of a seed. `round` is the order in which the last ones stood.
fn group(
    target: &Target,
    seed: u64,
    round: &mut Vec<(u64, options::Named)>,
) -> Vec<options::Named> {
    let number = seed - 1;
    let order = |round: u64| {
        let mut all = options::all(round);
        if !target.is_elf() {
            all.sort_by_key(options::Named::is_of_llvm);
        }
        all.into_iter().map(move |it| (round, it))
    };
    if round.is_empty() {
        *round = order(0).collect();
    }
    let groups = round.len().div_ceil(TOGETHER) as u64;
    let wanted = number / groups;
    if round[0].0 != wanted {
        *round = order(wanted).collect();
    }
    let at = usize::try_from(number % groups).expect("a short list") * TOGETHER;
    let some = round.iter().skip(at).take(TOGETHER);
    some.map(|(_, option)| option.clone()).collect()
}
