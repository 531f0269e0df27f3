//! Checks an action and its tree against the standard's rules for clients.
//!
//! The outcome is a decoded [`Job`](super::Job), the blobs that are missing, or what is wrong.
//! Rules for single calls are in `gate`, those for resource names in `resource`.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use prost::Message;
use relto::internals::digest::Digest;
use relto::internals::pb::reapi::{self, Action, Command, Directory};

use super::worker::{Input, Job};

/// Why an action cannot run.
#[derive(Debug)]
pub(super) enum Refusal {
    /// The Action itself; the call fails.
    ActionMissing(Digest),
    Missing(Vec<Digest>),
    Invalid(String),
}

/// Reads the whole closure of `digest`. With `strict`, everything must be canonical.
pub(super) fn read_action(
    digest: Digest,
    speaks_2_0: bool,
    strict: bool,
    blob: impl Fn(&Digest) -> Option<Bytes>,
) -> Result<Job, Refusal> {
    let bytes = blob(&digest).ok_or(Refusal::ActionMissing(digest))?;
    let action: Action = canonical("Action", &bytes)?;
    let mut reader = Reader {
        blob,
        strict,
        missing: Vec::new(),
        inputs: BTreeMap::new(),
        dirs: BTreeSet::from([String::new()]),
    };
    let command = reader.message::<Command>("Command", action.command_digest.as_ref())?;
    let root = parse(action.input_root_digest.as_ref())?;
    reader.read_dir("", root)?;
    let Some(command) = command.filter(|_| reader.missing.is_empty()) else {
        return Err(Refusal::Missing(reader.missing));
    };
    if strict {
        check_command(&command, &action, &reader.dirs, speaks_2_0).map_err(Refusal::Invalid)?;
    }
    Ok(Job {
        digest,
        inputs: reader.inputs,
        dirs: reader.dirs,
        outputs: if speaks_2_0 {
            command.output_files.clone()
        } else {
            command.output_paths.clone()
        },
        command,
        action,
    })
}

struct Reader<F> {
    blob: F,
    strict: bool,
    missing: Vec<Digest>,
    inputs: BTreeMap<String, Input>,
    dirs: BTreeSet<String>,
}

impl<F: Fn(&Digest) -> Option<Bytes>> Reader<F> {
    /// `None` where the blob is missing, which is noted.
    fn message<M: Message + Default>(
        &mut self,
        what: &str,
        digest: Option<&reapi::Digest>,
    ) -> Result<Option<M>, Refusal> {
        let digest = parse(digest)?;
        let Some(bytes) = (self.blob)(&digest) else {
            self.missing.push(digest);
            return Ok(None);
        };
        canonical(what, &bytes).map(Some)
    }

    fn read_dir(&mut self, path: &str, digest: Digest) -> Result<(), Refusal> {
        let Some(dir) = self.message::<Directory>("Directory", Some(&digest.to_pb()))? else {
            return Ok(());
        };
        if self.strict {
            check_dir(path, &dir).map_err(Refusal::Invalid)?;
        }
        for file in dir.files {
            let digest = parse(file.digest.as_ref())?;
            let contents = (self.blob)(&digest);
            if contents.is_none() {
                self.missing.push(digest);
            }
            let input = Input {
                digest,
                contents: contents.unwrap_or_default(),
                is_executable: file.is_executable,
            };
            self.inputs.insert(join(path, &file.name), input);
        }
        for node in dir.directories {
            let path = join(path, &node.name);
            self.read_dir(&path, parse(node.digest.as_ref())?)?;
            self.dirs.insert(path);
        }
        Ok(())
    }
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() {
        return name.to_owned();
    }
    format!("{path}/{name}")
}

fn parse(digest: Option<&reapi::Digest>) -> Result<Digest, Refusal> {
    let digest = digest.ok_or_else(|| Refusal::Invalid("a digest is unset".to_owned()))?;
    Digest::from_pb(digest).map_err(|error| Refusal::Invalid(error.to_string()))
}

/// A message whose bytes are the ones that encoding it gives: known fields only, once, in order.
fn canonical<M: Message + Default>(what: &str, bytes: &Bytes) -> Result<M, Refusal> {
    let invalid = |why: &str| Refusal::Invalid(format!("{what} {why}"));
    let message = M::decode(bytes.clone()).map_err(|error| invalid(&error.to_string()))?;
    if message.encode_to_vec() != *bytes {
        return Err(invalid("is not canonically encoded"));
    }
    Ok(message)
}

fn check_dir(path: &str, dir: &Directory) -> Result<(), String> {
    let files: Vec<&str> = dir.files.iter().map(|node| node.name.as_str()).collect();
    let dirs: Vec<&str> = dir
        .directories
        .iter()
        .map(|node| node.name.as_str())
        .collect();
    for (what, names) in [("files", &files), ("directories", &dirs)] {
        if !is_sorted(names) {
            return Err(format!(
                "`{path}`: the {what} {names:?} are not sorted and unique"
            ));
        }
    }
    let is_bad = |name: &&&str| matches!(**name, "" | "." | "..") || name.contains(['/', '\0']);
    if let Some(name) = files.iter().chain(&dirs).find(is_bad) {
        return Err(format!("`{path}`: `{name}` is no name"));
    }
    match files.iter().find(|name| dirs.contains(name)) {
        Some(name) => Err(format!("`{path}`: `{name}` is both file and directory")),
        None => Ok(()),
    }
}

fn check_command(
    command: &Command,
    action: &Action,
    dirs: &BTreeSet<String>,
    speaks_2_0: bool,
) -> Result<(), String> {
    if command.arguments.is_empty() {
        return Err("the Command has no arguments".to_owned());
    }
    let names = command
        .environment_variables
        .iter()
        .map(|v| v.name.as_str());
    if !is_sorted(&names.collect::<Vec<_>>()) {
        return Err("the environment variables are not sorted by name and unique".to_owned());
    }
    if command.working_directory.starts_with('/') || !dirs.contains(&command.working_directory) {
        let dir = &command.working_directory;
        return Err(format!(
            "the working directory `{dir}` is not an input directory"
        ));
    }
    let (used, unused) = if speaks_2_0 {
        (&command.output_files, &command.output_paths)
    } else {
        (&command.output_paths, &command.output_files)
    };
    if !unused.is_empty() || !is_sorted(used) {
        return Err(format!(
            "outputs {used:?} {unused:?} are in two fields or not sorted and unique"
        ));
    }
    if let Some(path) = used.iter().find(|path| !is_clean(path)) {
        return Err(format!(
            "the output path `{path}` is not relative and clean"
        ));
    }
    if let Some(path) = used.iter().find(|path| dirs.contains(*path)) {
        return Err(format!("the output `{path}` is an input directory"));
    }
    if !speaks_2_0 && command.platform != action.platform {
        return Err("the platforms of Command and Action differ".to_owned());
    }
    let properties = command
        .platform
        .iter()
        .flat_map(|platform| &platform.properties);
    let properties: Vec<_> = properties.map(|p| (&p.name, &p.value)).collect();
    if !is_sorted(&properties) {
        return Err("the platform properties are not sorted and unique".to_owned());
    }
    Ok(())
}

fn is_sorted<T: Ord>(items: &[T]) -> bool {
    items.is_sorted_by(|a, b| a < b)
}

fn is_clean(path: &str) -> bool {
    path.split('/').all(|part| !matches!(part, "" | "." | ".."))
}
