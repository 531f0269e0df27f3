//! The compiler that links would use, with all that it loads, and the linker beside it.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use indicatif::HumanBytes;

use super::{Finding, Grade, ReportSection};
use crate::action::toolchain_tree::ToolFile;
use crate::compiler::{CompilerError, ResolvedToolchain, ToolchainSource};
use crate::digest::Digest;
use crate::fs::Medium;
use crate::hash_cache::HashCache;
use crate::link::Options;
use crate::state::State;

/// The first release whose lld distributes backends.
const OLDEST: u32 = 21;
/// The first release whose linker the wrapper takes apart.
const OLDEST_WRAPPED: u32 = 14;
/// Bytes of a compiler that take a tenth of a second or so to hash.
const WORTH_A_WARNING: u64 = 64 << 20;
/// What `clang` is called where several are installed, the newest first.
const NAMES: [&str; 5] = ["clang", "clang-24", "clang-23", "clang-22", "clang-21"];

/// A compiler and a linker that fit together.
#[derive(Debug)]
pub(super) struct Compilers {
    /// As a link's job file would name it.
    pub(super) clang: PathBuf,
}

pub(super) fn section(
    compiler: Option<&Path>,
    options: &Options,
    hash_cache: &HashCache,
    state: &State,
) -> (ReportSection, Option<Compilers>) {
    let clang = compiler.map_or_else(|| default_compiler(options), Path::to_owned);
    let mut findings = Vec::new();
    let compilers = look(&clang, options, hash_cache, state, &mut findings);
    (ReportSection::new("Toolchain", findings), compilers)
}

/// `clang`, or the newest that has its release in its name.
fn default_compiler(options: &Options) -> PathBuf {
    let found = NAMES.iter().find(|name| is_in_path(name, options));
    PathBuf::from(found.unwrap_or(&NAMES[0]))
}

fn is_in_path(name: &str, options: &Options) -> bool {
    let compiler = options.compiler_named("clang");
    let dirs = compiler.variable("PATH").unwrap_or_default().as_bytes();
    let mut dirs = dirs.split(|byte| *byte == b':');
    dirs.any(|dir| Path::new(OsStr::from_bytes(dir)).join(name).is_file())
}

fn look(
    clang: &Path,
    options: &Options,
    hash_cache: &HashCache,
    state: &State,
    findings: &mut Vec<Finding>,
) -> Option<Compilers> {
    let name = clang.to_string_lossy();
    let request = options.compiler_named(&name);
    let toolchain = match ResolvedToolchain::resolve(&request, hash_cache, state) {
        Ok(toolchain) => toolchain,
        Err(error) => {
            findings.push(refused(&error, compiler_was_guessed(clang)));
            return None;
        }
    };
    if !toolchain.version().contains("clang version") && toolchain.release().is_none() {
        findings.push(Finding::bad(
            format!("`{}` is not clang", toolchain.compiler().display()),
            "`relto doctor COMPILER` examines a clang; without a name the one in `PATH`",
        ));
        return None;
    }
    findings.push(Finding::good(format!(
        "`{}` is {}, for {}",
        toolchain.compiler().display(),
        toolchain.version(),
        toolchain.target()
    )));
    if let Some(release) = toolchain.release().filter(|release| *release < OLDEST) {
        findings.push(too_old(release, clang, options));
        return None;
    }
    findings.push(files(&toolchain, options));
    findings.extend(read_again(&toolchain.tree().files));
    if let Some(reason) = toolchain.obstacle() {
        findings.push(Finding::warning(
            format!("all jobs would run in place, uncached: {reason}"),
            "unset or change that for links through relto",
        ));
    }
    let lld = linker(toolchain.compiler());
    let found = lld.is_ok();
    findings.push(lld.unwrap_or_else(|finding| finding));
    found.then(|| Compilers {
        clang: toolchain.compiler().to_owned(),
    })
}

