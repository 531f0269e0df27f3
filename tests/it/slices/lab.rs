//! A program whose jobs are compiled in place and compared: whenever a job has a slice key that was
//! seen before, the object of the first job of that key, its names restored, must be the one that
//! the compiler writes now.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fmt;
use std::path::Path;
use std::process::Command;

use fs_err as fs;
use relto::internals::action::arguments::{parse, reaching};
use relto::internals::action::canonical::{Canonical, CanonicalJob, FileTable, canonical};
use relto::internals::action::restore::{Renumbering, RestoreError, check, restore};
use relto::internals::action::slice::{
    ModuleNames, NoSliceKey, SliceInputs, SliceKey, SliceableJob, what_is_seen,
};
use relto::internals::action::toolchain_tree::ToolchainTree;
use relto::internals::action::{Action, ActionTemplate};
use relto::internals::digest::{Digest, DigestFunction};
use relto::internals::job::{Caller, Job};
use relto::internals::thinlto::{Index, ModuleGraph};
use serde::{Deserialize, Serialize};

use crate::support::kernel::{Slice, THIN_LINK};
use crate::support::kernel_edits::EditedKernel;
use crate::support::llvm::{Llvm, run};

use super::figures::{Construct, Figures};
use super::tools::{Ended, Tools};

/// How a program is compiled.
#[derive(Debug, Clone, Copy)]
pub(super) struct Flags {
    pub(super) target: Target,
    /// What the modules are written in.
    pub(super) language: &'static str,
    /// Optimization level and position independence, of front end and backend.
    pub(super) level: &'static str,
    pub(super) relocation: &'static str,
    /// Flags of the front end alone.
    pub(super) front_end: &'static [&'static str],
    /// Flags of the backend alone.
    pub(super) backend: &'static [&'static str],
    /// It is linked to a shared library, else to a program.
    pub(super) shared: bool,
}

impl Flags {
    /// Target and language.
    pub(super) fn column(&self) -> String {
        format!("{}, {}", self.target, self.language)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Target {
    X86_64,
    /// The same, as rustc calls it.
    X86_64OfRust,
    Aarch64,
}

impl Target {
    pub(super) fn triple(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64-pc-linux-gnu",
            Self::X86_64OfRust => "x86_64-unknown-linux-gnu",
            Self::Aarch64 => "aarch64-unknown-linux-gnu",
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::X86_64 | Self::X86_64OfRust => "x86-64",
            Self::Aarch64 => "aarch64",
        })
    }
}

/// A module of the program as it is now.
struct LabModule {
    name: String,
    bytes: Vec<u8>,
    digest: Digest,
}

/// What the first job of a slice key left.
struct Stored {
    object: Vec<u8>,
    /// `None` if its names cannot be restored: the key has them then.
    numbers: Option<Vec<u64>>,
    /// The imported modules, by their canonical numbers.
    imports: Vec<Digest>,
}

/// How many jobs of a program an edit concerns.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct EditCounts {
    /// Their objects are not those of the first comparison.
    pub(super) changed: u64,
    /// No job before had their whole key.
    pub(super) by_whole_key: u64,
    /// Of these, no job before had their slice key.
    pub(super) by_slice_key: u64,
}

/// A program in a directory, and all that was compiled of it.
pub(super) struct Lab {
    dir: tempfile::TempDir,
    /// Where sources are, inside of `dir`.
    sources: String,
    /// The flags of each module's backend where they are a program's own; else they follow from
    /// `flags`.
    own_flags: Vec<Vec<String>>,
    tools: Tools,
    flags: Flags,
    modules: Vec<LabModule>,
    /// A module that counts whole, as if nothing in it were understood.
    whole: Option<usize>,
    graphs: HashMap<Digest, Result<ModuleGraph, String>>,
    stored: HashMap<Digest, Stored>,
    /// The object of each job when it was first compiled.
    first: HashMap<usize, Digest>,
    /// Whole keys.
    seen: HashSet<Digest>,
    /// Shards with their own modules, whose jobs were seen.
    settled: HashSet<Digest>,
}

