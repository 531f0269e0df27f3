//! Linux 7.2, whole, built through `relto cc`: for the long run, since it compiles a kernel three times.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use fs_err as fs;
use relto::digest::DigestFunction;
use tempfile::TempDir;

use crate::support::backends::add;
use crate::support::kernel::{configure, scripts, sources, suffix};
use crate::support::link::Home;
use crate::support::llvm::run;
use crate::support::outcome::Counts;

/// Two builds of one tree differ in these, and in nothing else.
const STAMP: [(&str, &str); 4] = [
    ("KBUILD_BUILD_TIMESTAMP", "2026-01-01"),
    ("KBUILD_BUILD_VERSION", "1"),
    ("KBUILD_BUILD_USER", "user"),
    ("KBUILD_BUILD_HOST", "host"),
];

struct Kernel {
    folder: TempDir,
    scripts: PathBuf,
    home: Home,
}

/// What a build leaves: the digests of all backends' objects, and that of `vmlinux`.
#[derive(PartialEq, Eq)]
struct Left {
    objects: BTreeMap<PathBuf, String>,
    vmlinux: String,
}

impl Kernel {
    /// Sources of its own, to be edited: links to the fetched ones.
    fn new(scripts: PathBuf) -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        let (from, to) = (sources(&scripts), folder.path().join("linux"));
        let linked = Command::new("cp")
            .arg("-rl")
            .args([&from, &to])
            .status()
            .expect("cp");
        if !linked.success() {
            run(Command::new("cp").arg("-rT").args([&from, &to]));
        }
        // `relto` that is only a way to the compiler: the build's words stay the same.
        let plain = folder.path().join("plain");
        fs::create_dir(&plain).expect("a folder");
        fs::write(plain.join("relto"), "#!/bin/sh\nshift\nexec \"$@\"\n").expect("written");
        run(Command::new("chmod").arg("+x").arg(plain.join("relto")));
        Self {
            folder,
            scripts,
            home: Home::new(),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn configure(&self, out: &str) {
        configure(&self.scripts, &self.path("linux"), &self.path(out));
    }

    /// Builds `targets` with the `relto` of a folder, and counts where the objects came from.
    fn make(&self, out: &str, relto: &Path, targets: &[&str]) -> Counts {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let folders = [relto.to_owned()]
            .into_iter()
            .chain(std::env::split_paths(&path));
        let mut command = Command::new("nice");
        self.home.apply(&mut command);
        let output = command
            .args(["make", "-j2", "-C"])
            .arg(self.path(out))
            .arg(format!("LLVM={}", suffix()))
            .arg(format!("CC=relto cc clang{}", suffix()))
            .args(targets)
            .env("PATH", std::env::join_paths(folders).expect("a path"))
            .env("RELTO_LOG", "info")
            .envs(STAMP)
            .output()
            .expect("make starts");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{stderr}");
        let mut counts = Counts::default();
        add(&mut counts, &stderr);
        counts
    }

    fn relto(&self, out: &str) -> Counts {
        let program = Path::new(env!("CARGO_BIN_EXE_relto"));
        self.make(out, program.parent().expect("a folder"), &["vmlinux"])
    }

    fn left(&self, out: &str) -> Left {
        let out = self.path(out);
        let digest = |path: &Path| {
            let bytes = fs::read(path).expect("a file");
            DigestFunction::Sha256.digest(&bytes).hex()
        };
        let mut find = Command::new("find");
        let found = run(find
            .current_dir(&out)
            .args([".", "-name", "*.thinlto-native.o"]));
        let objects = found
            .lines()
            .map(|name| (PathBuf::from(name), digest(&out.join(name))));
        Left {
            objects: objects.collect(),
            vmlinux: digest(&out.join("vmlinux")),
        }
    }

    fn touch(&self) {
        run(Command::new("touch").arg(self.path("linux/kernel/fork.c")));
    }

    /// A line more in `kernel/fork.c`.
    fn edit(&self) {
        let path = self.path("linux/kernel/fork.c");
        let text = fs::read_to_string(&path).expect("a source");
        // Another file by that name: the fetched sources stay what they are.
        fs::remove_file(&path).expect("removed");
        fs::write(
            &path,
            text + "int relto_test(int x);\nint relto_test(int x) { return x * 7; }\n",
        )
        .expect("written");
    }
}

impl Kernel {
    /// `kernel/configs.c` includes a file by assembly; a module is linked by the kernel's own means.
    fn a_file_is_included_and_a_module_linked(&self, out: &str) {
        let mut config = Command::new(self.path("linux/scripts/config"));
        let options = [
            "-e",
            "IKCONFIG",
            "-e",
            "IKCONFIG_PROC",
            "-e",
            "BLK_DEV",
            "-m",
            "BLK_DEV_LOOP",
        ];
        run(config
            .arg("--file")
            .arg(self.path(&format!("{out}/.config")))
            .args(options));
        let program = Path::new(env!("CARGO_BIN_EXE_relto"))
            .parent()
            .expect("a folder");
        self.make(out, program, &["olddefconfig"]);
        let counts = self.make(out, program, &["vmlinux", "modules"]);
        assert_eq!(
            counts.in_place, 1,
            "the one that includes a file: {counts:?}"
        );
        let mut extract = Command::new(self.path("linux/scripts/extract-ikconfig"));
        let inside = run(extract.arg(self.path(&format!("{out}/vmlinux"))));
        assert_eq!(
            inside,
            fs::read_to_string(self.path(&format!("{out}/.config"))).expect("a configuration")
        );
        assert!(self.path(&format!("{out}/drivers/block/loop.ko")).exists());
    }
}

#[test]
fn linux_has_clangs_own_backends_and_compiles_each_of_them_once() {
    let Some(scripts) = scripts() else { return };
    if std::env::var_os("RELTO_TEST_LONG").is_none() {
        return;
    }
    let kernel = Kernel::new(scripts);
    kernel.configure("a");
    let counts = kernel.relto("a");
    let jobs = counts.jobs;
    assert!(jobs > 500 && counts.local == jobs, "{counts:?}");
    let first = kernel.left("a");
    assert_eq!(first.objects.len(), jobs);

    kernel.touch();
    let counts = kernel.relto("a");
    assert_eq!((counts.jobs, counts.cached), (jobs, jobs), "after a touch");
    assert!(kernel.left("a") == first);

    kernel.touch();
    let counts = kernel.make("a", &kernel.path("plain"), &["vmlinux"]);
    assert_eq!(counts.jobs, 0, "this was the compiler alone");
    assert!(kernel.left("a") == first, "clang alone makes others");

    kernel.configure("b");
    let counts = kernel.relto("b");
    assert_eq!(
        (counts.jobs, counts.cached),
        (jobs, jobs),
        "in another folder"
    );
    assert!(kernel.left("b") == first);

    kernel.edit();
    let counts = kernel.relto("a");
    assert!(
        counts.local > 0 && counts.local < jobs / 4,
        "after an edit: {counts:?}"
    );

    kernel.a_file_is_included_and_a_module_linked("b");
}
