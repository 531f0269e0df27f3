//! Directories below a library directory, in which glibc's loader looks first.
//!
//! Those in `glibc-hwcaps` have fixed names, so a tree can have them, too: the loader of whoever runs
//! the compiler chooses. What else there is, `tls` and directories named after processors and their
//! features, glibc 2.37 dropped. Which of these an older loader takes depends on it and on the
//! processor.

use std::path::{Path, PathBuf};

use super::elf::Machine;

/// Maximum number of directories of old releases below one: links among them could make any number.
const MAX_LEGACY: usize = 100;

/// A directory of libraries for newer processors.
#[derive(Debug)]
pub(super) struct Variant {
    /// The best is 0.
    pub(super) rank: usize,
    pub(super) level: &'static str,
    pub(super) dir: PathBuf,
}

#[derive(Debug, Default)]
pub(super) struct Subdirs {
    /// Those of `glibc-hwcaps`, best first.
    pub(super) variants: Vec<Variant>,
    /// Those of old releases, as far as they are there.
    pub(super) legacy: Vec<PathBuf>,
}

impl Subdirs {
    pub(super) fn of(dir: &Path, machine: Machine) -> Self {
        let mut subdirs = Self::default();
        let parent = dir.join("glibc-hwcaps");
        let levels = levels(machine);
        if !levels.is_empty() && parent.is_dir() {
            for (rank, level) in levels.iter().copied().enumerate() {
                let dir = parent.join(level);
                subdirs.variants.push(Variant { rank, level, dir });
            }
        }
        let mut names = legacy_names(machine).to_vec();
        names.push("tls");
        add_legacy(dir, &names, &mut subdirs.legacy);
        subdirs
    }
}

/// The subdirectories of `glibc-hwcaps` that loaders of `machine` know, best first.
pub(super) fn levels(machine: Machine) -> &'static [&'static str] {
    match machine.platform() {
        "x86_64" => &["x86-64-v4", "x86-64-v3", "x86-64-v2"],
        "powerpc64le" => &["power11", "power10", "power9"],
        "s390x" => &["z17", "z16", "z15", "z14", "z13"],
        _ => &[],
    }
}

/// Processors (`AT_PLATFORM`) and the features of them that old releases have directories for.
fn legacy_names(machine: Machine) -> &'static [&'static str] {
    match machine.platform() {
        "x86_64" => &["haswell", "xeon_phi", "avx512_1", "x86_64"],
        "i386" => &["i386", "i486", "i586", "i686", "sse2"],
        "aarch64" => &["atomics", "aarch64"],
        "powerpc64le" => &["altivec", "dfp", "power8", "power9", "power10"],
        "s390x" => &[
            "zarch", "ldisp", "eimm", "dfp", "z900", "z990", "z9-109", "z10", "z196", "zEC12",
            "z13", "z14", "z15", "z16",
        ],
        "loongarch64" => &["loongarch"],
        _ => &[],
    }
}

/// They nest, each name at most once.
fn add_legacy(dir: &Path, names: &[&'static str], found: &mut Vec<PathBuf>) {
    for (index, name) in names.iter().enumerate() {
        let subdir = dir.join(name);
        if found.len() >= MAX_LEGACY || !subdir.is_dir() {
            continue;
        }
        found.push(subdir.clone());
        let others = [&names[..index], &names[index + 1..]].concat();
        add_legacy(&subdir, &others, found);
    }
}
