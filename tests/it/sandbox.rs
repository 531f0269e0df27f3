//! A real compiler in the sandbox: a ThinLTO backend job laid out as a local run lays it out, links
//! to the host's files under one directory, and nothing else allowed.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use fs_err as fs;
use fs_err::os::unix::fs::symlink;
use relto::internals::process::{
    ChildEnvironment, Confinement, Finished, ProcessSpec, Relto, Spawner, Support, landlock_support,
};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use crate::support::llvm::Llvm;
use crate::support::skip::skip;

const BACKEND: [&str; 6] = [
    "-c",
    "--target=x86_64-pc-linux-gnu",
    "-O2",
    "-ffunction-sections",
    "-fpic",
    "-Wno-unused-command-line-argument",
];

/// True where there are LLVM and Landlock; otherwise the test is skipped.
#[track_caller]
fn is_testable_here() -> bool {
    let there = landlock_support() != Support::Unavailable;
    if !there {
        skip("there is no Landlock");
    }
    there
}

fn run_tool(tool: &str, dir: &Path, arguments: &[&str], files: &[String]) {
    let status = Command::new(Llvm::get().tool(tool))
        .args(arguments)
        .args(files)
        .current_dir(dir)
        .status()
        .expect("started");
    assert!(status.success(), "{tool} {arguments:?}");
}

/// The loader and the libraries of the compiler, by the name they are looked up by, as `ldd` sees
/// them.
fn libraries() -> Vec<(String, PathBuf)> {
    let listed = Command::new("ldd")
        .arg(Llvm::get().tool("clang"))
        .output()
        .expect("started");
    let text = String::from_utf8(listed.stdout).expect("text");
    text.lines()
        .filter_map(|line| {
            let path = line.split_whitespace().find(|word| word.starts_with('/'))?;
            let name = line.split_whitespace().next()?.rsplit('/').next()?;
            Some((name.to_owned(), PathBuf::from(path)))
        })
        .collect()
}

/// `sources` compiled to bitcode, thin-linked, and the first one's backend job laid out in a
/// directory `root`; beside that a file `hidden`.
struct SandboxedJob {
    _dir: TempDir,
    root: PathBuf,
}

impl SandboxedJob {
    fn new(sources: &[&str]) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let root = dir.path().join("root");
        let names: Vec<String> = (0..sources.len())
            .map(|n| format!("relto/m/000{n}.bc"))
            .collect();
        fs::create_dir_all(root.join("relto/m")).expect("made");
        fs::write(dir.path().join("hidden"), "hidden").expect("written");
        for (source, name) in sources.iter().zip(&names) {
            fs::write(root.join("source.c"), source).expect("written");
            let to_bitcode = ["-O2", "-fpic", "-flto=thin", "-c", "source.c", "-o"];
            run_tool("clang", &root, &to_bitcode, std::slice::from_ref(name));
        }
        fs::remove_file(root.join("source.c")).expect("removed");
        run_tool(
            "ld.lld",
            &root,
            &["-shared", "--thinlto-index-only"],
            &names,
        );
        let shard = root.join("relto/m/0000.bc.thinlto.bc");
        fs::rename(shard, root.join("relto/index.thinlto.bc")).expect("renamed");
        let job = Self { _dir: dir, root };
        job.link_toolchain();
        job
    }

    fn link_toolchain(&self) {
        let place = self.root.join("relto/tc");
        fs::create_dir_all(place.join("lib")).expect("made");
        fs::create_dir_all(place.join("bin")).expect("made");
        symlink(Llvm::get().tool("clang"), place.join("bin/clang")).expect("linked");
        for (name, path) in libraries() {
            symlink(path, place.join("lib").join(name)).expect("linked");
        }
    }

    fn arguments() -> Vec<OsString> {
        let start = [
            "relto/tc/lib/ld-linux-x86-64.so.2",
            "--library-path",
            "relto/tc/lib",
            "relto/tc/bin/clang",
        ];
        let own = ["relto/m/0000.bc", "-fthinlto-index=relto/index.thinlto.bc"];
        let output = ["-o", "relto/out/out.o"];
        [&start[..], &BACKEND, &own, &output]
            .concat()
            .into_iter()
            .map(OsString::from)
            .collect()
    }

    /// Exactly the toolchain's files, the inputs and the directory of the output.
    fn confinement(&self) -> Confinement {
        let mut readable: Vec<PathBuf> = ["relto/tc/bin/clang", "relto/index.thinlto.bc"]
            .map(PathBuf::from)
            .to_vec();
        for dir in ["relto/tc/lib", "relto/m"] {
            let entries = fs::read_dir(self.root.join(dir)).expect("listed");
            readable.extend(
                entries.map(|entry| Path::new(dir).join(entry.expect("an entry").file_name())),
            );
        }
        Confinement {
            readable,
            executable: vec!["relto/tc/lib/ld-linux-x86-64.so.2".into()],
            writable: vec!["relto/out".into()],
            ..Confinement::default()
        }
    }

    async fn run(&self, confinement: Option<Confinement>) -> (Finished, Option<Vec<u8>>) {
        let out = self.root.join("relto/out");
        fs::create_dir_all(&out).expect("made");
        let invocation = ProcessSpec {
            arguments: Self::arguments(),
            environment: ChildEnvironment::Exact(Vec::new()),
            dir: self.root.clone(),
            confinement,
        };
        let relto = Relto::at(env!("CARGO_BIN_EXE_relto"));
        let finished = Spawner::new(relto)
            .expect("a thread")
            .run(&invocation, &CancellationToken::new())
            .await
            .expect("it ran");
        let object = fs::read(out.join("out.o")).ok();
        fs::remove_dir_all(&out).expect("removed");
        (finished, object)
    }
}

