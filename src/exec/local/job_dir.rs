//! A directory that looks like an Action's input root: `SCRATCH/JOB/relto/...`.
//!
//! Inputs and toolchain are symbolic links to the user's own files; only the canonical shard is
//! copied. It also lists what the compiler may touch. It is removed on drop.

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};

use fs_err as fs;
use fs_err::os::unix::fs::symlink;

use crate::action::toolchain_tree::{ROOT, ToolFile, ToolchainTree};
use crate::action::{Input, InputSource};
use crate::exec::Hermetic;
use crate::fs::{absolute, create_private_dir};
use crate::process::{Confinement, ExpectedFile};

/// Name of the one toolchain directory that all jobs of a link share.
const TOOLCHAIN: &str = "tc";

/// Lays the toolchain out once for all jobs.
pub(super) fn link_toolchain(scratch: &Path, toolchain: &ToolchainTree) -> io::Result<()> {
    for file in &toolchain.files {
        let path = scratch.join(TOOLCHAIN).join(&file.tree_path);
        if let Some(dir) = path.parent() {
            create_private_dir(dir)?;
        }
        symlink(&file.host, path)?;
    }
    Ok(())
}

/// The directory of one job.
#[derive(Debug)]
pub(super) struct JobDir {
    /// The compiler's working directory: the input root.
    pub(super) path: PathBuf,
}

impl JobDir {
    /// Makes the directory `name` in `scratch`.
    pub(super) fn create(scratch: &Path, name: &str, hermetic: &Hermetic) -> io::Result<Self> {
        let dir = Self {
            path: scratch.join(name),
        };
        for part in ["relto/m", "relto/f"] {
            create_private_dir(&dir.path.join(part))?;
        }
        for output in &hermetic.job.outputs {
            if let Some(parent) = Path::new(&output.tree_path).parent() {
                create_private_dir(&dir.path.join(parent))?;
            }
        }
        symlink(scratch.join(TOOLCHAIN), dir.path.join(ROOT))?;
        for input in hermetic.inputs() {
            let path = dir.path.join(input.tree_path);
            match input.source {
                InputSource::File(host) => symlink(absolute(host)?, path)?,
                InputSource::Bytes(bytes) => fs::write(path, bytes)?,
            }
        }
        Ok(dir)
    }

    /// A file that the compiler left and that would be lost: the arguments ask for something
    /// that is not known.
    pub(super) fn undeclared(&self, hermetic: &Hermetic) -> Option<String> {
        let inputs = hermetic.inputs().map(|it| it.tree_path);
        let outputs = hermetic.job.outputs.iter();
        let outputs = outputs.map(|it| it.tree_path.as_str());
        let known: HashSet<&str> = inputs.chain(outputs).collect();
        let mut dirs = vec![String::new()];
        while let Some(dir) = dirs.pop() {
            for entry in fs::read_dir(self.path.join(&dir)).ok()?.flatten() {
                let name = entry.file_name();
                let path = match &dir[..] {
                    "" => name.to_string_lossy().into_owned(),
                    dir => format!("{dir}/{}", name.to_string_lossy()),
                };
                if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                    dirs.push(path);
                } else if path != ROOT && !known.contains(path.as_str()) {
                    return Some(path);
                }
            }
        }
        None
    }

    /// What the action admits, and nothing else of this machine.
    pub(super) fn confinement(
        &self,
        toolchain: &ToolchainTree,
        hermetic: &Hermetic,
    ) -> Confinement {
        let inputs = hermetic.inputs().filter_map(host);
        let tools = toolchain.files.iter().map(|file| file.host.clone());
        let hashed = hermetic.job.files.iter().zip(&hermetic.facts);
        let hashed = hashed.filter_map(|(file, facts)| {
            let path = absolute(&file.host).ok()?;
            let id = facts.identity.file_id();
            Some(ExpectedFile { path, id })
        });
        let hashed_tools = toolchain.files.iter().map(ToolFile::expected);
        Confinement {
            readable: inputs.chain(tools).chain([self.path.clone()]).collect(),
            executable: toolchain
                .files
                .iter()
                .filter(|file| file.executable)
                .map(|file| file.host.clone())
                .collect(),
            writable: vec![self.path.clone()],
            expected: hashed.chain(hashed_tools).collect(),
        }
    }
}

fn host(input: Input<'_>) -> Option<PathBuf> {
    match input.source {
        // A path that cannot be made absolute has failed when its link was made.
        InputSource::File(host) => absolute(host).ok(),
        InputSource::Bytes(_) => None,
    }
}

impl Drop for JobDir {
    fn drop(&mut self) {
        // The whole scratch directory goes at the end of the link; this only keeps it small
        // meanwhile.
        let _ = fs::remove_dir_all(&self.path);
    }
}
