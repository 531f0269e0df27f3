//! The jobs of one link, kept, to be run again and again without the linker: through relto, or by
//! `xargs`.

use std::path::{Path, PathBuf};
use std::process::Command;

use fs_err as fs;
use serde_json::Value;

use relto_testing::backends::backends;
use relto_testing::link::{Home, Link};
use relto_testing::outcome::{Counts, LinkOutcome};
use relto_testing::program::Program;

/// A link's directory as lld leaves it when told to keep everything.
pub(crate) struct Replay {
    outcome: LinkOutcome,
    file: PathBuf,
    link: Value,
}

impl Replay {
    pub(crate) fn new(program: &Program) -> Self {
        let outcome = Link::reference(program).keep_objects().run().expect_works();
        let entries = fs::read_dir(outcome.dir()).expect("the link's directory");
        let mut paths = entries.map(|entry| entry.expect("an entry").path());
        let file = paths.find(|path| path.to_string_lossy().ends_with(".dist-file.json"));
        let file = file.expect("a job file");
        let link = outcome.job_file();
        Self {
            outcome,
            file,
            link,
        }
    }

    pub(crate) fn jobs(&self) -> usize {
        self.list().len()
    }

    fn list(&self) -> &[Value] {
        self.link["jobs"].as_array().expect("a list")
    }

    fn dir(&self) -> &Path {
        self.outcome.dir()
    }

    /// relto, as lld starts it.
    pub(crate) fn relto(&self, home: &Home, options: &[String]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_relto"));
        home.apply(&mut command);
        command
            .current_dir(self.dir())
            .args(options)
            .arg(&self.file);
        command
    }

    /// Runs relto once, unmeasured, and says where the jobs ran.
    pub(crate) fn counts(&self, home: &Home) -> Counts {
        let output = self.relto(home, &[]).output().expect("relto starts");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{stderr}");
        Counts::parse(&stderr).expect("a summary")
    }

    /// The same commands from `xargs -P`, those with the largest objects first.
    pub(crate) fn xargs(&self, processes: usize) -> Command {
        let sizes = self.outcome.objects();
        let mut order: Vec<_> = (0..self.jobs()).collect();
        order.sort_by_key(|&job| std::cmp::Reverse(sizes[job].len()));
        let jobs = order.into_iter().map(|job| &self.list()[job]);
        backends(self.dir(), &self.link, jobs, processes)
    }
}
