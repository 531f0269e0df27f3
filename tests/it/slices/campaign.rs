//! Equal slice keys mean equal objects: made-up programs are edited, and every job whose slice key
//! was seen before is compiled in place and compared with what the first job of that key left, its
//! names restored.
//!
//! `RELTO_SLICES_SEED` and `RELTO_SLICES_EDITS` choose the programs and their length; with
//! `RELTO_TEST_LONG` set there are many. Each comparison that tells something counts: another whole
//! key, the same slice key, other bytes of an import.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;
use std::process::Command;

use fs_err as fs;
use relto::internals::action::canonical::{Canonical, CanonicalJob, canonical};
use relto::internals::action::restore::{Renumbering, check, restore};
use relto::internals::action::slice::{NoSliceKey, SliceInputs, slice_key};
use relto::internals::action::toolchain_tree::ToolchainTree;
use relto::internals::action::{Action, ActionTemplate};
use relto::internals::client_context::ClientContext;
use relto::internals::digest::{Digest, DigestFunction};
use relto::internals::job::{Caller, Job};
use relto::internals::thinlto::{Index, ModuleGraph};

use super::source::{Random, RandomProgram};
use crate::support::llvm::Llvm;
use crate::support::skip::{is_long, skip};

/// Flags of a program, each combination in turn.
const FLAGS: [&[&str]; 6] = [
    &["-O2", "-fPIE"],
    &["-O1", "-fPIE"],
    &["-O2", "-fPIE", "-fvisibility=hidden"],
    &["-Os", "-fPIE"],
    &["-O2", "-fno-pic"],
    &["-O3", "-fPIE"],
];

/// What the first job of a slice key left.
struct Stored {
    object: Option<Vec<u8>>,
    numbers: Vec<u64>,
    whole: Digest,
}

#[derive(Debug, Default)]
struct Tally {
    jobs: u32,
    telling: u32,
    equal_as_they_are: u32,
    not_storable: u32,
    without_key: BTreeMap<String, u32>,
    edits: BTreeMap<&'static str, u32>,
    wrong: Vec<String>,
}

/// A program in a directory, and all that was compiled of it.
struct Lab {
    dir: tempfile::TempDir,
    flags: &'static [&'static str],
    program: RandomProgram,
    graphs: HashMap<String, ModuleGraph>,
    stored: HashMap<Digest, Stored>,
    seen: HashSet<Digest>,
}

