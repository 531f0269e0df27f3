//! Reads a DTLTO job file.
//!
//! Unknown keys are collected, not refused: lld's documentation lets newer versions add some.

use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;

use super::{Caller, Job, JobFile};
use crate::error::Hinted;
use crate::fs::read_regular;

/// Why a job file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum JobFileError {
    #[error("cannot read the job file")]
    Unreadable(#[source] std::io::Error),
    #[error("job file `{}`: `{field}`: {reason}", path.display())]
    Malformed {
        path: PathBuf,
        /// As in `jobs[3].outputs`; `.` is the file as a whole.
        field: String,
        reason: String,
    },
    #[error("job file `{}`: `common.args` names no compiler", path.display())]
    NoCompiler { path: PathBuf },
    #[error("job file `{}`: `{field}` names the file `{name}`, whose real name lld could not write", path.display())]
    UnspeakableName {
        path: PathBuf,
        field: String,
        name: String,
    },
}

impl Hinted for JobFileError {
    fn hints(&self) -> Vec<String> {
        let hint = match self {
            Self::Unreadable(_) => {
                "the last argument must be the job file that lld wrote; lld itself starts relto when \
                 `-fthinlto-distributor=` names it"
            }
            Self::Malformed { .. } => {
                "relto reads the job files of LLVM 21 to 24; a newer lld may need a newer relto"
            }
            Self::NoCompiler { .. } => {
                "give lld `--thinlto-remote-compiler=PATH_OF_CLANG`, or link through clang, which does it for you"
            }
            Self::UnspeakableName { .. } => {
                "the name is not valid UTF-8, and the job file can hold nothing else: rename the file"
            }
        };
        vec![hint.to_owned()]
    }
}

#[derive(Deserialize)]
struct RawFile {
    common: RawCommon,
    jobs: Vec<RawJob>,
}

#[derive(Deserialize)]
struct RawCommon {
    linker_output: String,
    args: Vec<String>,
    inputs: Vec<String>,
}

#[derive(Deserialize)]
struct RawJob {
    args: Vec<String>,
    inputs: Vec<String>,
    outputs: Vec<String>,
}

impl JobFile {
    /// Reads and checks the job file at `path`.
    ///
    /// # Errors
    /// The file cannot be read, a field is missing or of the wrong type, there is no compiler, or a
    /// path in it is not the path of the file (lld writes U+FFFD for bytes that are not UTF-8).
    pub fn read(path: &Path) -> Result<Self, JobFileError> {
        let text = read_regular(path).map_err(JobFileError::Unreadable)?;
        let file = Self::parse(path, &text)?;
        file.check_places(path)?;
        Ok(file)
    }

    /// Checks the contents of a job file; `path` is only for messages.
    ///
    /// # Errors
    /// As for [`JobFile::read`].
    pub fn parse(path: &Path, text: &[u8]) -> Result<Self, JobFileError> {
        let mut unknown_keys = Vec::new();
        let raw =
            decode(text, &mut unknown_keys).map_err(|(field, reason)| JobFileError::Malformed {
                path: path.to_owned(),
                field,
                reason,
            })?;
        let file = Self {
            caller: Caller::Linker,
            linker_output: raw.common.linker_output,
            common_arguments: raw.common.args,
            common_inputs: raw.common.inputs,
            jobs: raw.jobs.into_iter().map(Job::from).collect(),
            unknown_keys,
        };
        file.check(path)?;
        Ok(file)
    }

