//! Machines that allow little: few open files or processes, small files, no directory for temporary
//! ones, no hard links, no socket pairs. Where a compiler alone works, so does a link, or it says
//! what is missing.

use std::path::Path;
use std::process::Command;

use fs_err as fs;

use crate::support::backends::Backends;
use crate::support::daemon::{Daemon, succeeded};
use crate::support::denied::{with_failing_calls, without_calls};
use crate::support::fake::fake_clang;
use crate::support::link::{Form, Home, Link};
use crate::support::mount::Mount;
use crate::support::program::{Feature, feature, generated};
use crate::support::repeat::{NOBODY, give_to_nobody, through};
use crate::support::saved::{Saved, leftovers, results};
use crate::support::skip::skip;

/// A link of sixty modules whose compilers all run at a time if they may.
fn link(change: impl FnOnce(&mut Command)) {
    let mut saved = Saved::new(&generated(60));
    saved.compile_with(&fake_clang("usleep(100000); object(ET_REL); return 0;"));
    let mut command = saved.command();
    command.env("RELTO_LOCAL_JOBS", "64");
    change(&mut command);
    let output = command.output().expect("relto starts");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    for object in saved.objects() {
        assert!(object.exists(), "`{}` is missing", object.display());
    }
}

fn limited(limit: &str) {
    let script = format!("ulimit {limit}; exec \"$@\"");
    link(|command| *command = through(&["sh", "-c", &script, "sh"], command));
}

#[test]
fn a_link_works_where_few_files_may_be_open() {
    for limit in ["-n 64", "-n 40", "-n 32", "-n 24"] {
        limited(limit);
    }
}

#[test]
fn a_link_works_on_a_small_stack() {
    limited("-s 128");
}

#[test]
fn a_link_works_where_only_small_files_may_be_written() {
    limited("-f 8");
}

#[test]
fn a_link_works_without_a_directory_for_temporary_files() {
    for dir in ["", "/nonexistent/relto", "/dev/null"] {
        link(|command| {
            command.env("TMPDIR", dir);
        });
    }
}

#[test]
fn a_link_works_where_the_directory_for_temporary_files_is_full_or_read_only() {
    let Some(mount) = Mount::new("size=64k") else {
        return;
    };
    fs::create_dir_all(mount.root()).expect("made");
    mount.fill();
    link(|command| {
        command.env("TMPDIR", mount.root());
    });
    mount.set_read_only();
    link(|command| {
        command.env("TMPDIR", mount.root());
    });
}

#[test]
fn a_link_works_where_links_among_temporary_files_are_not_followed() {
    let Some(mount) = Mount::new("nosymfollow") else {
        return;
    };
    fs::create_dir_all(mount.root()).expect("made");
    link(|command| {
        command.env("TMPDIR", mount.root());
    });
}

/// Runs a link that may not make `calls`.
fn denied(calls: &[&str]) {
    let starter = without_calls(calls);
    let starter = starter.to_str().expect("a plain path").to_owned();
    link(|command| *command = through(&[&starter], command));
}

/// Runs a link in a mount namespace of its own, after the command `change`.
fn in_changed_root(change: &str) {
    let script = format!("{change} && exec \"$@\"");
    let changed = ["unshare", "--mount", "sh", "-c", &script, "sh"];
    let tried = through(&changed, &Command::new("true")).output();
    if !tried.is_ok_and(|tried| tried.status.success()) {
        return skip(&format!("`{change}` is not possible here"));
    }
    link(|command| *command = through(&changed, command));
}

#[test]
fn a_link_works_without_proc() {
    in_changed_root("umount -l /proc");
}

#[test]
fn a_link_works_without_devices() {
    in_changed_root("mount -t tmpfs none /dev");
}

#[test]
fn a_link_works_where_no_hard_links_may_be_made() {
    denied(&["linkat", "link"]);
}

#[test]
fn a_link_works_in_a_directory_that_has_been_removed() {
    let program = generated(3);
    let link = Link::new(&program).form(Form::Absolute);
    let output = format!("{}/out", link.dir().display());
    let link = link.argument("-o").argument(&output);
    let script = "mkdir gone && cd gone && rmdir ../gone && exec \"$@\"";
    let command = link.command(&Home::new());
    succeeded(&mut through(&["sh", "-c", script, "sh"], &command));
    assert!(Path::new(&output).exists());
}

#[test]
fn a_link_works_where_the_machine_tells_neither_its_limits_nor_its_memory() {
    denied(&["prlimit64", "getrlimit"]);
    denied(&["sysinfo"]);
}

