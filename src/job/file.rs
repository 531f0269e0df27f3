//! Reads a DTLTO job file.
//!
//! Unknown keys are collected, not refused: lld's documentation lets newer versions add some.

use std::path::{Path, PathBuf};

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
    MangledName {
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
            Self::MangledName { .. } => {
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
        file.check_output_files(path)?;
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
        self.check_output_names(path)
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
        Some(name) => Err(JobFileError::MangledName {
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
