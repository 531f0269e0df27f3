//! The modules of a trial: two small functions, one of which is imported into the other.
//!
//! The user's own compiler and linker make the bitcode and its index shard, so whatever is wrong
//! with them shows here.

use std::path::{Path, PathBuf};
use std::process::Command;

use fs_err as fs;

use super::Finding;
use crate::fs::read_regular;
use crate::job::{Caller, Job, JobFile};
use crate::thinlto::Index;

const TRIAL: &str =
    "int relto_helper(int);\nint relto_trial(int n) { return relto_helper(n) + 1; }\n";
const HELPER: &str = "int relto_helper(int n) { return 3 * n; }\n";

/// One job, ready to run as often as one likes.
#[derive(Debug)]
pub(super) struct Trial {
    pub(super) file: JobFile,
    in_place: PathBuf,
}

impl Trial {
    pub(super) fn make(clang: &Path, dir: &Path) -> Result<Self, Finding> {
        let path = |name: &str| dir.join(name).to_string_lossy().into_owned();
        for (name, text) in [("trial.c", TRIAL), ("helper.c", HELPER)] {
            fs::write(dir.join(name), text)
                .map_err(|error| Finding::bad(error.to_string(), "is the disk full?"))?;
        }
        let compiler = Compiler { clang, dir };
        compiler.run(&["-O2", "-flto=thin", "-c", "trial.c", "helper.c"])?;
        let (module, helper) = (path("trial.o"), path("helper.o"));
        let index_only = [
            "-O2",
            "-flto=thin",
            "-fuse-ld=lld",
            "-nostdlib",
            "-Wl,-e,relto_trial",
            "-Wl,--thinlto-index-only",
            "-o",
            "trial",
        ];
        compiler.run(&[&index_only[..], &[&module, &helper]].concat())?;
        let index = path("trial.o.thinlto.bc");
        let job = Job {
            arguments: vec![
                module.clone(),
                format!("-fthinlto-index={index}"),
                "-o".to_owned(),
                path("trial.native.o"),
            ],
            inputs: inputs(&module, &index)?,
            outputs: vec![path("trial.native.o")],
        };
        let in_place = path("in-place.o");
        let shard = format!("-fthinlto-index={index}");
        compiler.run(&["-c", "-O2", &module, &shard, "-o", &in_place])?;
        Ok(Self {
            file: JobFile {
                caller: Caller::Linker,
                linker_output: path("trial"),
                common_arguments: vec![
                    clang.to_string_lossy().into_owned(),
                    "-c".to_owned(),
                    "-O2".to_owned(),
                ],
                common_inputs: Vec::new(),
                jobs: vec![job],
                unknown_keys: Vec::new(),
            },
            in_place: PathBuf::from(in_place),
        })
    }

    /// Whether the job's object is the one that the compiler writes in place.
    pub(super) fn compare(&self) -> Finding {
        let object = read_regular(self.file.jobs[0].object());
        match (object, read_regular(&self.in_place)) {
            (Ok(object), Ok(in_place)) if object == in_place => Finding::good(
                "its object is bit-identical to the one that the compiler writes in place",
            ),
            (Ok(_), Ok(_)) => Finding::warning(
                "its object differs from the one that the compiler writes in place",
                "the workers have a different compiler; `toolchain=upload` uploads yours",
            ),
            (Err(error), _) | (_, Err(error)) => Finding::bad(
                error.to_string(),
                "does something clean up the temporary directory?",
            ),
        }
    }
}

/// The module, its shard, and what the shard imports from.
fn inputs(module: &str, index: &str) -> Result<Vec<String>, Finding> {
    let unreadable = |reason: String| {
        Finding::bad(
            format!("the index that lld wrote cannot be read: {reason}"),
            "lld and clang must be of one release, 21 to 24",
        )
    };
    let shard = read_regular(index).map_err(|error| unreadable(error.to_string()))?;
    let parsed = Index::parse(&shard).map_err(|error| unreadable(error.to_string()))?;
    let modules = parsed.modules().iter();
    let names = modules.map(|entry| String::from_utf8_lossy(&entry.path).into_owned());
    let mut inputs = vec![module.to_owned(), index.to_owned()];
    inputs.extend(names.filter(|name| name != module));
    Ok(inputs)
}

struct Compiler<'a> {
    clang: &'a Path,
    dir: &'a Path,
}

impl Compiler<'_> {
    fn run(&self, arguments: &[&str]) -> Result<(), Finding> {
        let ended = Command::new(self.clang)
            .current_dir(self.dir)
            .args(arguments)
            .output();
        let command = format!("`{} {}`", self.clang.display(), arguments.join(" "));
        let reason = match ended {
            Ok(output) if output.status.success() => return Ok(()),
            Ok(output) => format!(
                "{}\n{}",
                output.status,
                String::from_utf8_lossy(&output.stderr).trim_end()
            ),
            Err(error) => error.to_string(),
        };
        Err(Finding::bad(
            format!("{command}: {reason}"),
            "this fails without relto, too: repair the installation of clang and lld first",
        ))
    }
}