impl Lab {
    /// A program of so many modules, none of them there yet.
    pub(super) fn new(flags: Flags, modules: usize) -> Self {
        let empty = |number| LabModule {
            name: format!("m{number}.o"),
            bytes: Vec::new(),
            digest: sha256(b""),
        };
        Self {
            dir: tempfile::tempdir().expect("a directory"),
            sources: ".".to_owned(),
            own_flags: Vec::new(),
            tools: Tools::default(),
            flags,
            modules: (0..modules).map(empty).collect(),
            whole: None,
            graphs: HashMap::new(),
            stored: HashMap::new(),
            first: HashMap::new(),
            seen: HashSet::new(),
            settled: HashSet::new(),
        }
    }

    /// The modules of Linux, as its build compiles and links them.
    pub(super) fn kernel(kernel: &EditedKernel) -> Self {
        let flags = Flags {
            target: Target::X86_64,
            language: "C",
            level: "-O2",
            relocation: "-fno-pic",
            front_end: &[],
            backend: &[],
            shared: false,
        };
        let mut lab = Self::new(flags, kernel.modules.len());
        lab.own_flags = kernel.flags();
        let named = lab.modules.iter_mut().zip(&kernel.modules);
        for ((module, name), file) in named.zip(kernel.files()) {
            name.clone_into(&mut module.name);
            let path = lab.dir.path().join(name);
            fs::create_dir_all(path.parent().expect("a directory")).expect("made");
            fs::copy(file, path).expect("copied");
        }
        for number in 0..lab.modules.len() {
            lab.reload(number);
        }
        lab
    }

    /// From now on a module counts whole.
    pub(super) fn take_whole(&mut self, number: usize) {
        self.whole = Some(number);
    }