impl Lab {
    fn new(random: &mut Random, flags: &'static [&'static str]) -> Self {
        let lab = Self {
            dir: tempfile::tempdir().expect("a directory"),
            flags,
            program: RandomProgram::new(random, 5),
            graphs: HashMap::new(),
            stored: HashMap::new(),
            seen: HashSet::new(),
        };
        for number in 0..lab.program.len() {
            assert!(lab.compile(number), "the first program compiles");
        }
        lab
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    fn compile(&self, number: usize) -> bool {
        let source = self.path().join(format!("m{number}.cc"));
        fs::write(&source, self.program.text(number)).expect("written");
        let mut command = Llvm::get().command("clang++");
        command.current_dir(self.path()).args(["-w", "-flto=thin"]);
        command.args(self.flags);
        command.args([
            "-c",
            &format!("m{number}.cc"),
            "-o",
            &format!("m{number}.o"),
        ]);
        succeeds(&mut command)
    }

    /// Writes the shards beside the modules.
    fn thin_link(&self) -> bool {
        let mut command = Llvm::get().command("clang++");
        command.current_dir(self.path()).args([
            "-O2",
            "-flto=thin",
            "-fuse-ld=lld",
            "-Wl,--thinlto-index-only",
            "-Wl,--thinlto-emit-imports-files",
            "-o",
            "program",
        ]);
        if self.flags.contains(&"-fno-pic") {
            command.arg("-no-pie");
        }
        command.args((0..self.program.len()).map(|number| format!("m{number}.o")));
        succeeds(&mut command)
    }

    fn arguments(&self, number: usize) -> Vec<String> {
        let mut words: Vec<String> = ["-c", "--target=x86_64-pc-linux-gnu", "-O2", "-faddrsig"]
            .map(str::to_owned)
            .to_vec();
        words.extend(["-ffunction-sections", "-fdata-sections"].map(str::to_owned));
        if !self.flags.contains(&"-fno-pic") {
            words.push("-fpic".to_owned());
        }
        words.push("-Wno-unused-command-line-argument".to_owned());
        words.extend([
            "-x".to_owned(),
            "ir".to_owned(),
            format!("m{number}.o"),
            format!("-fthinlto-index=m{number}.o.thinlto.bc"),
            "-o".to_owned(),
            format!("n{number}.o"),
        ]);
        words
    }

    /// The object that clang writes in place; `None` if it says anything.
    fn backend(&self, number: usize) -> Option<Vec<u8>> {
        let mut command = Llvm::get().command("clang");
        command
            .current_dir(self.path())
            .args(self.arguments(number));
        let output = command.output().expect("clang starts");
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let object = fs::read(self.path().join(format!("n{number}.o"))).expect("an object");
        output.stderr.is_empty().then_some(object)
    }

    fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path().join(name)).expect("a file of the lab")
    }

    /// Compares all jobs of the program as it is now.
    fn compare(&mut self, edit: &str, tally: &mut Tally) {
        for number in 0..self.program.len() {
            self.compare_job(number, edit, tally);
        }
    }

    #[expect(
        clippy::too_many_lines,
        reason = "one comparison from its inputs to the bytes"
    )]
    fn compare_job(&mut self, number: usize, edit: &str, tally: &mut Tally) {
        let shard = self.read(&format!("m{number}.o.thinlto.bc"));
        let index = Index::parse(&shard).expect("lld's shard parses");
        let own = format!("m{number}.o");
        let mut inputs = vec![own.clone(), format!("m{number}.o.thinlto.bc")];
        let paths = index.modules().iter();
        let paths = paths.map(|it| String::from_utf8(it.path.clone()).expect("text"));
        inputs.extend(paths.filter(|path| *path != own));
        let job = Job {
            arguments: self.arguments(number),
            inputs,
            outputs: vec![format!("n{number}.o")],
        };
        let target = "x86_64-pc-linux-gnu";
        let words = job.arguments.clone();
        let here = ClientContext::default();
        let form = canonical(Caller::Launcher, &job, &words, target, Some(&index), &here);
        let Canonical::Hermetic(form) = form.expect("a canonical form") else {
            panic!("the job is hermetic");
        };
        let modules: Vec<Vec<u8>> = form.files.iter().map(|it| self.read(&it.name)).collect();
        let function = DigestFunction::Sha256;
        let digests: Vec<Digest> = modules.iter().map(|it| function.digest(it)).collect();
        let whole = Action::new(&template(), &toolchain(), &form, &digests).digest();
        tally.jobs += 1;
        if !self.seen.insert(whole) {
            return;
        }
        let key = self.slice_key(&form, &own, &modules, &digests);
        let key = match key {
            Ok(key) => key,
            Err(reason) => {
                *tally.without_key.entry(reason.to_string()).or_default() += 1;
                return;
            }
        };
        let object = self.backend(number);
        let storable = object.filter(|object| check(object, &key.numbers).is_ok());
        let slice = key.digest();
        let Some(stored) = self.stored.get(&slice) else {
            tally.not_storable += u32::from(storable.is_none());
            let numbers = key.numbers;
            let object = storable;
            let stored = Stored {
                object,
                numbers,
                whole,
            };
            self.stored.insert(slice, stored);
            return;
        };
        let Some(old) = &stored.object else { return };
        assert_ne!(stored.whole, whole, "each whole key comes once");
        let pairs = stored.numbers.iter().copied().zip(key.numbers);
        let renumbering = Renumbering::new(pairs).expect("one to one");
        let restored = restore(old, &renumbering).expect("what was checked can be restored");
        let fresh = self.read(&format!("n{number}.o"));
        tally.telling += 1;
        tally.equal_as_they_are += u32::from(*old == fresh);
        if restored != fresh {
            let keep = std::env::temp_dir().join(format!("slices-{}", whole.hex()));
            fs::create_dir_all(&keep).expect("a directory");
            fs::write(keep.join("restored.o"), &restored).expect("written");
            fs::write(keep.join("fresh.o"), &fresh).expect("written");
            tally
                .wrong
                .push(format!("{own} after {edit}: {}", keep.display()));
        }
    }

    fn slice_key(
        &mut self,
        form: &CanonicalJob,
        own: &str,
        modules: &[Vec<u8>],
        digests: &[Digest],
    ) -> Result<relto::internals::action::slice::SliceKey, NoSliceKey> {
        for (bytes, digest) in modules.iter().zip(digests) {
            let known = self.graphs.contains_key(&digest.hex());
            if !known && let Ok(graph) = ModuleGraph::read(bytes) {
                self.graphs.insert(digest.hex(), graph);
            }
        }
        let named = form.files.iter().zip(digests);
        let graphs = named
            .filter_map(|(file, digest)| {
                Some((file.tree_path.as_str(), self.graphs.get(&digest.hex())?))
            })
            .collect();
        let index = Index::parse(&form.shard).expect("the canonical shard parses");
        slice_key(
            form,
            &SliceInputs {
                template: &template(),
                toolchain: &toolchain(),
                digests,
                index: &index,
                own,
                graphs: &graphs,
            },
        )
    }
}

