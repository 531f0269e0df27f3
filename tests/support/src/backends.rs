//! A program whose build runs the ThinLTO backends itself: thin link, one command for each module,
//! final link.
//!
//! [`Backends`] is a directory with the modules, their shards and each backend's command. It says
//! where relto got the objects from and compares them with those of clang alone. Nothing here goes
//! through DTLTO.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use fs_err as fs;
use relto::internals::task::in_parallel;
use serde_json::Value;
use tempfile::TempDir;

use super::link::Home;
use super::llvm::{Llvm, run};
use super::outcome::Counts;
use super::program::Program;

/// Runs the commands of these jobs of a job file, whose files lie in `dir`, from `xargs -P`. Each
/// command stands in a response file: nothing runs but the compiler.
///
/// # Panics
/// It is no job file.
pub fn backends<'a>(
    dir: &Path,
    link: &Value,
    jobs: impl IntoIterator<Item = &'a Value>,
    processes: usize,
) -> Command {
    let words = |list: &Value| -> Vec<String> {
        let list = list.as_array().expect("a list").iter();
        list.map(|word| word.as_str().expect("a text").to_owned())
            .collect()
    };
    let common = words(&link["common"]["args"]);
    let mut list = String::new();
    for (number, job) in jobs.into_iter().enumerate() {
        let arguments = [&common[1..], &words(&job["args"])].concat();
        let quoted = arguments
            .iter()
            .map(|word| format!("\"{}\"\n", word.replace('\\', "\\\\").replace('"', "\\\"")));
        let name = format!("{number:04}.rsp");
        fs::write(dir.join(&name), quoted.collect::<String>()).expect("written");
        writeln!(list, "@{name}").expect("a string");
    }
    fs::write(dir.join("all.txt"), list).expect("written");
    let mut command = Command::new("xargs");
    command.current_dir(dir);
    command.args(["-a", "all.txt", "-n", "1", "-P"]);
    command
        .arg(processes.to_string())
        .arg(Llvm::get().tool("clang"));
    command
}

/// What lld leaves of the parts of modules that are not for ThinLTO.
const REGULAR: &str = "regular.lto.o";

/// A program after its thin link.
#[derive(Debug)]
pub struct Backends {
    dir: TempDir,
    program: Program,
    /// The modules, by the names that the thin link had for them.
    pub modules: Vec<String>,
    /// What every backend gets besides its files.
    pub flags: Vec<String>,
}

impl Backends {
    pub fn new(program: &Program) -> Self {
        Self::thin_linked(program, &[])
    }

    /// With further arguments at the thin link.
    pub fn thin_linked(program: &Program, arguments: &[&str]) -> Self {
        let backends = Self::unlinked(program);
        let mut thin_link = backends.thin_link();
        run(thin_link.args(arguments));
        backends
    }

    /// The modules in a directory of their own, and no shards yet.
    pub fn unlinked(program: &Program) -> Self {
        let dir = TempDir::new().expect("a temporary directory");
        for file in program.modules.iter().chain(&program.files) {
            let name = file.file_name().expect("a file");
            fs::copy(file, dir.path().join(name)).expect("copied");
        }
        let name = |path: &PathBuf| {
            path.file_name()
                .expect("a file")
                .to_string_lossy()
                .into_owned()
        };
        Self {
            dir,
            modules: program.modules.iter().map(name).collect(),
            program: program.clone(),
            flags: vec!["-O2".to_owned()],
        }
    }

    /// The thin link of `modules` as they are named.
    pub fn thin_link(&self) -> Command {
        let mut command = Llvm::get().command(self.program.driver);
        command
            .current_dir(self.dir())
            .args(["-flto=thin", "-fuse-ld=lld", "-o", "app"])
            .args(["-Wl,--thinlto-index-only=natives"])
            .arg(format!("-Wl,--lto-obj-path={REGULAR}"))
            .args(&self.modules)
            .args(&self.program.link_arguments);
        command
    }

    pub fn flags(mut self, flags: &[&str]) -> Self {
        self.flags.extend(flags.iter().map(|&flag| flag.to_owned()));
        self
    }

    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// `name` seen from the root.
    pub fn path_of(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir().join(name)
    }

    /// The compiler's arguments for one module, its object named with `ending`.
    pub fn arguments(&self, module: &str, ending: &str) -> Vec<String> {
        let mut words = self.flags.clone();
        words.extend(["-x", "ir", "-c"].map(str::to_owned));
        words.push(format!("-fthinlto-index={module}.thinlto.bc"));
        words.extend([
            "-o".to_owned(),
            format!("{module}.{ending}"),
            module.to_owned(),
        ]);
        words
    }

    /// A shell that is called as a program that runs builds.
    pub fn ninja(&self) -> PathBuf {
        let ninja = self.path("ninja");
        fs::os::unix::fs::symlink("/bin/sh", &ninja).expect("linked");
        ninja
    }

    /// Shell commands that run the backends by relto, one a line, each with `ending`.
    pub fn script(&self, home: &Home, ending: &str) -> String {
        let line = |module: &String| {
            let relto = self.relto(home);
            let words = [relto.get_program()].into_iter().chain(relto.get_args());
            let words = words.map(|word| word.to_string_lossy().into_owned());
            let words = words.chain(self.arguments(module, "native.o"));
            let words: Vec<String> = words.map(|word| format!("'{word}'")).collect();
            format!("{} {ending}\n", words.join(" "))
        };
        let lines: Vec<String> = self.modules.iter().map(line).collect();
        lines.concat()
    }

