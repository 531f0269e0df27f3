//! Each output of a job file is a file of its own: no other job writes it, and no job reads it.
//!
//! Whichever job ended last would decide what an output of two jobs is, and one that is also an
//! input of another job would be read before or after it was written.

use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::path::Path;
use std::sync::Arc;

use super::JobFile;
use super::file::JobFileError;
use crate::fs::FileId;

impl JobFile {
    /// Compares the names as they are written.
    ///
    /// # Errors
    /// An output is also an output or an input of another job.
    pub(super) fn check_output_names(&self, path: &Path) -> Result<(), JobFileError> {
        let twice = |field: String, name: &str, what: &str| JobFileError::Malformed {
            path: path.to_owned(),
            field,
            reason: format!("`{name}` is also {what}"),
        };
        let is_file = |name: &&String| *name != "/dev/null";
        let mut outputs = HashSet::new();
        for (number, job) in self.jobs.iter().enumerate() {
            for name in job.outputs.iter().filter(is_file) {
                if !outputs.insert(name) {
                    let field = format!("jobs[{number}].outputs");
                    return Err(twice(field, name, "another output"));
                }
            }
        }
        for (number, job) in self.jobs.iter().enumerate() {
            if let Some(name) = job.inputs.iter().find(|name| outputs.contains(name)) {
                let field = format!("jobs[{number}].inputs");
                return Err(twice(field, name, "an output"));
            }
        }
        Ok(())
    }

    /// Compares the files behind the names: `a.o`, `./a.o`, `link/a.o` by a link to the directory,
    /// and `b.o` if it is a link to `a.o` or a hard link of it. The compiler is an input, too.
    ///
    /// # Errors
    /// An output is also an output or an input of another job.
    pub(super) fn check_output_files(&self, path: &Path) -> Result<(), JobFileError> {
        let same = |field: String, name: &str, output: &str| JobFileError::Malformed {
            path: path.to_owned(),
            field,
            reason: format!("`{name}` is the same file as the output `{output}`"),
        };
        let mut dirs = RealDirs::default();
        let mut outputs = Outputs::default();
        for (number, job) in self.jobs.iter().enumerate() {
            for name in &job.outputs {
                if let Some(other) = outputs.insert(&mut dirs, name) {
                    return Err(same(format!("jobs[{number}].outputs"), name, other));
                }
            }
        }
        // The linker names the compiler by its file or by a link to it.
        let compiler = Some(&*self.common_arguments[0]).filter(|name| name.contains('/'));
        let program = compiler.and_then(|name| fs_err::canonicalize(name).ok());
        let program = program.as_deref().and_then(Path::to_str);
        let compiler = compiler.into_iter().chain(program);
        let compiler = compiler.map(|name| ("common.args", name));
        let common = self.common_inputs.iter();
        let common = common.map(|name| ("common.inputs", &**name));
        for (field, name) in compiler.chain(common) {
            if let Some(output) = outputs.find(&mut dirs, name) {
                return Err(same(field.to_owned(), name, output));
            }
        }
        for (number, job) in self.jobs.iter().enumerate() {
            for name in &job.inputs {
                if let Some(output) = outputs.find(&mut dirs, name) {
                    return Err(same(format!("jobs[{number}].inputs"), name, output));
                }
            }
        }
        Ok(())
    }
}

/// The outputs so far.
#[derive(Default)]
struct Outputs<'n> {
    /// By the last part of the name, each with the directory that it stands in.
    by_name: HashMap<&'n OsStr, Vec<(Arc<Path>, &'n str)>>,
    /// Those that are there, which objects of a link are not.
    by_file: HashMap<FileId, &'n str>,
}

impl<'n> Outputs<'n> {
    /// Another output that is the same file; otherwise `name` is one of them now.
    fn insert(&mut self, dirs: &mut RealDirs<'n>, name: &'n str) -> Option<&'n str> {
        let path = Path::new(name);
        let (dir, last) = (dirs.of(path)?, path.file_name()?);
        let alike = self.by_name.entry(last).or_default();
        if let Some((_, other)) = alike.iter().find(|(other, _)| *other == dir) {
            return Some(other);
        }
        alike.push((dir, name));
        self.by_file.insert(regular_file(path)?, name)
    }

    fn find<'a>(&self, dirs: &mut RealDirs<'a>, name: &'a str) -> Option<&'n str> {
        let path = Path::new(name);
        // Most inputs have no name of an output: their directories are not looked up.
        let by_name = self.by_name.get(path.file_name()?).and_then(|alike| {
            let dir = dirs.of(path)?;
            let found = alike.iter().find(|(other, _)| dir == *other);
            found.map(|(_, output)| *output)
        });
        by_name.or_else(|| {
            let is_possible = !self.by_file.is_empty();
            let file = is_possible.then(|| FileId::at(path)).flatten()?;
            self.by_file.get(&file).copied()
        })
    }
}

/// The regular file to which `path` leads.
fn regular_file(path: &Path) -> Option<FileId> {
    let found = fs_err::metadata(path).ok()?;
    found.is_file().then(|| FileId::of(&found))
}

/// The directories that names stand in, without links.
#[derive(Default)]
struct RealDirs<'n>(HashMap<&'n Path, Option<Arc<Path>>>);

