//! Trust boundaries of this machine: other mount namespaces, groups and users, and files that are
//! not what their name promises.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use fs_err as fs;
use relto::internals::digest::DigestFunction;
use relto::internals::hash_cache::HashCache;
use relto::internals::state::{FILE_NAME, State};
use rustix::fs::{CWD, RenameFlags, renameat_with};

use crate::support::backends::Backends;
use crate::support::cgroup::Cgroup;
use crate::support::daemon::{Daemon, stderr, succeeded};
use crate::support::fake::fake_clang;
use crate::support::link::Home;
use crate::support::mount::Mount;
use crate::support::program::{Feature, feature};
use crate::support::repeat::through;
use crate::support::skip::skip;

fn plain() -> Backends {
    Backends::new(&feature(Feature::Plain))
}

/// Runs a backend through `starter` and expects that the daemon leaves it to the caller.
fn assert_declined(starter: &[&str], difference: &str) {
    assert_declined_as(&|relto| through(starter, relto), difference);
}

/// The same for a command that `change` makes of relto's.
fn assert_declined_as(change: &dyn Fn(&Command) -> Command, difference: &str) {
    let (daemon, backends) = (Daemon::new(), plain());
    daemon.run(&backends, "main.o");
    let before = daemon.jobs();
    let mut relto = daemon.relto(&backends);
    relto.args(backends.arguments("main.o", "native.o"));
    relto.env("RELTO_LOG", "debug");
    let output = succeeded(&mut change(&relto));
    let said = stderr(&output);
    assert!(said.contains(difference), "{said}");
    assert_eq!(daemon.jobs(), before);
    backends.assert_identical_objects_of(usize::MAX);
}

#[test]
fn a_caller_in_another_mount_namespace_does_the_work_itself() {
    if rustix::process::geteuid().is_root() {
        assert_declined(&["unshare", "--mount"], "another mnt namespace");
    }
}

#[test]
fn a_caller_with_other_groups_does_the_work_itself() {
    if rustix::process::geteuid().is_root() {
        let groups = &["setpriv", "--groups=54321"];
        assert_declined(groups, "other supplementary groups");
    }
}

#[test]
fn a_caller_in_a_cgroup_with_less_memory_does_the_work_itself() {
    if let Some(cgroup) = Cgroup::new("caller", 1 << 30) {
        assert_declined_as(&|relto| cgroup.command(relto), "other cgroup limits");
    }
}

/// These mean other files in the daemon.
#[test]
fn names_by_way_of_the_process_are_left_to_the_process_itself() {
    let (daemon, backends) = (Daemon::new(), plain());
    daemon.run(&backends, "main.o");
    let before = daemon.jobs();
    let arguments = |object: &str| {
        let words = backends.arguments("main.o", "native.o").into_iter();
        words
            .map(|word| {
                if word == "main.o.native.o" {
                    object.to_owned()
                } else {
                    word
                }
            })
            .collect::<Vec<_>>()
    };
    let mut plain = daemon.relto(&backends);
    succeeded(plain.args(arguments("want.o")));
    assert_eq!(daemon.jobs(), before + 1);
    let want = fs::read(backends.path("want.o")).expect("an object");
    let mut relto = daemon.relto(&backends);
    succeeded(relto.args(arguments("/proc/self/cwd/got.o")));
    assert!(fs::read(backends.path("got.o")).expect("an object") == want);
    let mut relto = daemon.relto(&backends);
    let output = succeeded(relto.args(arguments("/dev/stdout")));
    assert!(output.stdout == want);
    fs::write(
        backends.path("args"),
        arguments("/proc/self/cwd/third.o").join(" "),
    )
    .expect("written");
    succeeded(daemon.relto(&backends).arg("@args"));
    assert!(fs::read(backends.path("third.o")).expect("an object") == want);
    assert_eq!(daemon.jobs(), before + 1);
}