    /// `relto cc clang ...` in the program's directory.
    pub fn relto(&self, home: &Home) -> Command {
        self.relto_with(home, &self.compiler())
    }

    /// The same with another compiler.
    pub fn relto_with(&self, home: &Home, compiler: &Path) -> Command {
        let mut command = Command::new(crate::built::relto());
        home.apply(&mut command);
        command.current_dir(self.dir()).arg("cc").arg(compiler);
        command.env("RELTO_LOG", "info");
        command
    }

    pub fn compiler(&self) -> PathBuf {
        Llvm::get().tool(self.program.driver)
    }

    /// Runs the backend of one module through relto.
    pub fn run(&self, home: &Home, module: &str) -> Output {
        let mut command = self.relto(home);
        command.args(self.arguments(module, "native.o"));
        command.output().expect("relto starts")
    }

    /// Runs all backends through relto, some at a time as a build does, and says where the objects
    /// came from.
    ///
    /// # Panics
    /// A backend fails.
    pub fn run_all(&self, home: &Home) -> Counts {
        let logs = in_parallel(&self.modules, |module| {
            let output = self.run(home, module);
            let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(output.status.code(), Some(0), "{module}: {stderr}");
            stderr
        });
        let mut counts = Counts::default();
        for log in &logs {
            add(&mut counts, log);
        }
        counts
    }

    /// Every object is the one that clang writes by itself.
    ///
    /// # Panics
    /// Names the first module whose object differs.
    pub fn assert_identical_objects(&self) {
        self.assert_identical_objects_of(1);
    }

    /// The same of every `step`-th module.
    pub fn assert_identical_objects_of(&self, step: usize) {
        let chosen: Vec<_> = self.modules.iter().step_by(step.max(1)).collect();
        in_parallel(&chosen, |module| {
            let mut clang = Command::new(self.compiler());
            clang.current_dir(self.dir());
            run(clang.args(self.arguments(module, "plain.o")));
            let theirs = fs::read(self.path(&format!("{module}.plain.o"))).expect("an object");
            let ours = fs::read(self.path(&format!("{module}.native.o"))).expect("an object");
            assert!(ours == theirs, "the objects of `{module}` differ");
        });
    }

    /// Links the objects that are named with `ending`, and runs the program.
    ///
    /// # Panics
    /// The link fails, or the program does.
    pub fn final_link(&self, ending: &str) {
        let mut command = Llvm::get().command(self.program.driver);
        let objects = self
            .modules
            .iter()
            .map(|module| format!("{module}.{ending}"));
        command
            .current_dir(self.dir())
            .args(["-fuse-ld=lld", "-o", "app"])
            .args(objects);
        if self.path(REGULAR).exists() {
            command.arg(REGULAR);
        }
        run(&mut command);
        self.program.check(&self.path("app"));
    }
}

/// Counts what relto's log says of jobs: "`m.o`: cached".
pub fn add(counts: &mut Counts, log: &str) {
    for line in log.lines().filter(|line| line.contains(" INFO ")) {
        let count = match line.rsplit_once("`: ") {
            Some((_, "cached")) => &mut counts.cached,
            Some((_, "remote")) => &mut counts.remote,
            Some((_, "local")) => &mut counts.local,
            Some((_, "in place")) => &mut counts.in_place,
            _ => continue,
        };
        *count += 1;
        counts.jobs += 1;
    }
}

/// Runs `words` twice through relto and once through clang, always in a directory that holds none
/// of their files yet. The files in `outputs` must be the same; gives where relto says that they
/// came from.
pub fn same(backends: &Backends, home: &Home, words: &[&str], outputs: &[&str]) -> Counts {
    let mut clang = Command::new(backends.compiler());
    run(clang.current_dir(backends.dir()).args(words));
    let theirs: Vec<_> = outputs
        .iter()
        .map(|name| taken(&backends.path(name)))
        .collect();
    let mut counts = Counts::default();
    for _ in 0..2 {
        let mut command = backends.relto(home);
        let output = command.args(words).output().expect("relto starts");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{stderr}");
        for (name, theirs) in outputs.iter().zip(&theirs) {
            let ours = taken(&backends.path(name));
            assert!(ours == *theirs, "`{name}` differs: {words:?}");
        }
        add(&mut counts, &stderr);
    }
    counts
}

/// The contents of a file, which is gone then.
pub fn taken(path: &Path) -> Vec<u8> {
    let bytes = fs::read(path).expect("an output");
    fs::remove_file(path).expect("removed");
    bytes
}

/// The first run compiled, the second one found what the first had kept.
pub const ONCE: Counts = Counts {
    jobs: 2,
    cached: 1,
    remote: 0,
    local: 1,
    in_place: 0,
};
/// Both ran in place.
pub const NEVER: Counts = Counts {
    jobs: 2,
    cached: 0,
    remote: 0,
    local: 0,
    in_place: 2,
};

/// The backend of `main.o`.
pub const WORDS: [&str; 8] = [
    "-O2",
    "-x",
    "ir",
    "-c",
    "-fthinlto-index=main.o.thinlto.bc",
    "-o",
    "o.o",
    "main.o",
];