impl<'n> RealDirs<'n> {
    /// `None` where the directory is not there, and for devices.
    fn of(&mut self, path: &'n Path) -> Option<Arc<Path>> {
        let parent = path.parent().unwrap_or(Path::new(""));
        let find = || {
            let dir = fs_err::canonicalize(Path::new(".").join(parent)).ok()?;
            let is_memory = dir.starts_with("/dev/shm");
            let is_device = dir.starts_with("/dev") && !is_memory || dir.starts_with("/proc");
            (!is_device).then(|| Arc::from(dir))
        };
        self.0.entry(parent).or_insert_with(find).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Rendered;

    /// A job file in `dir` with two jobs, which write `outputs` and both read `input`.
    fn read(dir: &Path, outputs: [&str; 2], input: &str) -> Result<JobFile, String> {
        let below = |name: &str| match name {
            "/dev/null" => name.to_owned(),
            name => format!("{}/{name}", dir.display()),
        };
        let job = |output: &str| {
            serde_json::json!({ "args": [], "outputs": [below(output)],
                "inputs": [below(input), below("index")] })
        };
        let common =
            serde_json::json!({ "linker_output": "a", "args": [below("clang")], "inputs": [] });
        let text = serde_json::json!({ "common": common, "jobs": outputs.map(job) });
        let file = dir.join("jobs.json");
        fs_err::write(&file, text.to_string()).expect("written");
        JobFile::read(&file).map_err(|error| Rendered(&error).to_string())
    }

    fn complaint(dir: &Path, outputs: [&str; 2], input: &str) -> String {
        read(dir, outputs, input).expect_err("refused")
    }

    #[test]
    fn a_file_is_written_by_one_job_and_read_by_none() {
        let top = tempfile::tempdir().expect("a directory");
        let error = complaint(top.path(), ["a.o", "a.o"], "m.o");
        assert!(error.contains("/a.o` is also another output"), "{error}");
        let error = complaint(top.path(), ["a.o", "m.o"], "m.o");
        assert!(error.contains("/m.o` is also an output"), "{error}");
        assert!(read(top.path(), ["/dev/null", "/dev/null"], "m.o").is_ok());
    }

    #[test]
    fn a_file_with_two_names_is_one_file() {
        let top = tempfile::tempdir().expect("a directory");
        let dir = top.path().join("dir");
        fs_err::create_dir(&dir).expect("made");
        fs_err::os::unix::fs::symlink("dir", top.path().join("link")).expect("linked");
        assert!(read(top.path(), ["dir/a.o", "dir/b.o"], "m.o").is_ok());
        assert!(read(top.path(), ["dir/a.o", "missing/a.o"], "missing/m.o").is_ok());
        for (outputs, input) in [
            (["dir/a.o", "dir/./a.o"], "m.o"),
            (["dir/a.o", "dir/../dir/a.o"], "m.o"),
            (["dir/a.o", "link/a.o"], "m.o"),
            (["dir/a.o", "dir/b.o"], "link/b.o"),
        ] {
            let error = complaint(top.path(), outputs, input);
            assert!(error.contains("is the same file as the output"), "{error}");
        }
        // By its own name, or by that of the file that the name leads to.
        let compiler = top.path().join("clang");
        fs_err::write(top.path().join("dir/clang-22"), "").expect("written");
        fs_err::os::unix::fs::symlink("dir/clang-22", &compiler).expect("linked");
        for output in ["dir/../clang", "link/clang-22"] {
            let error = complaint(top.path(), [output, "dir/b.o"], "m.o");
            assert!(error.contains("is the same file as the output"), "{error}");
        }
    }

    #[test]
    fn a_link_and_a_hard_link_are_the_file_that_they_share() {
        let top = tempfile::tempdir().expect("a directory");
        let place = |name: &str| top.path().join(name);
        for name in ["m.o", "clang"] {
            fs_err::write(place(name), name).expect("written");
        }
        fs_err::hard_link(place("m.o"), place("hard.o")).expect("linked");
        fs_err::hard_link(place("clang"), place("compiler.o")).expect("linked");
        fs_err::os::unix::fs::symlink("m.o", place("soft.o")).expect("linked");
        fs_err::os::unix::fs::symlink("/dev/null", place("null.o")).expect("linked");
        fs_err::write(place("old.o"), "an object").expect("written");
        fs_err::os::unix::fs::symlink("old.o", place("to_old.o")).expect("linked");
        for (outputs, input) in [
            (["a.o", "hard.o"], "m.o"),
            (["a.o", "m.o"], "hard.o"),
            (["a.o", "soft.o"], "m.o"),
            (["soft.o", "hard.o"], "n.o"),
            (["a.o", "compiler.o"], "n.o"),
            (["a.o", "old.o"], "to_old.o"),
        ] {
            let error = complaint(top.path(), outputs, input);
            assert!(error.contains("is the same file as the output"), "{error}");
        }
        // An object of an earlier link that a backup shares, and devices, are nobody else's.
        assert!(read(top.path(), ["a.o", "hard.o"], "n.o").is_ok());
        assert!(read(top.path(), ["null.o", "/dev/null"], "m.o").is_ok());
    }
}
