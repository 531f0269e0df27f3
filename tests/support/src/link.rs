//! Real links through a distributor, each in a directory of its own.
//!
//! A [`Link`] is a program, the [`Form`] in which its modules reach the linker, extra arguments,
//! environment and relto's options; it becomes a [`LinkOutcome`]. Each link has private XDG
//! directories unless a test shares a [`Home`], so that no cache of another test or of the user
//! yields a hit.

use std::path::{Path, PathBuf};
use std::process::Command;

use fs_err as fs;
use tempfile::TempDir;

use super::llvm::{Llvm, run};
use super::outcome::LinkOutcome;
use super::program::Program;

/// The directories that relto keeps state in; links that share one share the disk cache.
#[derive(Debug)]
pub struct Home(TempDir);

impl Home {
    pub fn new() -> Self {
        Self(TempDir::new().expect("a temporary directory"))
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Where relto's disk cache is, by default.
    pub fn cache(&self) -> PathBuf {
        self.path().join("cache")
    }

    /// Takes the first slot of this machine, until it is dropped.
    pub fn take_first_slot(&self) -> fs::File {
        let machine = rustix::system::uname();
        let machine = machine.nodename().to_str().expect("a name");
        let slots = self.cache().join("relto/slots").join(machine);
        fs::create_dir_all(&slots).expect("made");
        let slot = fs::File::create(slots.join("0")).expect("a file");
        slot.file().lock().expect("a free slot");
        slot
    }

    /// Points `command` at these directories and away from the user's own settings.
    pub fn apply(&self, command: &mut Command) {
        let relto = std::env::vars_os().map(|(name, _)| name);
        for name in relto.filter(|name| name.as_encoded_bytes().starts_with(b"RELTO_")) {
            command.env_remove(name);
        }
        command.env("HOME", self.path());
        // A test that wants one switches it on, and sees to its end.
        command.env("RELTO_DAEMON", "off");
        for (variable, dir) in [
            ("XDG_CACHE_HOME", "cache"),
            ("XDG_CONFIG_HOME", "config"),
            ("XDG_DATA_HOME", "data"),
            ("XDG_STATE_HOME", "state"),
            ("XDG_RUNTIME_DIR", "runtime"),
        ] {
            let dir = self.path().join(dir);
            fs::create_dir_all(&dir).expect("a private directory");
            command.env(variable, dir);
        }
    }
}

/// In which shape the modules reach the linker. `main` is always a plain object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Plain objects, by relative path.
    Objects,
    /// Plain objects, by absolute path.
    Absolute,
    /// Members of a regular archive: lld unpacks them to names that hold its PID.
    Archive,
    /// Members of a thin archive, which names the files.
    ThinArchive,
    /// Objects between `--start-lib` and `--end-lib`.
    StartLib,
}

impl Form {
    const ALL: [Self; 5] = [
        Self::Objects,
        Self::Absolute,
        Self::StartLib,
        Self::ThinArchive,
        Self::Archive,
    ];

    /// The forms that the LLVM under test can distribute: release 21 cannot unpack archives for it.
    pub fn all() -> impl Iterator<Item = Self> {
        let archives = Llvm::get().major() >= 22;
        let known = move |form: &Self| archives || *form != Self::Archive;
        Self::ALL.into_iter().filter(known)
    }
}

/// A link that is going to be made.
#[derive(Debug)]
pub struct Link<'a> {
    program: &'a Program,
    dir: TempDir,
    form: Form,
    distributor: Option<PathBuf>,
    options: Vec<String>,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    save_temps: bool,
}

impl<'a> Link<'a> {
    /// Through relto, as plain objects, in a new directory that holds copies of the modules.
    pub fn new(program: &'a Program) -> Self {
        Self::through(crate::built::relto(), program)
    }

    /// Through the reference distributor, which runs the commands in place.
    pub fn reference(program: &'a Program) -> Self {
        let script = crate::built::root().join("tests/support/reference.py");
        Self::through(&script, program)
    }

    /// Through any program.
    pub fn through(distributor: &Path, program: &'a Program) -> Self {
        Self {
            distributor: Some(distributor.to_owned()),
            ..Self::in_process(program)
        }
    }

    /// Without a distributor: lld runs the backends as threads of its own.
    pub fn in_process(program: &'a Program) -> Self {
        let dir = TempDir::new().expect("a temporary directory");
        for file in program.modules.iter().chain(&program.files) {
            let name = file.file_name().expect("a file");
            fs::copy(file, dir.path().join(name)).expect("copied");
        }
        Self {
            program,
            dir,
            form: Form::Objects,
            distributor: None,
            options: Vec::new(),
            arguments: Vec::new(),
            environment: Vec::new(),
            save_temps: false,
        }
    }