    fn check(&self, path: &Path) -> Result<(), JobFileError> {
        if self.common_arguments.first().is_none_or(String::is_empty) {
            return Err(JobFileError::NoCompiler {
                path: path.to_owned(),
            });
        }
        speakable(path, &self.common_inputs, || "common.inputs".to_owned())?;
        for (number, job) in self.jobs.iter().enumerate() {
            let too_few = |field: &str, wanted: &str| JobFileError::Malformed {
                path: path.to_owned(),
                field: format!("jobs[{number}].{field}"),
                reason: format!("expected {wanted}"),
            };
            if job.inputs.len() < 2 {
                return Err(too_few("inputs", "the module and its index"));
            }
            if job.outputs.is_empty() {
                return Err(too_few("outputs", "the object"));
            }
            speakable(path, &job.inputs, || format!("jobs[{number}].inputs"))?;
            speakable(path, &job.outputs, || format!("jobs[{number}].outputs"))?;
        }
        self.check_outputs(path)
    }
}

impl JobFile {
    /// Whichever job ended last would decide what an output of two jobs is, and one that is also an
    /// input of another job would be read before or after it was written.
    fn check_outputs(&self, path: &Path) -> Result<(), JobFileError> {
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
}

impl JobFile {
    /// The same as [`check_outputs`](Self::check_outputs) of files with several names: `a.o`,
    /// `./a.o`, and `link/a.o` by a link to the directory.
    fn check_places(&self, path: &Path) -> Result<(), JobFileError> {
        let compiler = Some(&self.common_arguments[0]).filter(|name| name.contains('/'));
        let program = compiler.and_then(|name| fs_err::canonicalize(name).ok());
        let program = program.as_deref().and_then(Path::to_str);
        // The linker names the compiler by its file or by a link to it.
        let compiler = compiler.map(|name| &**name);
        self.check_places_of(path, &[compiler, program].map(Option::unwrap_or_default))
    }

    fn check_places_of<'n>(
        &'n self,
        path: &Path,
        compiler: &[&'n str],
    ) -> Result<(), JobFileError> {
        let mut dirs = RealDirs::default();
        let mut outputs: HashMap<&OsStr, Vec<(Arc<Path>, &String)>> = HashMap::new();
        let same = |field: String, name: &str, output: &str| JobFileError::Malformed {
            path: path.to_owned(),
            field,
            reason: format!("`{name}` is the same file as the output `{output}`"),
        };
        for (number, job) in self.jobs.iter().enumerate() {
            for name in &job.outputs {
                let (Some(dir), Some(last)) = (dirs.of(name), Path::new(name).file_name()) else {
                    continue;
                };
                let alike = outputs.entry(last).or_default();
                if let Some((_, other)) = alike.iter().find(|(other, _)| *other == dir) {
                    return Err(same(format!("jobs[{number}].outputs"), name, other));
                }
                alike.push((dir, name));
            }
        }
        let written = |dirs: &mut RealDirs<'n>, name: &'n str| {
            // Most inputs have no name of an output: their directories are not looked up.
            let alike = outputs.get(Path::new(name).file_name()?)?;
            let dir = dirs.of(name)?;
            let found = alike.iter().find(|(other, _)| dir == *other);
            found.map(|(_, output)| *output)
        };
        let compiler = compiler.iter().map(|name| ("common.args", *name));
        let common = self.common_inputs.iter();
        let common = common.map(|name| ("common.inputs", &**name));
        for (field, name) in compiler.chain(common) {
            if let Some(output) = written(&mut dirs, name) {
                return Err(same(field.to_owned(), name, output));
            }
        }
        for (number, job) in self.jobs.iter().enumerate() {
            let inputs = job.inputs.iter();
            let written = inputs.map(|name| (name, written(&mut dirs, name)));
            if let Some((name, Some(output))) = written.into_iter().find(|(_, it)| it.is_some()) {
                return Err(same(format!("jobs[{number}].inputs"), name, output));
            }
        }
        Ok(())
    }
}

/// The directories that names stand in, without links.
#[derive(Default)]
struct RealDirs<'n>(HashMap<&'n Path, Option<Arc<Path>>>);