    pub(super) fn target(&self) -> Target {
        self.flags.target
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Sources compiled from now on are in another directory.
    pub(super) fn move_sources(&mut self, dir: &str) {
        fs::create_dir_all(self.path().join(dir)).expect("made");
        dir.clone_into(&mut self.sources);
    }

    fn run(&mut self, tool: &'static str, arguments: &[String]) -> Ended {
        self.tools.run(tool, self.dir.path(), arguments)
    }

    /// Compiles a module from `text` in the language of `extension`. Returns whether that works.
    pub(super) fn compile(&mut self, number: usize, extension: &str, text: &str) -> bool {
        let object = self.modules[number].name.clone();
        let ended = self.front_end(number, extension, text, &["-c", "-o", &object]);
        ended.success && self.reload(number)
    }

    /// Compiles a crate of one file with `rustc`. Returns whether that works.
    pub(super) fn compile_rust(&mut self, rustc: &Path, number: usize, text: &str) -> bool {
        let source = format!("m{number}.rs");
        fs::write(self.path().join(&source), text).expect("written");
        let mut rustc = Command::new(rustc);
        rustc.args(["--edition=2024", "--emit=obj", "-O", "-Clinker-plugin-lto"]);
        rustc.args(["--target", self.flags.target.triple()]);
        rustc.args(["-Ccodegen-units=1", "-Awarnings", "-o"]);
        rustc.arg(&self.modules[number].name).arg(source);
        let output = rustc.current_dir(self.path()).output();
        output.expect("rustc starts").status.success() && self.reload(number)
    }

    /// The intermediate form that the front end makes of `text`.
    pub(super) fn intermediate(&mut self, number: usize, extension: &str, text: &str) -> String {
        let output = ["-S", "-emit-llvm", "-o", "module.ll"];
        let ended = self.front_end(number, extension, text, &output);
        assert!(ended.success, "{}\n{text}", ended.messages);
        fs::read_to_string(self.path().join("module.ll")).expect("a text")
    }

    fn front_end(&mut self, number: usize, extension: &str, text: &str, output: &[&str]) -> Ended {
        let source = format!("{}/m{number}.{extension}", self.sources);
        fs::write(self.path().join(&source), text).expect("written");
        let flags = self.flags;
        let mut words = vec![format!("--target={}", flags.target.triple())];
        words.extend(["-w", "-flto=thin", flags.level, flags.relocation].map(str::to_owned));
        words.extend(flags.front_end.iter().map(|&word| word.to_owned()));
        words.push(source);
        words.extend(output.iter().map(|&word| word.to_owned()));
        let compiler = if extension == "c" { "clang" } else { "clang++" };
        self.run(compiler, &words)
    }

    /// Makes a module of its textual form. Returns whether LLVM takes it.
    pub(super) fn assemble(&mut self, number: usize, text: &str) -> bool {
        fs::write(self.path().join("module.ll"), text).expect("written");
        let mut words = [
            // As clang writes modules.
            "-preserve-bc-uselistorder=false",
            "-module-summary",
            "-module-hash",
            "module.ll",
            "-o",
        ]
        .map(str::to_owned)
        .to_vec();
        words.push(self.modules[number].name.clone());
        self.run("opt", &words).success && self.reload(number)
    }

    /// A module in LLVM's textual form.
    pub(super) fn disassembled(&self, number: usize) -> String {
        let mut tool = Llvm::get().command("llvm-dis");
        tool.current_dir(self.path());
        tool.args([&self.modules[number].name, "-o", "module.ll"]);
        run(&mut tool);
        fs::read_to_string(self.path().join("module.ll")).expect("a text")
    }

    /// Takes a module out of a file.
    pub(super) fn place(&mut self, number: usize, module: &Path) {
        let name = self.path().join(&self.modules[number].name);
        fs::copy(module, name).expect("copied");
        self.reload(number);
    }

    fn reload(&mut self, number: usize) -> bool {
        let bytes = self.read(&self.modules[number].name);
        let module = &mut self.modules[number];
        module.digest = sha256(&bytes);
        module.bytes = bytes;
        true
    }

    /// Writes the shards beside the modules.
    pub(super) fn thin_link(&mut self) -> bool {
        if !self.own_flags.is_empty() {
            let names = self.modules.iter().map(|module| module.name.as_str());
            let list = names.collect::<Vec<_>>().join("\n");
            fs::write(self.path().join("modules"), list).expect("written");
            return self.run("ld.lld", &THIN_LINK.map(str::to_owned)).success;
        }
        let mut words = ["--thinlto-index-only", "-e", "main", "-o", "program"]
            .map(str::to_owned)
            .to_vec();
        words.push("--unresolved-symbols=ignore-all".to_owned());
        if self.flags.shared {
            words.push("-shared".to_owned());
        } else if self.flags.relocation != "-fno-pic" {
            words.push("-pie".to_owned());
        }
        words.extend(self.modules.iter().map(|module| module.name.clone()));
        self.run("ld.lld", &words).success
    }

    fn arguments(&self, number: usize) -> Vec<String> {
        if let Some(flags) = self.own_flags.get(number) {
            let files = Slice::files(&self.modules[number].name, &format!("n{number}.o"));
            let words = [flags.as_slice(), files.as_slice()].concat();
            let parsed = parse(&words);
            let reaching = reaching(&parsed).flat_map(|argument| argument.words.to_vec());
            return reaching.collect();
        }
        let target = format!("--target={}", self.flags.target.triple());
        let mut words = vec!["-c".to_owned(), target];
        words.extend([self.flags.level, "-faddrsig"].map(str::to_owned));
        let backend = self.flags.backend.iter();
        words.extend(backend.map(|&word| word.to_owned()));
        if self.flags.relocation != "-fno-pic" {
            words.push("-fpic".to_owned());
        }
        words.push("-Wno-unused-command-line-argument".to_owned());
        words.extend([
            "-x".to_owned(),
            "ir".to_owned(),
            self.modules[number].name.clone(),
            format!("-fthinlto-index={}", self.shard_name(number)),
            "-o".to_owned(),
            format!("n{number}.o"),
        ]);
        words
    }

    fn shard_name(&self, number: usize) -> String {
        format!("{}.thinlto.bc", self.modules[number].name)
    }

    /// The object that clang writes in place, and whether it had nothing to say.
    fn backend(&mut self, number: usize) -> (Vec<u8>, bool) {
        let words = self.arguments(number);
        let ended = self.run("clang", &words);
        assert!(ended.success, "{}", ended.messages);
        let object = self.read(&format!("n{number}.o"));
        (object, ended.messages.is_empty())
    }

    fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path().join(name)).expect("a file of the lab")
    }

    /// Compares all jobs of the program as it is now, after an edit of `construct`.
    pub(super) fn compare(
        &mut self,
        construct: Option<Construct>,
        figures: &mut Figures,
    ) -> EditCounts {
        let all: Vec<usize> = (0..self.modules.len()).collect();
        self.compare_jobs(&all, construct, figures)
    }

    /// The same of some jobs.
    pub(super) fn compare_jobs(
        &mut self,
        jobs: &[usize],
        construct: Option<Construct>,
        figures: &mut Figures,
    ) -> EditCounts {
        let mut counts = EditCounts::default();
        for &number in jobs {
            let shard = self.read(&self.shard_name(number));
            let own = self.modules[number].digest.hex();
            let settled = sha256(&[shard.as_slice(), own.as_bytes()].concat());
            if self.settled.insert(settled) {
                self.compare_job(number, &shard, construct, figures, &mut counts);
            }
        }
        counts
    }

    fn compare_job(
        &mut self,
        number: usize,
        shard: &[u8],
        construct: Option<Construct>,
        figures: &mut Figures,
        counts: &mut EditCounts,
    ) {
        let (form, files) = self.canonical(number, shard);
        let digests = self.digests(&files);
        let whole = Action::new(&template(), &toolchain(), &form, &digests).digest();
        figures.jobs += 1;
        if !self.seen.insert(whole) {
            return;
        }
        counts.by_whole_key += 1;
        counts.by_slice_key += 1;
        let key = match self.slice_key(&form, number, &files, &digests) {
            Ok(key) => key,
            Err(reason) => {
                let count = figures.without_key.entry(reason.to_string());
                *count.or_default() += 1;
                return;
            }
        };
        let (fresh, quiet) = self.backend(number);
        let digest = sha256(&fresh);
        counts.changed += u64::from(*self.first.entry(number).or_insert(digest) != digest);
        let imports = files.iter().zip(digests);
        let imports = imports.filter(|(at, _)| **at != number);
        let imports: Vec<Digest> = imports.map(|(_, digest)| digest).collect();
        let Some((stored, restored)) = self.restored(&key) else {
            if quiet {
                self.store(&key, fresh, imports, figures);
            } else {
                figures.not_storable += 1;
            }
            return;
        };
        counts.by_slice_key -= 1;
        if stored.imports == imports {
            figures.moved += 1;
        } else {
            figures.telling(construct, &self.flags.column(), stored.object == fresh);
            figures.numbered += u64::from(stored.numbers.is_none());
        }
        if restored != fresh || !quiet {
            let keep = self.keep(number, &restored, &fresh);
            figures.wrong.push(format!("{construct:?}: {keep}"));
        }
    }

    /// What a job before this one left, and its object as this one's.
    fn restored(&self, key: &SliceKey) -> Option<(&Stored, Vec<u8>)> {
        let stored = self.stored.get(&key.message.digest);
        if let Some(stored) = stored.filter(|_| key.restorable) {
            let then = stored.numbers.as_ref().expect("the key does not have them");
            let pairs = then.iter().copied().zip(key.numbers.iter().copied());
            let renumbering = Renumbering::new(pairs).ok()?;
            return match restore(&stored.object, &renumbering) {
                // It is compiled.
                Err(RestoreError::Order) => None,
                restored => Some((stored, restored.expect("what was checked can be restored"))),
            };
        }
        let stored = self.stored.get(&key.numbered.digest)?;
        Some((stored, stored.object.clone()))
    }

    fn store(
        &mut self,
        key: &SliceKey,
        object: Vec<u8>,
        imports: Vec<Digest>,
        figures: &mut Figures,
    ) {
        let is_restorable = key.restorable && check(&object, &key.numbers).is_ok();
        figures.not_restorable += u64::from(!is_restorable);
        let (message, numbers) = if is_restorable {
            (&key.message, Some(key.numbers.clone()))
        } else {
            (&key.numbered, None)
        };
        let stored = Stored {
            object,
            numbers,
            imports,
        };
        self.stored.entry(message.digest).or_insert(stored);
    }

    /// The whole key of each job.
    pub(super) fn whole_keys(&self) -> Vec<Digest> {
        let keys = (0..self.modules.len()).map(|number| {
            let shard = self.read(&self.shard_name(number));
            let (form, files) = self.canonical(number, &shard);
            let digests = self.digests(&files);
            Action::new(&template(), &toolchain(), &form, &digests).digest()
        });
        keys.collect()
    }

    fn digests(&self, files: &[usize]) -> Vec<Digest> {
        files.iter().map(|at| self.modules[*at].digest).collect()
    }

    /// Keeps what is needed to look into a difference. Returns the directory.
    fn keep(&self, number: usize, restored: &[u8], fresh: &[u8]) -> String {
        let keep = tempfile::Builder::new().prefix("slices-").tempdir();
        let keep = keep.expect("a directory").keep();
        fs::write(keep.join("restored.o"), restored).expect("written");
        fs::write(keep.join("fresh.o"), fresh).expect("written");
        fs::write(
            keep.join("arguments"),
            self.arguments(number).join(" ").as_bytes(),
        )
        .expect("written");
        crate::support::saved::copy_files(self.path(), &keep);
        keep.display().to_string()
    }

    /// The canonical job, and which module each of its files is.
    fn canonical(&self, number: usize, shard: &[u8]) -> (CanonicalJob, Vec<usize>) {
        let index = Index::parse(shard).expect("lld's shard parses");
        let own = &self.modules[number].name;
        let mut inputs = vec![own.clone(), self.shard_name(number)];
        let paths = index.modules().iter();
        let paths = paths.map(|it| String::from_utf8(it.path.clone()).expect("text"));
        inputs.extend(paths.filter(|path| path != own));
        let job = Job {
            arguments: self.arguments(number),
            inputs,
            outputs: vec![format!("n{number}.o")],
        };
        let target = self.flags.target.triple();
        let words = job.arguments.clone();
        let here = FileTable::default();
        let form = canonical(Caller::Launcher, &job, &words, target, Some(&index), &here);
        let Canonical::Hermetic(form) = form.expect("a canonical form") else {
            panic!("the job is hermetic");
        };
        let module = |name: &str| {
            let mut modules = self.modules.iter();
            modules.position(|module| module.name == name)
        };
        let files = form.files.iter();
        let files = files.map(|it| module(&it.name).expect("a module of the program"));
        let files = files.collect();
        (*form, files)
    }

    fn slice_key(
        &mut self,
        form: &CanonicalJob,
        number: usize,
        files: &[usize],
        digests: &[Digest],
    ) -> Result<SliceKey, NoSliceKey> {
        for at in files {
            let module = &self.modules[*at];
            self.graphs.entry(module.digest).or_insert_with(|| {
                ModuleGraph::read(&module.bytes).map_err(|opaque| opaque.to_string())
            });
        }
        let index = Index::parse(&form.shard).expect("the canonical shard parses");
        let inputs = SliceInputs {
            template: &template(),
            toolchain: &toolchain(),
            digests,
            index: &index,
            own: &self.modules[number].name,
        };
        let sliceable = SliceableJob::new(form, &inputs)?;
        let graphs = files.iter().zip(digests);
        let graphs = graphs.map(|(at, digest)| {
            let graph = self.graphs.get(digest).filter(|_| self.whole != Some(*at));
            graph?.as_ref().ok()
        });
        let graphs: Vec<Option<&ModuleGraph>> = graphs.collect();
        let (views, _) = what_is_seen(sliceable.imported(), &graphs);
        let mentioned = sliceable.mentioned();
        let locals = graphs
            .iter()
            .map(|graph| Some(graph.as_ref()?.locals_among(mentioned)));
        let locals: Vec<_> = locals.collect();
        let names = graphs.iter().zip(&locals).map(|(graph, locals)| {
            let graph = graph.as_ref()?;
            Some(ModuleNames {
                source: graph.source(),
                locals: locals.as_ref()?,
                suffixes: graph.suffixes(),
                depends_on_names: graph.depends_on_names(),
            })
        });
        let names: Vec<_> = names.collect();
        let views: Vec<_> = views.iter().map(Option::as_ref).collect();
        sliceable.key(&views, &names)
    }

    /// Why modules of the program, or parts of them, are taken whole.
    pub(super) fn opaque(&self) -> BTreeSet<String> {
        let mut reasons = BTreeSet::new();
        for graph in self.graphs.values() {
            match graph {
                Ok(graph) => reasons.extend(graph.unknown().map(ToString::to_string)),
                Err(reason) => {
                    reasons.insert(reason.clone());
                }
            }
        }
        reasons
    }
}

fn sha256(bytes: &[u8]) -> Digest {
    DigestFunction::Sha256.digest(bytes)
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
