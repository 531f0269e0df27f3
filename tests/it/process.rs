//! Real child processes: a shell stands in for the compiler, and relto's helper is the built
//! executable.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use fs_err as fs;
use relto::internals::fs::FileId;
use relto::internals::process::{
    ChildEnvironment, Confinement, Ending, ExpectedFile, Finished, ProcessError, ProcessSpec,
    Relto, Spawner, Support, landlock_support,
};
use tokio_util::sync::CancellationToken;

use crate::support::skip::skip;

/// The longest that anything here may take to disappear.
const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) fn relto() -> Relto {
    Relto::at(env!("CARGO_BIN_EXE_relto"))
}

fn spawner() -> Spawner {
    Spawner::new(relto()).expect("a thread")
}

pub(super) fn shell(script: &str) -> ProcessSpec {
    ProcessSpec {
        arguments: ["/bin/sh", "-c", script].map(OsString::from).to_vec(),
        environment: ChildEnvironment::Exact(vec![("PATH".into(), "/usr/bin:/bin".into())]),
        dir: "/".into(),
        confinement: None,
    }
}

pub(super) async fn run(invocation: &ProcessSpec) -> Result<Finished, ProcessError> {
    spawner().run(invocation, &CancellationToken::new()).await
}

pub(super) fn text(bytes: &[u8]) -> &str {
    str::from_utf8(bytes).expect("text").trim_end()
}

/// Looks until `done` or until patience ends.
pub(crate) fn eventually(what: &str, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < PATIENCE, "{what} did not happen");
        std::thread::sleep(Duration::from_millis(5));
    }
}

pub(crate) fn is_alive(pid: &str) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat.rsplit(')').next().unwrap_or("").starts_with(" Z"))
}

#[tokio::test]
async fn a_finished_program_has_its_output_and_its_exit_status() {
    let finished = run(&shell("echo out; echo err >&2; exit 7"))
        .await
        .expect("it ran");
    assert_eq!(finished.ending, Ending::Exited(7));
    assert_eq!(text(&finished.stdout), "out");
    assert_eq!(text(&finished.stderr), "err");
    let killed = run(&shell("kill -SEGV $$")).await.expect("it ran");
    assert_eq!(killed.ending, Ending::Signalled(11));
    assert!(!killed.ran_out_of_memory());
    let killed = run(&shell("kill -KILL $$")).await.expect("it ran");
    assert!(killed.ran_out_of_memory());
}

#[tokio::test]
async fn the_environment_is_exact_or_inherited_and_stdin_is_empty() {
    let mut invocation = shell("cat; env");
    let finished = run(&invocation).await.expect("it ran");
    let variables: BTreeSet<&str> = text(&finished.stdout)
        .lines()
        .filter(|line| {
            !["PWD=", "SHLVL=", "_="]
                .iter()
                .any(|own| line.starts_with(own))
        })
        .collect();
    assert_eq!(variables, BTreeSet::from(["PATH=/usr/bin:/bin"]));

    invocation.environment = ChildEnvironment::Inherited;
    let finished = run(&invocation).await.expect("it ran");
    let path = format!("PATH={}", std::env::var("PATH").expect("a path"));
    assert!(text(&finished.stdout).lines().any(|line| line == path));
}

#[tokio::test]
async fn a_child_gets_the_standard_three_files_and_none_of_reltos_own() {
    let open = fs::File::open("/etc/passwd").expect("a file of ours");
    let mut invocation = shell("");
    invocation.arguments = ["/bin/ls", "/proc/self/fd"].map(OsString::from).to_vec();
    let finished = run(&invocation).await.expect("it ran");
    // What this test itself was started with goes to every child, as it would from the linker.
    let plain = Command::new("/bin/ls")
        .arg("/proc/self/fd")
        .stdin(Stdio::null())
        .output()
        .expect("it ran");
    assert_eq!(text(&finished.stdout), text(&plain.stdout));
    drop(open);
}

#[tokio::test]
async fn a_program_that_cannot_be_executed_is_an_error_that_names_it() {
    let mut invocation = shell("");
    invocation.arguments = vec!["/nonexistent/clang".into()];
    let error = run(&invocation).await.expect_err("no such program");
    assert!(matches!(error, ProcessError::Exec { .. }), "{error:?}");
    assert!(error.to_string().contains("/nonexistent/clang"), "{error}");

    // A bare name is not searched for in directories that were not named.
    invocation.arguments = vec!["sh".into()];
    let error = run(&invocation).await.expect_err("no such program");
    assert!(matches!(error, ProcessError::Exec { .. }), "{error:?}");

    invocation.arguments = vec!["/bin/sh".into()];
    invocation.dir = "/nonexistent/directory".into();
    let error = run(&invocation).await.expect_err("no such directory");
    assert!(
        error.to_string().contains("/nonexistent/directory"),
        "{error}"
    );

    invocation.arguments.clear();
    let error = run(&invocation).await.expect_err("nothing");
    assert!(matches!(error, ProcessError::Empty), "{error:?}");
}

