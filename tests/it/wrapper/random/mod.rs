//! Random programs are linked with random options, through `relto ld` and by the linker alone: exit
//! code, messages and every file must be the same.
//!
//! A seed is one program for one linker and one release ([`program`]), which is linked several times, each time with
//! other options and its files in another order. Where relto leaves a link to the linker, it says
//! so in one line and nothing else is different.

mod options;
mod program;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use fs_err as fs;

use program::{Kind, Program};

use crate::slices::source::Random;
use crate::support::campaign::{Campaign, SeedCounts};
use crate::support::llvm::run;
use crate::support::remote::here;
use crate::support::skip::is_long;
use crate::support::wrapped::Release;

/// Links of each program.
fn links() -> usize {
    if is_long() { 12 } else { 4 }
}

#[test]
fn random_links_are_the_linkers_own() {
    let elf = Release::installed().into_iter();
    let mut linkers: Vec<_> = elf.map(|release| (Kind::Elf, release)).collect();
    let others = [Kind::Wasm, Kind::MachO].map(|kind| (kind, Release::under_test()));
    linkers.extend(others);
    Campaign::begin("wrapped", 6).play(|seed, counts| {
        let turn = usize::try_from(seed).unwrap_or_default() % linkers.len();
        let (kind, release) = &linkers[turn];
        play(*kind, release, seed, counts)
    });
}

fn play(kind: Kind, release: &Release, seed: u64, counts: &mut SeedCounts) -> Result<(), String> {
    let mut random = Random::new(seed);
    let program = Program::new(&mut random, kind, release);
    counts.count("programs", 1);
    let linker = release.tool(kind.linker());
    for _ in 0..links() {
        let mut words = program.first_words();
        for list in options::of(kind) {
            // Half of the links are plain in each respect.
            let choice = match random.below(2) {
                0 => list[0],
                _ => list[random.below(list.len())],
            };
            words.extend(choice.iter().map(|&it| it.to_owned()));
        }
        words.extend(program.inputs(&mut random));
        words.extend(["-o", "app"].map(str::to_owned));
        let theirs = link(&linker, &program, &words, false);
        let mut ours = link(&linker, &program, &words, true);
        let alone = ours.without_reason();
        counts.count("links", 1);
        counts.count(kind.linker(), 1);
        counts.count("alone", u64::from(alone.is_some()));
        counts.count("failed", u64::from(theirs.code != Some(0)));
        if let Some(complaint) = complaint(kind, release, &words, [&theirs, &ours]) {
            return Err(format!(
                "LLVM {}, {} {}\n{complaint}\n(alone: {alone:?}), kept in {}",
                release.major,
                kind.linker(),
                words.join(" "),
                program.keep().display()
            ));
        }
    }
    Ok(())
}

/// What one link printed and wrote.
struct Linked {
    code: Option<i32>,
    stdout: String,
    stderr: String,
    files: BTreeMap<String, Vec<u8>>,
}

impl Linked {
    /// Takes relto's own line away. Returns the reason why the linker did the link alone.
    fn without_reason(&mut self) -> Option<String> {
        const SAID: &str = "relto: warning: the linker does this link alone: ";
        let (line, rest) = self.stderr.split_once('\n')?;
        let reason = line.strip_prefix(SAID)?.to_owned();
        self.stderr = rest.to_owned();
        Some(reason)
    }
}

fn link(linker: &Path, program: &Program, words: &[String], through_relto: bool) -> Linked {
    let mut command = Command::new(if through_relto {
        crate::support::built::relto()
    } else {
        linker
    });
    if through_relto {
        command.args(["ld", "--quiet", "--"]).arg(linker);
    }
    here().apply(&mut command);
    let output = command
        .current_dir(program.dir())
        .args(words)
        .output()
        .expect("started");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Linked {
        code: output.status.code(),
        stdout: text(&output.stdout),
        stderr: text(&output.stderr),
        files: program.take_new_files(),
    }
}

fn complaint(
    kind: Kind,
    release: &Release,
    words: &[String],
    [theirs, ours]: [&Linked; 2],
) -> Option<String> {
    if ours.code != theirs.code {
        return Some(format!(
            "exit code {:?} instead of {:?}\n{}",
            ours.code, theirs.code, ours.stderr
        ));
    }
    // A crash report has the addresses of that run.
    theirs.code?;
    for (what, ours, theirs) in [
        ("stdout", &ours.stdout, &theirs.stdout),
        ("stderr", &ours.stderr, &theirs.stderr),
    ] {
        if comparable(kind, ours) != comparable(kind, theirs) {
            return Some(format!("{what}:\n{ours}\ninstead of\n{theirs}"));
        }
    }
    let names = |linked: &Linked| linked.files.keys().cloned().collect::<Vec<_>>();
    if names(ours) != names(theirs) {
        return Some(format!(
            "files {:?} instead of {:?}",
            names(ours),
            names(theirs)
        ));
    }
    let differs = |name: &&String| ours.files[*name] != theirs.files[*name];
    let name = theirs.files.keys().find(differs)?;
    let (ours, theirs) = (&ours.files[name], &theirs.files[name]);
    let known = match kind {
        Kind::Elf => is_known(release, words, ours, theirs),
        Kind::Wasm | Kind::MachO => false,
    };
    if known {
        return None;
    }
    Some(format!("`{name}` is another"))
}

/// Messages of undefined symbols come in any order, and so do the places of each. Those of backward
/// references do, too. `docs/linkers.md` says which ones of `wasm-ld` are known to differ.
fn comparable(kind: Kind, text: &str) -> String {
    let known = |line: &&str| {
        kind == Kind::Wasm && line.starts_with("removing unused section <internal>:(")
    };
    let in_any_order = ["undefined symbol: ", "backward reference detected: "];
    let mut lines: Vec<_> = text.lines().filter(|line| !known(line)).collect();
    if in_any_order.iter().any(|message| text.contains(message)) {
        lines.retain(|line| !line.is_empty());
        lines.sort_unstable();
    }
    lines.join("\n")
}

/// Whether the two differ in nothing but what `docs/linkers.md` says of these options.
fn is_known(release: &Release, words: &[String], ours: &[u8], theirs: &[u8]) -> bool {
    let has = |start: &str| words.iter().any(|word| word.starts_with(start));
    has("--wrap") && described(release, ours) == described(release, theirs)
}

/// The program without its symbol table, and that in the order of names, without bindings.
fn described(release: &Release, program: &[u8]) -> (Vec<u8>, Vec<String>) {
    let dir = tempfile::TempDir::new().expect("a directory");
    let path = dir.path().join("app");
    fs::write(&path, program).expect("written");
    let mut readelf = Command::new(release.tool("llvm-readelf"));
    let text = run(readelf.arg("-sW").arg(&path));
    let mut symbols: Vec<String> = Vec::new();
    for line in text.lines().filter(|line| line.contains(": ")) {
        let mut words: Vec<&str> = line.split_whitespace().skip(1).collect();
        if words.len() > 4 {
            words.remove(3);
        }
        symbols.push(words.join(" "));
    }
    symbols.sort_unstable();
    let mut objcopy = Command::new(release.tool("llvm-objcopy"));
    // The build ID is a hash of all, symbols included.
    let options = ["--strip-all", "--remove-section=.note.gnu.build-id"];
    run(objcopy.args(options).arg(&path));
    (fs::read(&path).expect("stripped"), symbols)
}