impl<'n> RealDirs<'n> {
    /// `None` where the directory is not there, and for devices.
    fn of(&mut self, name: &'n str) -> Option<Arc<Path>> {
        let parent = Path::new(name).parent().unwrap_or(Path::new(""));
        let find = || {
            let dir = fs_err::canonicalize(Path::new(".").join(parent)).ok()?;
            let is_device = dir.starts_with("/dev") || dir.starts_with("/proc");
            (!is_device).then(|| Arc::from(dir))
        };
        self.0.entry(parent).or_insert_with(find).clone()
    }
}

impl From<RawJob> for Job {
    fn from(raw: RawJob) -> Self {
        Self {
            arguments: raw.args,
            inputs: raw.inputs,
            outputs: raw.outputs,
        }
    }
}

fn decode(text: &[u8], unknown_keys: &mut Vec<String>) -> Result<RawFile, (String, String)> {
    let mut json = serde_json::Deserializer::from_slice(text);
    let mut track = serde_path_to_error::Track::new();
    let tracked = serde_path_to_error::Deserializer::new(&mut json, &mut track);
    let decoded = serde_ignored::deserialize(tracked, |key| unknown_keys.push(key.to_string()));
    let raw = decoded.map_err(|error| (track.path().to_string(), error.to_string()))?;
    json.end()
        .map_err(|error| (".".to_owned(), error.to_string()))?;
    Ok(raw)
}