#[test]
fn a_caller_that_cannot_read_the_daemons_key_is_not_served() {
    let (daemon, backends) = (Daemon::new(), plain());
    daemon.run(&backends, "main.o");
    fs::remove_file(daemon.dir().join("daemon.key")).expect("removed");
    let mut relto = daemon.relto(&backends);
    relto.env("RELTO_LOG", "debug");
    let output = succeeded(relto.args(backends.arguments("main.o", "native.o")));
    let said = stderr(&output);
    assert!(said.contains("cannot read the daemon's key"), "{said}");
    // The daemon of this test must end by its own means: nothing can reach it any more.
    for process in daemon.processes() {
        let process = i32::try_from(process)
            .ok()
            .and_then(rustix::process::Pid::from_raw);
        if let Some(process) = process {
            let _ = rustix::process::kill_process(process, rustix::process::Signal::TERM);
        }
    }
}

#[test]
fn slots_are_private_whatever_the_umask() {
    let (home, backends) = (Home::new(), plain());
    let mut relto = backends.relto(&home);
    relto.env("RELTO_LOCAL_JOBS", "2");
    without_umask(&backends, relto);
    assert_private(home.cache());
}

#[test]
fn the_daemon_and_what_it_remembers_are_private_whatever_the_umask() {
    let (daemon, backends) = (Daemon::new(), plain());
    let mut relto = daemon.relto(&backends);
    relto.env("RELTO_VERIFY", "100");
    without_umask(&backends, relto);
    assert!(daemon.dir().join("daemon.key").exists(), "it is served");
    assert!(daemon.home.path().join("state/relto/secret.key").exists());
    for name in ["cache", "state", "runtime/relto"] {
        assert_private(daemon.home.path().join(name));
    }
}

fn without_umask(backends: &Backends, mut relto: Command) {
    relto.args(backends.arguments("main.o", "native.o"));
    let script = ["sh", "-c", "umask 000; exec \"$@\"", "sh"];
    succeeded(&mut through(&script, &relto));
}

/// No other user may do anything with what is below `dir`.
fn assert_private(dir: PathBuf) {
    let mut dirs = vec![dir];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(&dir).into_iter().flatten().flatten() {
            let mode = entry.metadata().expect("there").permissions().mode();
            assert_eq!(mode & 0o077, 0, "{}", entry.path().display());
            if entry.path().is_dir() {
                dirs.push(entry.path());
            }
        }
    }
}

/// Whether a second link takes the digest of a file from the first one.
fn is_remembered(file: &Path) -> bool {
    // The times of a file that was written a moment ago tell nothing anywhere.
    let changed = fs::metadata(file).and_then(|found| found.modified());
    let changed = changed.expect("a time");
    while changed
        .elapsed()
        .is_ok_and(|age| age < Duration::from_millis(50))
    {
        std::thread::yield_now();
    }
    let dir = tempfile::tempdir().expect("a directory");
    let state = Arc::new(State::at(&dir.path().join(FILE_NAME)));
    let reads = [(); 2].map(|()| {
        let cache = HashCache::new(Arc::clone(&state));
        let facts = cache.facts(file, DigestFunction::Sha256, None);
        assert_eq!(facts.expect("read").identity.size, 8);
        cache.flush();
        cache.reads().0
    });
    assert_eq!(reads[0], 1);
    reads[1] == 0
}

/// Each file has the device of its layer there, not that of the mount, so that devices do not tell
/// whose layers they are.
#[test]
fn an_overlay_is_trusted_as_much_as_the_least_of_its_layers() {
    let Some(memory) = Mount::new("size=1m") else {
        return;
    };
    let dir = tempfile::tempdir().expect("a directory");
    let own = dir.path().join("own");
    let spaced = memory.dir().join("with a space");
    for layer in [&own, &spaced, &memory.dir().to_owned()] {
        fs::create_dir_all(layer).expect("made");
        fs::write(layer.join("a.bc"), b"contents").expect("written");
    }
    if !is_remembered(&own.join("a.bc")) {
        skip("the directory for temporary files has times that are not trusted");
        return;
    }
    let remembered = |lower: &Path, number: &str| {
        let overlay = Mount::overlay(lower, &dir.path().join(number)).expect("mounted");
        is_remembered(&overlay.dir().join("a.bc"))
    };
    assert!(remembered(&own, "1"), "all of it has true times");
    assert!(!remembered(memory.dir(), "2"), "a part is in memory");
    assert!(
        !remembered(&spaced, "3"),
        "its name is spelled otherwise in the mount table"
    );
}