#[test]
fn a_link_works_where_no_files_in_memory_may_be_made() {
    denied(&["memfd_create"]);
}

/// As on Lustre and NFS without their lock services.
#[test]
fn where_no_file_can_be_locked_nothing_waits_for_locks_and_the_cache_is_trimmed() {
    let starter = with_failing_calls(&["flock"], "ENOLCK");
    let starter = [starter.to_str().expect("a plain path")];
    let saved = Saved::new(&generated(8));
    let output = succeeded(&mut through(&starter, &saved.command()));
    let said = String::from_utf8_lossy(&output.stderr);
    let jobs = saved.objects().len();
    assert!(
        said.contains(&format!("{jobs} jobs, {jobs} local")),
        "{said}"
    );
    assert!(!said.contains("waiting"), "{said}");
    assert_eq!(results(&saved.home), jobs);
    let mut trim = saved.command_on("cache");
    trim.arg("trim").env("RELTO_DISK_CACHE_MAX_SIZE", "1");
    succeeded(&mut through(&starter, &trim));
    assert_eq!(results(&saved.home), 0);
}

#[test]
fn a_link_works_where_landlock_refuses_another_domain() {
    denied(&["landlock_restrict_self"]);
}

#[test]
fn a_link_works_where_the_parent_ignores_the_ends_of_children() {
    let ignoring = ["env", "--ignore-signal=CHLD"];
    link(|command| *command = through(&ignoring, command));
    for signals in ["--block-signal", "--ignore-signal=XFSZ,PIPE,TERM"] {
        link(|command| *command = through(&["env", signals], command));
    }
}

#[test]
fn a_daemon_started_where_the_ends_of_children_are_ignored_serves_all() {
    let (daemon, backends) = (Daemon::new(), Backends::new(&feature(Feature::Plain)));
    let mut relto = daemon.relto(&backends);
    relto.args(backends.arguments("main.o", "native.o"));
    succeeded(&mut through(&["env", "--ignore-signal=CHLD"], &relto));
    daemon.run(&backends, "twice.o");
    assert_eq!(daemon.jobs(), 2);
}

#[test]
fn without_what_threads_need_a_link_says_what_is_missing() {
    for call in ["socketpair", "clone3"] {
        let saved = Saved::new(&generated(2));
        let starter = without_calls(&[call]);
        let starter = starter.to_str().expect("a plain path").to_owned();
        let output = through(&[&starter], &saved.command()).output();
        let output = output.expect("started");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains("`socketpair`"), "{said}");
        assert!(!said.contains("internal error"), "{said}");
    }
}

#[test]
fn without_symbolic_links_a_link_says_which_directory_must_have_them() {
    let saved = Saved::new(&generated(2));
    let starter = without_calls(&["symlinkat", "symlink"]);
    let starter = starter.to_str().expect("a plain path").to_owned();
    let output = through(&[&starter], &saved.command()).output();
    let output = output.expect("started");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("set `TMPDIR` to one"), "{said}");
    assert!(said.contains("can hold symbolic links"), "{said}");
}

#[test]
fn giant_values_of_options_neither_take_the_memory_nor_end_in_a_panic() {
    for option in [
        "RELTO_LOCAL_JOBS",
        "RELTO_JOBS",
        "RELTO_REMOTE_DEADLINE",
        "RELTO_REMOTE_TIMEOUT",
        "RELTO_BES_TIMEOUT",
    ] {
        let saved = Saved::new(&generated(2));
        let mut command = saved.command();
        command.env(option, u64::MAX.to_string());
        command.env("RELTO_REMOTE_EXECUTOR", "grpc://127.0.0.1:1");
        command.env("RELTO_REMOTE_RETRIES", "0");
        // What would be taken by the number would not fit.
        let little = ["sh", "-c", "ulimit -v 8000000; exec \"$@\"", "sh"];
        let output = through(&little, &command).output().expect("started");
        let said = String::from_utf8_lossy(&output.stderr);
        let code = if option.ends_with("JOBS") { 2 } else { 0 };
        assert_eq!(output.status.code(), Some(code), "{option}: {said}");
        assert!(!said.contains("internal error"), "{option}: {said}");
    }
}