#[tokio::test]
async fn a_helper_that_is_not_relto_is_an_error_even_if_it_succeeds() {
    for helper in ["/bin/true", "/nonexistent/relto"] {
        let error = Spawner::new(Relto::at(helper))
            .expect("a thread")
            .run(&shell("exit 0"), &CancellationToken::new())
            .await
            .expect_err("nothing ran");
        assert!(matches!(error, ProcessError::Helper { .. }), "{error:?}");
        assert!(error.to_string().contains(helper), "{error}");
    }
}

#[tokio::test]
async fn endless_output_is_read_and_dropped() {
    let script = "echo first >&2; head -c 20000000 /dev/zero >&2; echo; echo last >&2";
    let finished = run(&shell(script)).await.expect("it ran");
    assert_eq!(finished.ending, Ending::Exited(0));
    assert!(finished.stderr.len() < (2 << 20) + 100);
    assert!(finished.stderr.starts_with(b"first\n"));
    assert!(finished.stderr.ends_with(b"last\n"));
}

#[tokio::test]
async fn relative_names_are_seen_from_the_directory() {
    let dir = tempfile::tempdir().expect("a directory");
    fs_err::os::unix::fs::symlink("/bin/sh", dir.path().join("tool")).expect("linked");
    let mut invocation = shell("pwd; echo $0");
    invocation.dir = dir.path().to_owned();
    for name in ["./tool", "tool"] {
        invocation.arguments[0] = name.into();
        let finished = run(&invocation).await.expect("it ran");
        let expected = format!("{}\n{name}", dir.path().display());
        assert_eq!(text(&finished.stdout), expected);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_at_a_time_all_end_and_leave_no_zombie() {
    let spawner = spawner();
    let cancel = CancellationToken::new();
    // All wait until the last has been started, so that they do run at the same time.
    let dir = tempfile::tempdir().expect("a directory");
    let go = dir.path().join("go");
    let mut invocations = Vec::new();
    for number in 0..200 {
        let script = format!(
            ": > {}/{number}; while ! [ -e {} ]; do sleep 0.05; done; echo {number} $$",
            dir.path().display(),
            go.display()
        );
        invocations.push(shell(&script));
    }
    let all = futures_util::future::join_all(
        invocations
            .iter()
            .map(|invocation| spawner.run(invocation, &cancel)),
    );
    let count = || fs::read_dir(dir.path()).expect("listed").count();
    let release = async {
        while count() < 200 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        fs::write(&go, b"").expect("written");
    };
    let (finished, ()) = tokio::join!(all, release);
    for (number, finished) in finished.into_iter().enumerate() {
        let finished = finished.expect("it ran");
        let (name, pid) = text(&finished.stdout).split_once(' ').expect("two words");
        assert_eq!(name, number.to_string());
        assert!(!Path::new("/proc").join(pid).exists(), "{pid} is left");
    }
}

/// Starts a shell with a child of its own; gives both process ids once they run.
async fn started_pair(dir: &Path) -> (String, String) {
    let file = dir.join("pids");
    loop {
        if let Ok(pids) = fs::read_to_string(&file)
            && let Some((shell, child)) = pids.strip_suffix('\n').and_then(|p| p.split_once(' '))
        {
            return (shell.to_owned(), child.to_owned());
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn pair(dir: &Path) -> ProcessSpec {
    let file = dir.join("pids");
    shell(&format!(
        "sleep 1000 & echo $$ $! > {}; wait",
        file.display()
    ))
}

#[tokio::test]
async fn cancelling_kills_the_program_and_its_own_children() {
    let dir = tempfile::tempdir().expect("a directory");
    let (spawner, cancel, invocation) = (spawner(), CancellationToken::new(), pair(dir.path()));
    let (result, pids) = tokio::join!(spawner.run(&invocation, &cancel), async {
        let pids = started_pair(dir.path()).await;
        cancel.cancel();
        pids
    });
    assert!(matches!(result, Err(ProcessError::Cancelled)), "{result:?}");
    assert!(!Path::new("/proc").join(&pids.0).exists(), "not reaped");
    eventually("the end of the grandchild", || !is_alive(&pids.1));
    let again = spawner.run(&invocation, &cancel).await;
    assert!(matches!(again, Err(ProcessError::Cancelled)), "{again:?}");
}

#[tokio::test]
async fn dropping_the_future_kills_the_program_and_its_own_children() {
    let dir = tempfile::tempdir().expect("a directory");
    let (spawner, cancel, invocation) = (spawner(), CancellationToken::new(), pair(dir.path()));
    let pids = tokio::select! {
        result = spawner.run(&invocation, &cancel) => panic!("it ended: {result:?}"),
        pids = started_pair(dir.path()) => pids,
    };
    eventually("the end of the grandchild", || !is_alive(&pids.1));
    drop(spawner);
    assert!(!Path::new("/proc").join(&pids.0).exists(), "not reaped");
}

#[tokio::test]
async fn children_of_a_program_end_with_it() {
    let finished = run(&shell("sleep 1000 & echo $!")).await.expect("it ran");
    assert_eq!(finished.ending, Ending::Exited(0));
    assert!(finished.elapsed < PATIENCE);
    let pid = text(&finished.stdout).to_owned();
    eventually("the end of the child", || !is_alive(&pid));
}

/// True where there is Landlock; otherwise the test is skipped.
#[track_caller]
fn is_sandboxed_here() -> bool {
    let there = landlock_support() != Support::Unavailable;
    if !there {
        skip("this kernel has no Landlock");
    }
    there
}

#[tokio::test]
async fn confinement_admits_what_it_names_and_nothing_else() {
    if !is_sandboxed_here() {
        return;
    }
    let dir = tempfile::tempdir().expect("a directory");
    let path = |name: &str| dir.path().join(name);
    for name in ["admitted", "hidden"] {
        fs::write(path(name), name).expect("written");
    }
    fs_err::os::unix::fs::symlink(path("admitted"), path("link")).expect("linked");
    fs::create_dir(path("out")).expect("made");
    let script = "cat link; cat hidden; echo x > out/o.tmp && mv out/o.tmp out/o; echo x > new; \
                  echo x > admitted; echo x > /dev/null && echo null; /bin/ls >&2 || echo no ls";
    let mut invocation = shell(script);
    invocation.dir = dir.path().to_owned();
    invocation.confinement = Some(Confinement {
        readable: [
            "link",
            "/usr/lib",
            "/lib",
            "/lib64",
            "/etc/ld.so.cache",
            "missing",
        ]
        .map(PathBuf::from)
        .to_vec(),
        executable: [
            "/bin/sh",
            "/bin/cat",
            "/bin/mv",
            "/lib64/ld-linux-x86-64.so.2",
        ]
        .map(PathBuf::from)
        .to_vec(),
        writable: vec!["out".into()],
        ..Confinement::default()
    });
    let finished = run(&invocation).await.expect("it ran");
    assert_eq!(
        text(&finished.stdout),
        "admittednull\nno ls",
        "{}",
        text(&finished.stderr)
    );
    assert_eq!(fs::read(path("out/o")).expect("there"), b"x\n");
    assert!(!path("new").exists());
    assert_eq!(fs::read(path("admitted")).expect("there"), b"admitted");
}

#[tokio::test]
async fn a_path_that_leads_to_another_file_than_expected_is_an_error_that_names_it() {
    if !is_sandboxed_here() {
        return;
    }
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("module");
    fs::write(&path, "text").expect("written");
    let mut invocation = shell("echo it ran");
    let expected = ExpectedFile {
        path: path.clone(),
        id: FileId::at(&path).expect("there"),
    };
    invocation.confinement = Some(Confinement {
        readable: vec!["/".into(), path.clone()],
        executable: vec!["/".into()],
        expected: vec![expected],
        ..Confinement::default()
    });
    assert!(run(&invocation).await.expect("it ran").succeeded());
    let other = dir.path().join("other");
    fs::write(&other, "text").expect("written");
    fs::rename(&other, &path).expect("renamed");
    let error = run(&invocation).await.expect_err("another file");
    assert!(
        matches!(&error, ProcessError::Confinement { reason, .. }
        if reason.contains("module")),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_program_that_is_not_admitted_is_not_executed_and_is_named() {
    if !is_sandboxed_here() {
        return;
    }
    let mut invocation = shell("echo it ran");
    invocation.confinement = Some(Confinement {
        readable: vec!["/".into()],
        ..Confinement::default()
    });
    let error = run(&invocation).await.expect_err("not executable");
    assert!(
        matches!(&error, ProcessError::Exec { source, .. }
        if source.kind() == std::io::ErrorKind::PermissionDenied),
        "{error:?}"
    );
}