fn speakable(
    path: &Path,
    names: &[String],
    field: impl Fn() -> String,
) -> Result<(), JobFileError> {
    match names
        .iter()
        .find(|name| name.is_empty() || name.contains(['\u{fffd}', '\0']))
    {
        None => Ok(()),
        Some(name) => Err(JobFileError::UnspeakableName {
            path: path.to_owned(),
            field: field(),
            name: name.clone(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Rendered;

    const GOOD: &str = r#"{"common":{"linker_output":"app","args":["/bin/clang","-c"],"inputs":[]},
        "jobs":[{"args":["a b.o","-fthinlto-index=a b.1.7.native.o.thinlto.bc","-o","a b.1.7.native.o"],
        "inputs":["a b.o","a b.1.7.native.o.thinlto.bc","lib\"q\\.a(x.o at 96).2.44B.o"],"outputs":["a b.1.7.native.o"]}]}"#;

    fn parse(text: &str) -> Result<JobFile, JobFileError> {
        JobFile::parse(Path::new("app.7.dist-file.json"), text.as_bytes())
    }

    fn complaint(text: &str) -> String {
        let error = parse(text).expect_err("refused");
        Rendered(&error).to_string()
    }

    #[test]
    fn every_field_is_read_as_lld_wrote_it() {
        let file = parse(GOOD).expect("a good file");
        let job = &file.jobs[0];
        assert_eq!(file.compiler(), "/bin/clang");
        assert_eq!(job.module(), "a b.o");
        assert_eq!(job.index(), "a b.1.7.native.o.thinlto.bc");
        assert_eq!(job.imports(), ["lib\"q\\.a(x.o at 96).2.44B.o"]);
        assert_eq!(job.object(), "a b.1.7.native.o");
        assert_eq!(file.command_line(job).count(), 6);
        assert!(file.unknown_keys.is_empty());
    }

    #[test]
    fn unknown_keys_are_kept_for_a_warning() {
        let text = GOOD.replacen(
            "\"inputs\":[]",
            "\"inputs\":[],\"linker_version\":\"25\"",
            1,
        );
        assert_eq!(
            parse(&text).expect("still good").unknown_keys,
            ["common.linker_version"]
        );
    }

    #[test]
    fn a_file_is_written_by_one_job_and_read_by_none() {
        let mut value: serde_json::Value = serde_json::from_str(GOOD).expect("JSON");
        let job = value["jobs"][0].clone();
        value["jobs"].as_array_mut().expect("a list").push(job);
        assert!(
            complaint(&value.to_string()).contains("`a b.1.7.native.o` is also another output")
        );
        value["jobs"][1]["outputs"][0] = "a b.o".into();
        assert!(complaint(&value.to_string()).contains("`a b.o` is also an output"));
        value["jobs"][0]["outputs"][0] = "/dev/null".into();
        value["jobs"][1]["outputs"][0] = "/dev/null".into();
        assert!(parse(&value.to_string()).is_ok());
    }

    #[test]
    fn a_file_with_two_names_is_one_file() {
        let top = tempfile::tempdir().expect("a directory");
        let dir = top.path().join("dir");
        fs_err::create_dir(&dir).expect("made");
        fs_err::os::unix::fs::symlink("dir", top.path().join("link")).expect("linked");
        let file = top.path().join("jobs.json");
        let read = |first: &str, second: &str, input: &str| {
            let below = |name: &str| format!("{}/{name}", top.path().display());
            let job = |output: &str| {
                serde_json::json!({ "args": [], "outputs": [below(output)],
                    "inputs": [below(input), below("index")] })
            };
            let common =
                serde_json::json!({ "linker_output": "a", "args": [below("clang")], "inputs": [] });
            let text = serde_json::json!({ "common": common, "jobs": [job(first), job(second)] });
            fs_err::write(&file, text.to_string()).expect("written");
            JobFile::read(&file).map_err(|error| Rendered(&error).to_string())
        };
        assert!(read("dir/a.o", "dir/b.o", "m.o").is_ok());
        assert!(read("dir/a.o", "missing/a.o", "missing/m.o").is_ok());
        for (first, second, input) in [
            ("dir/a.o", "dir/./a.o", "m.o"),
            ("dir/a.o", "dir/../dir/a.o", "m.o"),
            ("dir/a.o", "link/a.o", "m.o"),
            ("dir/a.o", "dir/b.o", "link/b.o"),
        ] {
            let error = read(first, second, input).expect_err("one file");
            assert!(error.contains("is the same file as the output"), "{error}");
        }
        // By its own name, or by that of the file that the name leads to.
        let compiler = top.path().join("clang");
        fs_err::write(top.path().join("dir/clang-22"), "").expect("written");
        fs_err::os::unix::fs::symlink("dir/clang-22", &compiler).expect("linked");
        for output in ["dir/../clang", "link/clang-22"] {
            let error = read(output, "dir/b.o", "m.o").expect_err("the compiler");
            assert!(error.contains("is the same file as the output"), "{error}");
        }
    }

    #[test]
    fn errors_name_the_file_and_the_field() {
        insta::assert_snapshot!(complaint(&GOOD.replace("\"outputs\":[\"a b.1.7.native.o\"]", "\"outputs\":[7]")), @"
        job file `app.7.dist-file.json`: `jobs[0].outputs[0]`: invalid type: integer `7`, expected a string at line 3 column 101
          hint: relto reads the job files of LLVM 21 to 24; a newer lld may need a newer relto
        ");
        insta::assert_snapshot!(complaint(&GOOD.replace(",\"outputs\":[\"a b.1.7.native.o\"]", "")), @"
        job file `app.7.dist-file.json`: `jobs[0]`: missing field `outputs` at line 3 column 89
          hint: relto reads the job files of LLVM 21 to 24; a newer lld may need a newer relto
        ");
        insta::assert_snapshot!(complaint(&GOOD.replace("\"/bin/clang\"", "\"\"")), @"
        job file `app.7.dist-file.json`: `common.args` names no compiler
          hint: give lld `--thinlto-remote-compiler=PATH_OF_CLANG`, or link through clang, which does it for you
        ");
        insta::assert_snapshot!(complaint(&GOOD.replace("lib\\\"q", "lib\u{fffd}")), @r"
        job file `app.7.dist-file.json`: `jobs[0].inputs` names the file `lib�\.a(x.o at 96).2.44B.o`, whose real name lld could not write
          hint: the name is not valid UTF-8, and the job file can hold nothing else: rename the file
        ");
        assert!(complaint(&format!("{GOOD} x")).contains("trailing characters"));
        assert!(complaint("").contains("EOF"));
    }
}