/// What can be done with a release that has no distributor interface.
fn too_old(release: u32, clang: &Path, options: &Options) -> Finding {
    let mut finding = Finding::bad(
        format!("LLVM {release} cannot distribute ThinLTO"),
        "install clang and lld 21 or later",
    );
    let newer = NAMES[1..].iter().find(|name| is_in_path(name, options));
    if let Some(name) = newer.filter(|_| compiler_was_guessed(clang)) {
        finding.hints = vec![format!(
            "use `{name}`, which is installed, too; `relto doctor {name}` examines it"
        )];
    }
    if release >= OLDEST_WRAPPED {
        finding.hints.push(format!(
            "`relto ld` links with LLVM {release}: `docs/linkers.md`"
        ));
    }
    finding
}

fn compiler_was_guessed(clang: &Path) -> bool {
    clang == Path::new(NAMES[0])
}

fn refused(error: &CompilerError, guessed: bool) -> Finding {
    let mut finding = Finding::of(Grade::Bad, error);
    if guessed {
        finding.hints.push(
            "`relto doctor COMPILER` examines another compiler than the `clang` in `PATH`"
                .to_owned(),
        );
    }
    finding
}

fn files(toolchain: &ResolvedToolchain, options: &Options) -> Finding {
    let source = options.farm.as_ref().map(|farm| &farm.toolchain);
    if let Some(worker) = toolchain.worker() {
        return Finding::good(format!(
            "the workers' own `{}` is used and nothing is uploaded; it has to be the same release",
            worker.tree.launch_prefix.join(" ")
        ));
    }
    let files = &toolchain.tree().files;
    let bytes: u64 = files.iter().map(|file| file.identity.size).sum();
    let from = match source {
        Some(ToolchainSource::Dir(dir)) => format!(", out of `{}`", dir.display()),
        _ => String::new(),
    };
    Finding::good(format!(
        "{} files, {}, are all that it needs{from}: tree {}",
        files.len(),
        HumanBytes(bytes),
        short(toolchain.tree().root)
    ))
}

/// Whether links hash much of `files` each time, as their times do not show whether they changed.
fn read_again(files: &[ToolFile]) -> Option<Finding> {
    let again = files
        .iter()
        .filter(|file| !Medium::of(&file.host).is_believed(file.identity.ctime_ns));
    let sizes: Vec<u64> = again.map(|file| file.identity.size).collect();
    let bytes: u64 = sizes.iter().sum();
    (bytes >= WORTH_A_WARNING).then(|| {
        Finding::warning(
            format!(
                "{} of them, {}, have the times of an image, or are on a file system where files can change without \
                 their times changing: each link reads them again, a second or so for each GiB",
                sizes.len(),
                HumanBytes(bytes)
            ),
            "install the compiler on ext4, XFS, Btrfs or ZFS; where it is there already, run `chmod a+r` on its files once",
        )
    })
}

fn short(digest: Digest) -> String {
    let mut hex = digest.hex();
    hex.truncate(16);
    hex
}

/// The `ld.lld` that clang would run for `-fuse-ld=lld`, or what is wrong with it.
fn linker(clang: &Path) -> Result<Finding, Finding> {
    let missing = |reason: String| {
        Finding::bad(
            reason,
            "install lld of the same release; only lld distributes ThinLTO",
        )
    };
    let said = Command::new(clang)
        .arg("-print-prog-name=ld.lld")
        .output()
        .map_err(|error| missing(format!("cannot ask the compiler for its linker: {error}")))?;
    let path = String::from_utf8_lossy(&said.stdout).trim().to_owned();
    let version = Command::new(&path).arg("--version").output();
    match version {
        Ok(version) if version.status.success() => {
            let version = String::from_utf8_lossy(&version.stdout).into_owned();
            let line = version.lines().next().unwrap_or_default();
            Ok(Finding::good(format!("`{path}` is {line}")))
        }
        _ => Err(missing(format!("`{}` finds no `ld.lld`", clang.display()))),
    }
}
