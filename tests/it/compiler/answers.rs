//! What relto remembers of a compiler's answers to questions.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;

use fs_err as fs;
use relto::internals::client_context::ClientContext;
use relto::internals::compiler::{CompilerRequest, Purpose, ResolvedToolchain};
use relto::internals::digest::DigestFunction;
use relto::internals::hash_cache::HashCache;
use relto::internals::job::Caller;
use relto::internals::process::Relto;
use relto::internals::state::{FILE_NAME, State};
use rustix::fs::{CWD, RenameFlags, renameat_with};

use crate::support::fake::fake_clang;
use crate::support::toolchain_dir::{CLANG, ToolchainDir};

/// A state that links share.
struct Links {
    dir: tempfile::TempDir,
    state: Arc<State>,
}

impl Links {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let state = Arc::new(State::at(&dir.path().join(FILE_NAME)));
        Self { dir, state }
    }

    /// What one link knows of files.
    fn hash_cache(&self) -> HashCache {
        HashCache::new(Arc::clone(&self.state))
    }

    fn resolve(&self, compiler: &Path, words: &[&str], known: &HashCache) -> ResolvedToolchain {
        let arguments: Vec<_> = words.iter().map(ToString::to_string).collect();
        let request = CompilerRequest {
            name: compiler.to_str().expect("UTF-8"),
            arguments: &arguments,
            caller: Caller::Linker,
            purpose: Purpose::Link,
            source: None,
            environment: &[],
            client_context: &ClientContext::default(),
            salt: "",
            secret_dir: Some(self.dir.path()),
            relto: Relto::at(env!("CARGO_BIN_EXE_relto")),
        };
        ResolvedToolchain::resolve(&request, known, &self.state).expect("a compiler")
    }

    /// How many answers were remembered since the last call.
    fn remembered(&self) -> usize {
        let forgotten = |state: &State| {
            state.write(|transaction| transaction.execute("DELETE FROM answers", []))
        };
        forgotten(&self.state).expect("a database")
    }
}

/// A compiler that calls itself by `release` and is of that processor.
fn compiler_of(release: &str, path: &Path) {
    let program = fs::read(fake_clang("return 1;")).expect("a program");
    let at = program.windows(6).position(|bytes| bytes == b"22.0.0");
    let at = at.expect("what it calls itself");
    let mut program = program;
    program[at..at + 6].copy_from_slice(release.as_bytes());
    fs::write(path, program).expect("written");
    let mode = std::fs::Permissions::from_mode(0o755);
    fs::set_permissions(path, mode).expect("executable");
}

/// The renamed directory leaves no trace at the files below it.
#[test]
fn what_another_compiler_says_in_the_place_of_one_that_was_hashed_is_not_remembered() {
    let (links, dir) = (Links::new(), tempfile::tempdir().expect("a directory"));
    let [own, other] = ["own", "other"].map(|name| dir.path().join(name));
    for (dir, release) in [(&own, "22.0.0"), (&other, "99.9.9")] {
        fs::create_dir(dir).expect("made");
        compiler_of(release, &dir.join("clang"));
    }
    let compiler = own.join("clang");
    let exchange = || {
        renameat_with(CWD, &own, CWD, &other, RenameFlags::EXCHANGE).expect("exchanged");
    };
    let hash_cache = links.hash_cache();
    let hashed = hash_cache.facts(&compiler, DigestFunction::Sha256, None);
    hashed.expect("a digest");
    exchange();
    let asked = links.resolve(&compiler, &[], &hash_cache);
    exchange();
    assert_eq!(asked.release(), Some(99), "the test asks the other one");
    assert_eq!(links.remembered(), 0);

    let asked = links.resolve(&compiler, &[], &links.hash_cache());
    assert_eq!(asked.release(), Some(22));
    assert_eq!(links.remembered(), 1);
}

/// A compiler that is overwritten while it is asked has other times.
#[test]
fn what_a_compiler_says_that_changed_since_it_was_hashed_is_not_remembered() {
    let (links, dir) = (Links::new(), tempfile::tempdir().expect("a directory"));
    let compiler = dir.path().join("clang");
    compiler_of("22.0.0", &compiler);
    let hash_cache = links.hash_cache();
    let hashed = hash_cache.facts(&compiler, DigestFunction::Sha256, None);
    hashed.expect("a digest");
    compiler_of("99.9.9", &compiler);
    let asked = links.resolve(&compiler, &[], &hash_cache);
    assert_eq!(asked.release(), Some(99));
    assert_eq!(links.remembered(), 0);
}

#[test]
fn what_clang_says_of_itself_and_of_this_processor_is_asked_for_once() {
    let links = Links::new();
    let native = ["-march=native"];
    let resolve = || links.resolve(Path::new(CLANG), &native, &links.hash_cache());
    let asked = resolve();
    let arguments = asked.arguments(&[]).expect("portable");
    assert!(!arguments.contains(&native[0].to_owned()), "{arguments:?}");
    assert_eq!(links.remembered(), 2);
    assert_eq!(resolve().arguments(&[]), Ok(arguments));
}

#[test]
fn the_target_of_a_configuration_file_is_that_of_links_which_read_it() {
    let (links, fixture) = (Links::new(), ToolchainDir::new());
    let clang = fixture.clang_of_its_own();
    let target = || {
        let resolved = links.resolve(&clang, &[], &links.hash_cache());
        resolved.target().to_owned()
    };
    let own = target();
    let file = fixture.write("own/bin/clang.cfg", "--target=aarch64-linux-gnu\n");
    assert_eq!(target(), "aarch64-unknown-linux-gnu");
    fs::remove_file(&file).expect("removed");
    assert_eq!(target(), own);
    fixture.write("own/bin/clang.cfg", "--target=aarch64-linux-gnu\n");
    links.remembered();
    assert_eq!(target(), "aarch64-unknown-linux-gnu");
    fs::remove_file(&file).expect("removed");
    assert_eq!(target(), own);
}