/// A limit of processes does not hold for root.
#[test]
fn at_the_limit_of_processes_a_link_works_or_names_the_limit() {
    if !rustix::process::geteuid().is_root() {
        return skip("it takes the rights of another user, which needs root");
    }
    for most in [1, 2, 3, 4, 6, 8, 12, 16, 24] {
        let saved = Saved::new(&generated(3));
        let command = saved.command();
        for dir in [saved.path(""), saved.home.path().to_owned()] {
            give_to_nobody(&dir);
        }
        let limit = format!("--nproc={most}");
        let starter = [NOBODY, &["prlimit", &limit]].concat();
        let output = through(&starter, &command).output().expect("started");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!said.contains("internal error"), "{most}: {said}");
        if output.status.code() == Some(0) {
            for (path, wanted) in saved.objects().iter().zip(&saved.in_place) {
                assert!(fs::read(path).expect("an object") == *wanted, "{most}");
            }
        } else {
            assert_eq!(output.status.code(), Some(1), "{most}: {said}");
            assert!(said.contains("ulimit -u"), "{most}: {said}");
        }
        assert!(leftovers(&saved.path("")).is_empty(), "{most}");
    }
}

/// Runs a link of `saved` through a shell script, without the rights of root.
fn as_nobody(saved: &Saved, script: &str) {
    for dir in [saved.path(""), saved.home.path().to_owned()] {
        give_to_nobody(&dir);
    }
    let starter = [NOBODY, &["sh", "-c", script, "sh"]].concat();
    let output = through(&starter, &saved.command()).output();
    let output = output.expect("started");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{script}: {said}");
    for (path, wanted) in saved.objects().iter().zip(&saved.in_place) {
        assert!(fs::read(path).expect("an object") == *wanted, "{script}");
    }
}

#[test]
fn a_link_works_whatever_the_umask_takes_away() {
    if !rustix::process::geteuid().is_root() {
        return skip("it takes the rights of another user, which needs root");
    }
    for umask in ["0777", "0277", "0000"] {
        let saved = Saved::new(&generated(2));
        as_nobody(&saved, &format!("umask {umask}; exec \"$@\""));
    }
}

/// As with `su` and `sudo -E`.
#[test]
fn a_link_works_where_the_home_is_that_of_another_user_who_lets_nobody_in() {
    if !rustix::process::geteuid().is_root() {
        return skip("it takes the rights of another user, which needs root");
    }
    let closed = tempfile::tempdir().expect("a directory that only root may search");
    fs::create_dir_all(closed.path().join(".config/relto")).expect("made");
    let script = format!(
        "unset XDG_CACHE_HOME XDG_CONFIG_HOME XDG_STATE_HOME; HOME={}; export HOME; exec \"$@\"",
        closed.path().display()
    );
    as_nobody(&Saved::new(&generated(2)), &script);
}

#[test]
fn objects_that_are_there_are_overwritten_where_their_directory_takes_no_files() {
    if !rustix::process::geteuid().is_root() {
        return skip("it takes the rights of another user, which needs root");
    }
    let saved = Saved::new(&generated(2));
    for object in saved.objects() {
        fs::write(object, "old").expect("written");
    }
    as_nobody(&saved, "chmod a-w .; exec \"$@\"");
}

/// As in a container that is given one file of the machine.
#[test]
fn an_object_that_is_a_mount_point_is_written_where_it_is() {
    let (backends, home) = (Backends::new(&feature(Feature::Plain)), Home::new());
    let mut clang = Command::new(backends.compiler());
    let want = backends.arguments("main.o", "want.o");
    succeeded(clang.current_dir(backends.dir()).args(want));
    let want = fs::read(backends.path("main.o.want.o")).expect("compiled");
    fs::write(backends.path("main.o.native.o"), "below").expect("written");
    let script = "mount --bind mounted main.o.native.o && exec \"$@\"";
    let mounted = ["unshare", "--mount", "sh", "-c", script, "sh"];
    // Compiled from its action, found in the cache, compiled in place.
    for variable in ["RELTO_LOG", "RELTO_LOG", "CC_PRINT_OPTIONS"] {
        fs::write(backends.path("mounted"), want.repeat(2)).expect("written");
        let mut relto = backends.relto(&home);
        relto.args(backends.arguments("main.o", "native.o"));
        relto.env("CC_PRINT_OPTIONS_FILE", "/dev/null");
        relto.env(variable, "info");
        let output = through(&mounted, &relto).output().expect("started");
        let told = String::from_utf8_lossy(&output.stderr);
        if told.contains("unshare: ") || told.contains("mount: ") {
            return skip("it mounts a file, which needs root");
        }
        assert_eq!(output.status.code(), Some(0), "{told}");
        assert!(fs::read(backends.path("mounted")).expect("there") == want);
        assert_eq!(leftovers(backends.dir()), [] as [std::path::PathBuf; 0]);
    }
    assert_eq!(results(&home), 1);
    let below = fs::read(backends.path("main.o.native.o"));
    assert_eq!(below.expect("there"), b"below");
}
