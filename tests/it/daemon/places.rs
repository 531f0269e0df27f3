//! Names that mean another file to the daemon than to its caller.

use fs_err as fs;
use fs_err::os::unix::fs::symlink;

use super::plain;
use crate::support::daemon::{Daemon, succeeded};
use crate::support::repeat::through;
use crate::support::skip::skip;

/// Starts a program in the directory `$1`, over which `$2` is mounted meanwhile.
const COVERED: &str = r#"covered=$1; mount --bind "$2" "$covered" || exit 77
shift 2; "$@"; code=$?
umount "$covered"; exit $code"#;

#[test]
fn a_caller_in_a_directory_over_which_something_is_mounted_works_itself() {
    let (daemon, backends, other) = (Daemon::new(), plain(), plain());
    daemon.run(&backends, "main.o");
    let native = backends.path("main.o.native.o");
    let object = fs::read(&native).expect("an object");
    fs::remove_file(&native).expect("removed");
    let mut command = daemon.relto(&backends);
    command.args(backends.arguments("main.o", "native.o"));
    let dirs = [&backends, &other].map(|it| it.dir().to_str().expect("UTF-8"));
    let starter = [&["sh", "-c", COVERED, "sh"][..], &dirs].concat();
    let output = through(&starter, &command).output().expect("started");
    if output.status.code() == Some(77) {
        return skip("it mounts a directory, which needs root");
    }
    assert!(output.status.success(), "{output:?}");
    assert!(fs::read(&native).expect("where the caller is") == object);
    assert!(!other.path("main.o.native.o").exists());
    assert_eq!(daemon.jobs(), 1);
}

#[test]
fn a_link_that_leads_through_the_callers_process_is_followed_by_the_caller() {
    let (daemon, backends) = (Daemon::new(), plain());
    daemon.run(&backends, "main.o");
    symlink("/proc/self/cwd", backends.path("here")).expect("linked");
    let object = backends.path("main.o.native.o");
    fs::remove_file(&object).expect("removed");
    let words = backends.arguments("main.o", "here/native.o");
    let words = words
        .iter()
        .map(|word| word.replace("main.o.here/", "here/main.o."));
    let mut command = daemon.relto(&backends);
    succeeded(command.args(words));
    assert!(object.exists());
    assert_eq!(daemon.jobs(), 1);
}