fn stderr(finished: &Finished) -> String {
    OsString::from_vec(finished.stderr.clone())
        .to_string_lossy()
        .into_owned()
}

#[tokio::test]
async fn a_confined_backend_job_produces_the_same_object_and_no_messages() {
    if !is_testable_here() {
        return;
    }
    let job = SandboxedJob::new(&[
        "int puts(const char *); int twice(int); int main(int c, char **v) { puts(v[0]); return twice(c); }",
        "int twice(int x) { return x * 2 + 1; }",
    ]);
    let (free, expected) = job.run(None).await;
    assert!(free.succeeded(), "{}", stderr(&free));
    let (confined, object) = job.run(Some(job.confinement())).await;
    assert!(confined.succeeded(), "{}", stderr(&confined));
    assert_eq!(stderr(&confined), "");
    assert!(object.as_ref().is_some_and(|object| !object.is_empty()));
    assert!(object == expected, "the objects differ");
}

#[tokio::test]
async fn an_import_that_is_not_admitted_is_not_read() {
    if !is_testable_here() {
        return;
    }
    let job = SandboxedJob::new(&[
        "int twice(int); int once(int c) { return twice(c); }",
        "int twice(int x) { return x * 2 + 1; }",
    ]);
    let mut confinement = job.confinement();
    confinement
        .readable
        .retain(|path| !path.ends_with("0001.bc"));
    let (finished, _) = job.run(Some(confinement)).await;
    assert!(
        stderr(&finished).contains("0001.bc"),
        "{}",
        stderr(&finished)
    );
}

#[tokio::test]
async fn files_that_the_assembler_includes_are_out_of_reach() {
    if !is_testable_here() {
        return;
    }
    let dir = tempfile::tempdir().expect("a directory");
    let hidden = dir.path().join("hidden");
    fs::write(&hidden, "hidden").expect("written");
    for name in ["/etc/passwd", "../hidden", hidden.to_str().expect("text")] {
        let source =
            format!("asm(\".section .x\\n.incbin \\\"{name}\\\"\"); int f(void) {{ return 1; }}");
        let job = SandboxedJob::new(&[&source]);
        let (free, _) = job.run(None).await;
        assert!(free.succeeded(), "{name}: {}", stderr(&free));
        let (confined, _) = job.run(Some(job.confinement())).await;
        assert!(!confined.succeeded(), "{name} was read");
        assert!(stderr(&confined).contains(name), "{}", stderr(&confined));
    }
}