/// Appends the module to an object without a section, and waits until that one may be executed: the
/// mode of a file can be seen in the sandbox, too.
const COPIES_ITS_MODULE: &str = "const char *module = 0; static char bytes[1 << 20]; \
    for (int i = 1; i < count; i++) \
      if (arguments[i][0] != '-' && arguments[i] != out && strcmp(arguments[i], \"ir\")) module = arguments[i]; \
    int file = open(module, O_RDONLY); long size = file < 0 ? -1 : read(file, bytes, sizeof bytes); \
    if (size < 0) return 1; \
    object(1); file = open(out, O_WRONLY | O_APPEND); \
    if (write(file, bytes, size) != size) return 1; \
    while (access(out, X_OK)) usleep(1000); return 0;";

/// The renamed directory leaves no trace at the files below it, neither in their times nor in what
/// their names lead to afterwards.
#[test]
fn a_directory_that_is_another_one_during_a_compile_leaves_no_result_of_it() {
    let (home, backends) = (Home::new(), plain());
    let compiler = fake_clang(COPIES_ITS_MODULE);
    let tmp = tempfile::tempdir().expect("a directory");
    let other = tempfile::tempdir().expect("a directory");
    for entry in fs::read_dir(backends.dir()).expect("listed") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().expect("a name");
        fs::copy(&path, other.path().join(name)).expect("copied");
    }
    fs::write(other.path().join("main.o"), "of another build").expect("written");
    let exchange = || {
        let (one, another) = (backends.dir(), other.path());
        renameat_with(CWD, one, CWD, another, RenameFlags::EXCHANGE).expect("exchanged");
    };
    let in_scratch = |name: &str| {
        let dirs = fs::read_dir(tmp.path()).expect("listed").flatten();
        let jobs = dirs.filter_map(|dir| fs::read_dir(dir.path()).ok());
        let mut names = jobs.flatten().flatten().map(|job| job.path().join(name));
        names.find(|path| path.symlink_metadata().is_ok())
    };
    let object = || {
        let beside = [backends.dir(), other.path()].map(|dir| dir.join("main.o.native.o"));
        in_scratch("relto/out.o").or_else(|| beside.into_iter().find(|path| path.exists()))
    };
    let compile = |is_attacked: bool| {
        let mut relto = backends.relto_with(&home, &compiler);
        relto.env("TMPDIR", tmp.path()).env("RELTO_DAEMON", "off");
        relto.args(backends.arguments("main.o", "native.o"));
        let mut child = relto.spawn().expect("relto starts");
        let mut is_exchanged = false;
        let status = loop {
            if let Some(status) = child.try_wait().expect("waited") {
                break status;
            }
            if is_attacked && !is_exchanged && in_scratch("relto/m/0000.bc").is_some() {
                exchange();
                is_exchanged = true;
            }
            if let Some(object) =
                object().filter(|it| fs::metadata(it).is_ok_and(|it| it.len() > 64))
            {
                if is_exchanged {
                    exchange();
                    is_exchanged = false;
                }
                let mode = std::fs::Permissions::from_mode(0o755);
                // The compiler may have ended, and the object with it.
                let _ = fs::set_permissions(object, mode);
            }
        };
        if is_exchanged {
            exchange();
        }
        status
    };
    compile(true);
    let _ = fs::remove_file(backends.path("main.o.native.o"));
    assert!(compile(false).success());
    let object = fs::read(backends.path("main.o.native.o")).expect("an object");
    let module = fs::read(backends.path("main.o")).expect("a module");
    assert!(object.ends_with(&module), "the object of another module");
}
