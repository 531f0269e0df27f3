//! Builds the REAPI Action of a job from its canonical form and the digests of its inputs.
//!
//! The digest of the Action is the key of every cache, so it holds what matters and nothing else:
//! contents, canonical names, arguments, the few variables that clang heeds, and the version of the
//! canonical form. Everything here is pure; no file is opened.

pub mod arguments;
pub mod canonical;
pub mod coff;
pub mod file_table;
pub mod guard;
pub mod kind;
pub mod machine_defaults;
pub mod messages;
pub mod native;
pub mod overrides;
pub mod response;
pub mod restore;
pub mod slice;
pub mod slice_record;
pub mod split_dwarf;
#[cfg(test)]
mod tests;
pub mod toolchain_tree;
pub mod tree;
pub mod whole;

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use prost::Message as _;

use self::canonical::CanonicalJob;
use self::kind::OutputKind;
use self::toolchain_tree::ToolchainTree;
use self::tree::{DirectoryNode, Encoded, FileNode, directory};
use crate::digest::{Digest, DigestFunction};
use crate::pb::reapi;

/// The version of the canonical form. It changes when a new version of relto builds another Action
/// from the same job.
const CANONICAL_FORM: &str = "relto 1";

/// Path of the canonical shard in the input root.
pub const INDEX: &str = "relto/index.thinlto.bc";

/// The parts of an Action that do not come from its job; all jobs of a link share them on one
/// endpoint.
#[derive(Debug, Clone)]
pub struct ActionTemplate {
    pub function: DigestFunction,
    /// Declares outputs in `output_files`, for servers below version 2.1 of the API.
    pub old_outputs: bool,
    /// Sorted by name, then value. Empty for the disk cache, whose key must not depend on a farm's
    /// platform.
    pub platform: Vec<(String, String)>,
    /// The user's own salt.
    pub salt: String,
    /// Sorted by name.
    pub environment: Vec<(String, String)>,
}

impl ActionTemplate {
    /// The variables that can matter to an output of this kind.
    pub fn environment_for(&self, kind: OutputKind) -> impl Iterator<Item = &(String, String)> {
        let variables = self.environment.iter();
        variables.filter(move |(name, _)| arguments::is_heeded_for(kind, name))
    }
}

/// A file of a job's input root that is not part of the toolchain.
#[derive(Debug, Clone, Copy)]
pub struct Input<'a> {
    pub tree_path: &'a str,
    pub digest: Digest,
    pub source: InputSource<'a>,
}

/// Where the contents of an input come from.
#[derive(Debug, Clone, Copy)]
pub enum InputSource<'a> {
    File(&'a Arc<Path>),
    Bytes(&'a Bytes),
}

/// An Action with all blobs that its digest refers to, except those of the toolchain.
#[derive(Debug, Clone)]
pub struct Action {
    pub message: Encoded,
    pub command: Encoded,
    /// The directories of the input root, innermost first, the root last, without those of the
    /// toolchain.
    pub directories: Vec<Encoded>,
    pub root: Digest,
    /// Of the job's files, in their order.
    pub files: Vec<Digest>,
    pub shard: Digest,
    pub arguments: Vec<String>,
}

impl Action {
    /// Builds the Action of `job`. `digests` are those of `job.files` in the same order, computed
    /// with `template.function`.
    ///
    /// # Panics
    /// Panics if there are more or fewer digests than files.
    pub fn new(
        template: &ActionTemplate,
        toolchain: &ToolchainTree,
        job: &CanonicalJob,
        digests: &[Digest],
    ) -> Self {
        assert_eq!(digests.len(), job.files.len(), "one digest per file");
        let arguments = command_line(toolchain, job);
        let command = encode_command(template, &arguments, job);
        let shard = template.function.digest(&job.shard);
        let directories = directories(template.function, toolchain, job, digests, shard);
        let root = directories
            .last()
            .expect("the list ends with the root")
            .digest;
        let message = Encoded::new(template.function, encode_action(template, &command, root));
        Self {
            message,
            command,
            directories,
            root,
            files: digests.to_vec(),
            shard,
            arguments,
        }
    }

    /// The key in every action cache.
    pub fn digest(&self) -> Digest {
        self.message.digest
    }

    /// The inputs of `job`, whose Action this is.
    pub fn inputs<'a>(&'a self, job: &'a CanonicalJob) -> impl Iterator<Item = Input<'a>> {
        inputs(job, self.files.iter().copied(), self.shard)
    }

    /// The Action of `job` after its arguments and outputs changed, but not its inputs.
    #[must_use]
    pub fn with_command_of(
        self,
        template: &ActionTemplate,
        toolchain: &ToolchainTree,
        job: &CanonicalJob,
    ) -> Self {
        let arguments = command_line(toolchain, job);
        let command = encode_command(template, &arguments, job);
        let message = Encoded::new(
            template.function,
            encode_action(template, &command, self.root),
        );
        Self {
            message,
            command,
            arguments,
            ..self
        }
    }

    /// The key that `job`, whose Action this is, has with another `template` of the same digest
    /// function.
    pub fn digest_under(&self, template: &ActionTemplate, job: &CanonicalJob) -> Digest {
        let command = encode_command(template, &self.arguments, job);
        template
            .function
            .digest(&encode_action(template, &command, self.root))
    }
}

/// The inputs of `job`: its files in their order, which have these `digests`, and the shard.
pub fn inputs<'a>(
    job: &'a CanonicalJob,
    digests: impl Iterator<Item = Digest> + 'a,
    shard: Digest,
) -> impl Iterator<Item = Input<'a>> {
    let files = job.files.iter().zip(digests);
    let files = files.map(|(file, digest)| Input {
        tree_path: &file.tree_path,
        digest,
        source: InputSource::File(&file.host),
    });
    files.chain([Input {
        tree_path: INDEX,
        digest: shard,
        source: InputSource::Bytes(&job.shard),
    }])
}

