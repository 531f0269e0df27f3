//! Linux with `CONFIG_LTO_CLANG_THIN`, its links distributed by lld: what kernels before 7.2 have,
//! and `.ko` files of all.
//!
//! Compared with the same links through the trivial distributor, which runs lld's commands as they
//! stand. lld alone would name modules otherwise, and so order some symbols otherwise.

use std::collections::BTreeMap;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use fs_err as fs;

use crate::support::kernel::{Slice, suffix};
use crate::support::kernel_tree::{MODULES, Tree, digest};
use crate::support::link::Home;
use crate::support::llvm::Llvm;
use crate::support::outcome::Counts;
use crate::support::servers::{Kind, Setup};

const RELTO: &str = env!("CARGO_BIN_EXE_relto");
const REFERENCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/reference.py");

/// What the kernel's links leave.
const LEFT: [&str; 2] = ["vmlinux.o", "vmlinux"];

/// What makes lld give its backends away. Without `-fno-pic` some fail: lld does not pass on what
/// front ends were told.
fn arguments(distributor: &Path) -> [String; 3] {
    [
        format!("--thinlto-distributor={}", distributor.display()),
        format!(
            "--thinlto-remote-compiler={}",
            Llvm::get().tool("clang").display()
        ),
        "--thinlto-remote-compiler-arg=-fno-pic".to_owned(),
    ]
}

/// The sum of all links that `text` tells of.
fn sum(text: &str) -> Counts {
    let mut sum = Counts::default();
    for counts in text.lines().filter_map(Counts::parse) {
        sum.jobs += counts.jobs;
        sum.cached += counts.cached;
        sum.remote += counts.remote;
        sum.local += counts.local;
        sum.in_place += counts.in_place;
    }
    sum
}

fn link_slice(slice: &Slice, home: &Home, distributor: &str) -> (Counts, Vec<u8>) {
    let mut command = Llvm::get().command("ld.lld");
    home.apply(&mut command);
    command
        .current_dir(slice.dir())
        .args(["-m", "elf_x86_64", "-r", "-o", "linked.o"])
        .args(arguments(Path::new(distributor)))
        .arg("@modules");
    let output = command.output().expect("lld starts");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    let object = fs::read(slice.dir().join("linked.o")).expect("an object");
    (sum(&stderr), object)
}

#[test]
fn a_slice_of_the_kernel_is_linked_alike_by_relto_and_by_the_trivial_distributor() {
    let Some(slice) = Slice::new() else { return };
    let home = Home::new();
    let jobs = slice.modules.len();
    let (counts, theirs) = link_slice(&slice, &home, REFERENCE);
    assert_eq!(counts.jobs, jobs);
    let (counts, ours) = link_slice(&slice, &home, RELTO);
    assert_eq!(counts.local, jobs, "{counts:?}");
    assert!(ours == theirs, "another object");
    let (counts, ours) = link_slice(&slice, &home, RELTO);
    assert_eq!(counts.cached, jobs, "{counts:?}");
    assert!(ours == theirs, "another object out of the cache");
}

/// A tree whose `LD` distributes, always by the same name, so that `make` sees the same words.
struct Distributed {
    tree: Tree,
    distributor: std::path::PathBuf,
}

impl Distributed {
    fn new(tree: Tree) -> Self {
        let distributor = tree.beside("distributor");
        symlink(REFERENCE, &distributor).expect("a link");
        tree.reconfigure(&["-d", "LTO_CLANG_THIN_DIST", "-e", "LTO_CLANG_THIN"]);
        let configuration = fs::read_to_string(tree.path(".config")).expect("a configuration");
        assert!(configuration.contains("CONFIG_LTO_CLANG_THIN=y"));
        Self { tree, distributor }
    }

    /// Links everything anew through `program`; gives where the objects came from, and what is
    /// left.
    fn link(&self, program: &str, prepare: impl Fn(&mut Command)) -> (Counts, LeftFiles) {
        fs::remove_file(&self.distributor).expect("removed");
        symlink(program, &self.distributor).expect("a link");
        self.forget_links();
        let ld = arguments(&self.distributor).join(" ");
        let mut command = self.tree.plain(&["vmlinux", "modules"]);
        command.arg(format!("LD=ld.lld{} {ld}", suffix()));
        prepare(&mut command);
        let output = command.output().expect("make starts");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{stderr}");
        let names = LEFT.iter().chain(&MODULES);
        let left = names.map(|&name| (name, digest(&self.tree.path(name))));
        (sum(&stderr), left.collect())
    }
}

impl Distributed {
    /// Takes away what a linker has made: `vmlinux`, and the objects of modules, which are linked
    /// when they are compiled.
    fn forget_links(&self) {
        let order = fs::read_to_string(self.tree.path("modules.order")).expect("a list");
        for name in LEFT.into_iter().chain(order.lines()) {
            // Not there after a link that failed.
            let _ = fs::remove_file(self.tree.path(name));
        }
    }
}

type LeftFiles = BTreeMap<&'static str, String>;

#[test]
fn linux_without_backends_of_its_own_is_linked_alike_by_relto_and_by_the_trivial_distributor() {
    let Some(tree) = Tree::copy() else { return };
    let kernel = Distributed::new(tree);
    let (_, theirs) = kernel.link(REFERENCE, |_| {});

    let home = Home::new();
    let (counts, ours) = kernel.link(RELTO, |command| home.apply(command));
    // The first link, after a change of the configuration, may have done more.
    let jobs = counts.jobs;
    assert!(jobs > 500, "{counts:?}");
    assert_eq!((counts.local, counts.in_place), (jobs - 1, 1), "{counts:?}");
    assert_eq!(ours, theirs);
    let (counts, ours) = kernel.link(RELTO, |command| home.apply(command));
    assert_eq!(
        (counts.cached, counts.in_place),
        (jobs - 1, 1),
        "{counts:?}"
    );
    assert_eq!(ours, theirs);

    for kind in [Kind::Buildbarn, Kind::Casd] {
        if !kind.is_there() {
            continue;
        }
        let server = kind.private(&Setup::default()).expect("it is there");
        let link = || {
            let home = Home::new();
            kernel.link(RELTO, |command| {
                home.apply(command);
                command
                    .envs(server.environment())
                    .env("RELTO_REMOTE_LOCAL_FALLBACK", "false")
                    .env("RELTO_DISK_CACHE", "off");
            })
        };
        let (counts, ours) = link();
        assert_eq!(
            (counts.remote, counts.in_place),
            (jobs - 1, 1),
            "{counts:?}"
        );
        assert_eq!(ours, theirs);
        let (counts, ours) = link();
        assert_eq!(
            (counts.cached, counts.in_place),
            (jobs - 1, 1),
            "{counts:?}"
        );
        assert_eq!(ours, theirs);
    }
}