    pub fn form(mut self, form: Form) -> Self {
        self.form = form;
        self
    }

    /// One option of relto, as `-Xthinlto-distributor` gives it: it may hold no comma.
    pub fn option(mut self, option: &str) -> Self {
        self.options.push(option.to_owned());
        self
    }

    /// One more argument of clang (or `lld-link`), after all others.
    pub fn argument(mut self, argument: &str) -> Self {
        self.arguments.push(argument.to_owned());
        self
    }

    /// A variable for clang, lld and relto.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Makes lld keep the job file, shards and native objects: `LinkOutcome::objects` needs them.
    pub fn keep_objects(mut self) -> Self {
        self.save_temps = true;
        self
    }

    /// The directory of this link: the linker's current one, where the modules lie and the result
    /// will be.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Links, with state directories of its own.
    pub fn run(self) -> LinkOutcome {
        let home = Home::new();
        self.run_at(&home)
    }

    /// Links, with the state directories of `home`.
    pub fn run_at(self, home: &Home) -> LinkOutcome {
        let mut command = self.command(home);
        let output = command.output().expect("the linker starts");
        self.outcome(&output)
    }

    /// The command that makes this link, for tests that watch it or stop it. The program to link is
    /// `LinkOutcome`'s business, so such a test ends with `outcome`.
    pub fn command(&self, home: &Home) -> Command {
        let mut command = Llvm::get().command(self.program.driver);
        command.current_dir(self.dir());
        home.apply(&mut command);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        if self.program.driver == "lld-link" {
            command.args(self.lld_link_arguments());
        } else {
            command.args(self.clang_arguments());
        }
        command
            .args(self.inputs())
            .args(&self.program.link_arguments);
        command.args(&self.arguments);
        command
    }

    /// What became of a link whose process is over.
    pub fn outcome(self, output: &std::process::Output) -> LinkOutcome {
        LinkOutcome::new(self.dir, self.program, output)
    }

    fn clang_arguments(&self) -> Vec<String> {
        let mut arguments = vec![
            "-flto=thin".to_owned(),
            "-fuse-ld=lld".to_owned(),
            "-o".to_owned(),
            self.output().to_owned(),
        ];
        let distributor = self.distributor.iter();
        arguments
            .extend(distributor.map(|path| format!("-fthinlto-distributor={}", path.display())));
        arguments.extend(
            self.options
                .iter()
                .map(|o| format!("-Xthinlto-distributor={o}")),
        );
        arguments.extend(self.save_temps.then(|| "-Wl,--save-temps".to_owned()));
        arguments
    }

    fn lld_link_arguments(&self) -> Vec<String> {
        let compiler = Llvm::get().tool("clang");
        let mut arguments = vec![format!("/out:{}", self.output())];
        if let Some(path) = &self.distributor {
            arguments.push(format!("/thinlto-distributor:{}", path.display()));
            arguments.push(format!("/thinlto-remote-compiler:{}", compiler.display()));
        }
        arguments.extend(
            self.options
                .iter()
                .map(|o| format!("/thinlto-distributor-arg:{o}")),
        );
        arguments.extend(self.save_temps.then(|| "/lldsavetemps".to_owned()));
        arguments
    }

    fn output(&self) -> &'static str {
        super::outcome::executable_name(self.program)
    }

    fn inputs(&self) -> Vec<String> {
        let names: Vec<_> = self
            .program
            .modules
            .iter()
            .map(|path| {
                let name = path.file_name().expect("a file").to_string_lossy();
                name.into_owned()
            })
            .collect();
        let (main, members) = names.split_at(1);
        let wrapped = |before: &str, after: &str| {
            let library = [&[before.to_owned()], members, &[after.to_owned()]].concat();
            [main, &library].concat()
        };
        match self.form {
            Form::Objects => names,
            Form::Absolute => {
                let dir = self.dir().display();
                names.iter().map(|name| format!("{dir}/{name}")).collect()
            }
            Form::StartLib => wrapped("-Wl,--start-lib", "-Wl,--end-lib"),
            Form::Archive | Form::ThinArchive => {
                self.archive("liball.a", members);
                [main, &["liball.a".to_owned()]].concat()
            }
        }
    }

    fn archive(&self, name: &str, members: &[String]) {
        let kind = if self.form == Form::ThinArchive {
            "rcsT"
        } else {
            "rcs"
        };
        let mut command = Llvm::get().command("llvm-ar");
        run(command
            .current_dir(self.dir())
            .arg(kind)
            .arg(name)
            .args(members));
    }
}