fn succeeds(command: &mut Command) -> bool {
    let output = command.output().expect("the tool starts");
    output.status.success()
}

fn template() -> ActionTemplate {
    ActionTemplate {
        function: DigestFunction::Sha256,
        old_outputs: false,
        platform: Vec::new(),
        salt: String::new(),
        environment: Vec::new(),
    }
}

fn toolchain() -> ToolchainTree {
    ToolchainTree::new(DigestFunction::Sha256, Vec::new(), Vec::new(), Vec::new())
}

fn number_of(variable: &str, otherwise: u64) -> u64 {
    std::env::var(variable)
        .ok()
        .and_then(|value| value.parse().ok())
        .unwrap_or(otherwise)
}

#[test]
fn equal_slice_keys_mean_equal_objects() {
    if Llvm::get().major() != 22 {
        return skip("slice keys are known for LLVM 22 alone");
    }
    let long = is_long();
    let seed = number_of("RELTO_SLICES_SEED", 1);
    let edits = number_of("RELTO_SLICES_EDITS", if long { 4000 } else { 12 });
    let mut random = Random::new(seed);
    let mut tally = Tally::default();
    let mut done = 0;
    for flags in FLAGS.iter().cycle() {
        if done >= edits {
            break;
        }
        let mut lab = Lab::new(&mut random, flags);
        assert!(lab.thin_link(), "the first program links");
        lab.compare("nothing", &mut tally);
        for _ in 0..60 {
            let before = lab.program.clone();
            let (module, edit) = lab.program.edit(&mut random);
            done += 1;
            if !lab.compile(module) || !lab.compile(0) || !lab.thin_link() {
                lab.program = before;
                assert!(lab.compile(module) && lab.compile(0), "as before");
                continue;
            }
            *tally.edits.entry(edit).or_default() += 1;
            lab.compare(edit, &mut tally);
            if done >= edits {
                break;
            }
        }
    }
    assert!(tally.wrong.is_empty(), "{tally:#?}");
    assert!(
        tally.telling > 0,
        "no comparison was significant: {tally:#?}"
    );
}
