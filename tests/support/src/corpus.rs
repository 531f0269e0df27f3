//! Directories of generated files that outlive a test run, one for each recipe.
//!
//! A name and everything that decides the contents identify a directory under the user's cache. It
//! is complete when it appears, and made once even if many tests or test runs ask at the same time.

use std::cmp::Reverse;
use std::path::{Path, PathBuf};
use std::process::Command;

use fs_err as fs;
use relto::internals::digest::DigestFunction;
use relto::internals::task::in_parallel;

use super::llvm::{Llvm, run};

/// The directory for `recipe`, made by `make` unless it is there already.
///
/// `recipe` must hold everything that the files depend on: flags, versions, texts. The compiler's
/// version is added here. Callers must not change what is inside: tests work on copies.
pub fn cached(name: &str, recipe: &str, make: impl FnOnce(&Path)) -> PathBuf {
    let text = format!("{}\n{recipe}", Llvm::get().version());
    let key = &DigestFunction::Sha256.digest(text.as_bytes()).hex()[..16];
    let root = root();
    let dir = root.join(format!("{name}-{key}"));
    if dir.exists() {
        return dir;
    }
    fs::create_dir_all(&root).expect("a cache directory");
    let lock = fs::File::create(root.join(format!("{name}-{key}.lock"))).expect("a lock file");
    lock.file().lock().expect("the lock");
    if !dir.exists() {
        let partial = root.join(format!("{name}-{key}.partial"));
        if partial.exists() {
            fs::remove_dir_all(&partial).expect("the rest of an interrupted run removed");
        }
        fs::create_dir(&partial).expect("a new directory");
        make(&partial);
        fs::rename(&partial, &dir).expect("the finished directory in place");
    }
    dir
}

/// Cache of all tests of this user: `$XDG_CACHE_HOME/relto-test`.
fn root() -> PathBuf {
    let cache = std::env::var_os("XDG_CACHE_HOME").map_or_else(
        || PathBuf::from(std::env::var_os("HOME").expect("a home directory")).join(".cache"),
        PathBuf::from,
    );
    cache.join("relto-test")
}

/// One compile step; `source` becomes `object`.
pub struct Compile {
    pub source: PathBuf,
    pub object: PathBuf,
}

/// Compiles all of `steps` with the tool (`clang` or `clang++`) and `arguments`, on all processors,
/// politely.
///
/// # Panics
/// A step fails.
pub fn compile(tool: &str, arguments: &[String], steps: Vec<Compile>) {
    compile_in(Path::new("."), tool, arguments, steps);
}

/// The same in `dir`, which relative names of sources and arguments refer to.
///
/// # Panics
/// A step fails.
pub fn compile_in(dir: &Path, tool: &str, arguments: &[String], steps: Vec<Compile>) {
    compile_with(dir, &Llvm::get().tool(tool), arguments, steps);
}

/// The same with a compiler of any release.
///
/// # Panics
/// A step fails.
pub fn compile_with(dir: &Path, compiler: &Path, arguments: &[String], mut steps: Vec<Compile>) {
    let size = |step: &Compile| fs::metadata(dir.join(&step.source)).map_or(0, |it| it.len());
    steps.sort_by_key(|step| Reverse(size(step)));
    in_parallel(&steps, |step| {
        let mut command = Command::new("nice");
        command.current_dir(dir).arg(compiler).args(arguments);
        command.arg("-c").arg(&step.source);
        run(command.arg("-o").arg(&step.object));
    });
}

/// Directory of a crate's sources, as cargo has them: the crates that relto depends on bring real C
/// programs along.
///
/// # Panics
/// The crate is no dependency of relto.
pub fn crate_sources(name: &str) -> PathBuf {
    let mut command = Command::new(env!("CARGO"));
    command.args([
        "metadata",
        "--format-version=1",
        "--offline",
        "--manifest-path",
    ]);
    command.arg(crate::built::root().join("Cargo.toml"));
    command.arg(format!(
        "--filter-platform={}-unknown-linux-gnu",
        std::env::consts::ARCH
    ));
    package_directory(&run(&mut command), name)
}

/// The directory of a package's sources, out of what `cargo metadata` prints.
///
/// # Panics
/// The package is not there.
pub fn package_directory(metadata: &str, name: &str) -> PathBuf {
    let metadata: serde_json::Value = serde_json::from_str(metadata).expect("cargo writes JSON");
    let packages = metadata["packages"].as_array().expect("a list of packages");
    let package = packages
        .iter()
        .find(|package| package["name"] == name)
        .expect("a dependency");
    let manifest = PathBuf::from(package["manifest_path"].as_str().expect("a path"));
    manifest.parent().expect("a directory").to_owned()
}

/// The files directly in `dir` whose names end in `extension`, sorted.
pub fn files(dir: &Path, extension: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).expect("a directory");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let mut found: Vec<_> = paths
        .filter(|path| path.extension().is_some_and(|e| e == extension))
        .collect();
    found.sort();
    found
}
