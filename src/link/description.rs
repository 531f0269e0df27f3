//! Describes the jobs of a link for a log of it: commands and files by the names that the user
//! knows, which stay the same from link to link.

use std::path::Path;

use bytes::Bytes;

use super::planner::Checked;
use crate::action::INDEX;
use crate::action::toolchain_tree::ROOT;
use crate::compiler::ResolvedToolchain;
use crate::digest::{Digest, DigestFunction};
use crate::events::{DescribedFile, JobDescription, LinkDescription};
use crate::exec::{Hermetic, PlannedForm};
use crate::history::{ModuleNames, shown_name};
use crate::job::{Caller, Job, JobFile};

/// What all jobs share.
pub(super) fn describe_link(
    toolchain: &ResolvedToolchain,
    platform: Vec<(String, String)>,
) -> LinkDescription {
    let tree = toolchain.tree();
    let tool = |path: &str, digest| file(format!("{ROOT}/{path}"), digest);
    LinkDescription {
        environment: toolchain.template().environment.clone(),
        platform,
        tools: tree
            .files
            .iter()
            .map(|it| tool(&it.tree_path, it.digest))
            .collect(),
    }
}

/// What `job` runs, reads and writes. `names` are those of modules, and `dir` is what they are relative
/// to.
pub(super) fn describe_job(
    file: &JobFile,
    job: &Job,
    checked: &Checked,
    names: &ModuleNames,
    dir: &Path,
) -> JobDescription {
    let outputs = output_names(file.caller, job, names, dir);
    match &checked.form {
        PlannedForm::Hermetic(hermetic) => described(hermetic, outputs, names, dir),
        PlannedForm::InPlace(_) => JobDescription {
            arguments: file.command_line(job).map(str::to_owned).collect(),
            inputs: Vec::new(),
            outputs,
            key: None,
        },
    }
}

/// The digest of each output.
pub(super) fn digests(outputs: &[Bytes]) -> Vec<([u8; 32], u64)> {
    let digests = outputs.iter().map(|it| DigestFunction::Sha256.digest(it));
    digests.map(|it| (it.hash, it.size)).collect()
}

fn described(
    hermetic: &Hermetic,
    outputs: Vec<String>,
    modules: &ModuleNames,
    dir: &Path,
) -> JobDescription {
    let files = &hermetic.job.files;
    let known = files
        .iter()
        .map(|it| (&*it.tree_path, named(&modules.stable(&it.name), dir)));
    let written = hermetic.job.outputs.iter();
    let written = written.map(|it| it.tree_path.as_str());
    let names: Vec<_> = known.chain(written.zip(outputs.iter().cloned())).collect();
    let renamed = |word: &String| {
        let found = names.iter().find_map(|(canonical, name)| {
            let before = word.strip_suffix(canonical)?;
            Some(format!("{before}{name}"))
        });
        found.unwrap_or_else(|| word.clone())
    };
    let names = names.iter().map(|(_, name)| name.clone());
    // The index is the last input: relto has made it, and its name is of relto's making.
    let names = names.take(files.len()).chain([INDEX.to_owned()]);
    let key = hermetic.key();
    JobDescription {
        arguments: hermetic.action.arguments.iter().map(renamed).collect(),
        inputs: names
            .zip(hermetic.inputs())
            .map(|(name, input)| file(name, input.digest))
            .collect(),
        outputs,
        key: Some((key.hash, key.size)),
    }
}

/// A linker names objects after its process, so such a one is called after its module.
fn output_names(caller: Caller, job: &Job, names: &ModuleNames, dir: &Path) -> Vec<String> {
    let outputs = job.outputs.iter().enumerate();
    let names = outputs.map(|(number, name)| match (caller, number) {
        (Caller::Linker, 0) => format!("{}.native.o", named(&names.stable(job.module()), dir)),
        _ => named(shown_name(name), dir),
    });
    names.collect()
}

/// The name of a file, from `dir` on where it is below.
fn named(name: &str, dir: &Path) -> String {
    let below = Path::new(name).strip_prefix(dir).ok();
    below
        .and_then(Path::to_str)
        .filter(|below| !below.is_empty())
        .unwrap_or(name)
        .to_owned()
}

fn file(path: String, digest: Digest) -> DescribedFile {
    DescribedFile {
        path,
        hash: digest.hash,
        size: digest.size,
    }
}