fn command_line(toolchain: &ToolchainTree, job: &CanonicalJob) -> Vec<String> {
    let mut arguments = toolchain.launch_prefix.clone();
    arguments.extend_from_slice(&toolchain.configuration);
    arguments.extend_from_slice(&job.arguments);
    arguments
}

fn encode_command(template: &ActionTemplate, arguments: &[String], job: &CanonicalJob) -> Encoded {
    let mut outputs: Vec<String> = job
        .outputs
        .iter()
        .map(|output| output.tree_path.clone())
        .collect();
    outputs.sort();
    let (output_files, output_paths) = if template.old_outputs {
        (outputs, Vec::new())
    } else {
        (Vec::new(), outputs)
    };
    let command = reapi::Command {
        arguments: arguments.to_vec(),
        environment_variables: template
            .environment_for(job.kind)
            .map(|(name, value)| reapi::command::EnvironmentVariable {
                name: name.clone(),
                value: value.clone(),
            })
            .collect(),
        output_files,
        output_paths,
        platform: platform(template),
        working_directory: String::new(),
    };
    Encoded::new(template.function, command.encode_to_vec())
}

fn encode_action(template: &ActionTemplate, command: &Encoded, root: Digest) -> Vec<u8> {
    let mut salt = CANONICAL_FORM.to_owned();
    if !template.salt.is_empty() {
        salt.push('\n');
        salt.push_str(&template.salt);
    }
    let action = reapi::Action {
        command_digest: Some(command.digest.to_pb()),
        input_root_digest: Some(root.to_pb()),
        timeout: None,
        do_not_cache: false,
        salt: salt.into_bytes().into(),
        platform: platform(template),
    };
    action.encode_to_vec()
}

/// Set in the Command and in the Action: older servers read the former, newer servers the latter.
fn platform(template: &ActionTemplate) -> Option<reapi::Platform> {
    if template.platform.is_empty() {
        return None;
    }
    let properties = template
        .platform
        .iter()
        .map(|(name, value)| reapi::platform::Property {
            name: name.clone(),
            value: value.clone(),
        })
        .collect();
    Some(reapi::Platform { properties })
}

/// Everything is in one directory, `relto`, because some workers hide `/bin`, `/lib` and `/usr` of
/// the input root.
fn directories(
    function: DigestFunction,
    toolchain: &ToolchainTree,
    job: &CanonicalJob,
    digests: &[Digest],
    shard: Digest,
) -> Vec<Encoded> {
    let mut encoded = Vec::with_capacity(4);
    let mut dirs = Vec::with_capacity(3);
    if !toolchain.files.is_empty() {
        dirs.push(DirectoryNode {
            name: "tc",
            digest: toolchain.root,
        });
    }
    for name in ["f", "m"] {
        let prefix = format!("relto/{name}/");
        let mut files: Vec<_> = job
            .files
            .iter()
            .zip(digests)
            .filter_map(|(file, &digest)| {
                Some(FileNode {
                    name: file.tree_path.strip_prefix(&prefix)?,
                    digest,
                    executable: false,
                })
            })
            .collect();
        if !files.is_empty() {
            let dir = directory(function, &mut files, &mut []);
            dirs.push(DirectoryNode {
                name,
                digest: dir.digest,
            });
            encoded.push(dir);
        }
    }
    let mut index = [FileNode {
        name: INDEX
            .strip_prefix("relto/")
            .expect("the index is in `relto`"),
        digest: shard,
        executable: false,
    }];
    let relto = directory(function, &mut index, &mut dirs);
    let mut top = [DirectoryNode {
        name: "relto",
        digest: relto.digest,
    }];
    let root = directory(function, &mut [], &mut top);
    encoded.extend([relto, root]);
    encoded
}
