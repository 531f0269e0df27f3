//! Linux's own build with and without relto and ccache; `benches/README.md` says how to read it.
//!
//! Takes `--runs N` and the names of comparisons and builders to run only those, and needs what the
//! long tests of the kernel need: `RELTO_TEST_LONG` and `RELTO_TEST_LINUX`. Prints tables of
//! ratios: absolute times depend on the machine.
//!
//! All builders are called by the same words, `relto cc clang`, so that `make` sees one build;
//! `PATH` decides what `relto` is.

use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::Command;

use fs_err as fs;
use relto_testing::kernel::suffix;
use relto_testing::kernel_tree::Tree;
use relto_testing::link::Home;
use relto_testing::llvm::Llvm;
use relto_testing::measure::{BenchArguments, Sample, load, median, run, show};
use tempfile::TempDir;

/// What stands between `make` and clang.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Builder {
    Plain,
    Relto,
    Ccache,
    /// `ccache relto-clang`: ccache for the front ends, relto for what that does not know.
    Both,
}

impl Builder {
    /// By which it is asked for.
    fn word(self) -> &'static str {
        match self {
            Self::Plain => "clang",
            Self::Relto => "relto",
            Self::Ccache => "ccache",
            Self::Both => "both",
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Plain => "clang alone",
            Self::Relto => "relto",
            Self::Ccache => "ccache",
            Self::Both => "ccache and relto",
        }
    }
}

/// Caches, and for each builder a directory with a `relto` that is it.
struct KernelBench {
    dir: TempDir,
    homes: [Home; 2],
    builders: Vec<Builder>,
}

impl KernelBench {
    /// With the builders that `arguments` name, or all that there are.
    fn new(arguments: &BenchArguments) -> Self {
        let ccache = Command::new("ccache").arg("--version").output();
        let has_ccache = ccache.is_ok_and(|output| output.status.success());
        let mut builders = vec![Builder::Plain, Builder::Relto];
        if has_ccache {
            builders.extend([Builder::Ccache, Builder::Both]);
        }
        let is_named = |builder: &Builder| arguments.has(builder.word());
        if builders.iter().any(is_named) {
            builders.retain(is_named);
        }
        Self {
            dir: TempDir::new().expect("a temporary directory"),
            homes: [Home::new(), Home::new()],
            builders,
        }
    }

    /// `make vmlinux` through `builder`, its caches named after `caches`.
    fn make(&self, tree: &Tree, builder: Builder, words: &[&str]) -> Command {
        let words = [&["vmlinux"], words].concat();
        let mut command = match builder {
            Builder::Plain => tree.plain(&words),
            Builder::Relto => tree.relto(&self.homes[0], &words),
            Builder::Ccache => tree.through(&self.script(builder, "exec ccache \"$@\""), &words),
            Builder::Both => {
                let line = "compiler=relto-$1\nshift\nexec ccache \"$compiler\" \"$@\"";
                let dir = self.script(builder, line);
                let mask = dir.join(format!("relto-clang{}", suffix()));
                if !mask.exists() {
                    symlink(env!("CARGO_BIN_EXE_relto"), mask).expect("a link");
                }
                tree.through(&dir, &words)
            }
        };
        if builder == Builder::Both {
            self.homes[1].apply(&mut command);
            // Its compiler is relto, whatever clang is behind it.
            let version = format!("string:{}", Llvm::get().version());
            command.env("CCACHE_COMPILERCHECK", version);
        }
        let cache = format!("ccache-{builder:?}");
        command
            .env_remove("RELTO_LOG")
            .env("CCACHE_DIR", self.dir.path().join(cache));
        command
    }

    fn script(&self, builder: Builder, line: &str) -> PathBuf {
        let dir = self.dir.path().join(format!("{builder:?}"));
        fs::create_dir_all(&dir).expect("a directory");
        let script = dir.join("relto");
        fs::write(&script, format!("#!/bin/sh\nshift\n{line}\n")).expect("written");
        relto_testing::llvm::run(Command::new("chmod").arg("+x").arg(script));
        dir
    }
}

fn main() {
    let arguments = BenchArguments::get();
    let runs = arguments.number("--runs").unwrap_or(3);
    let is_named = |name: &str| arguments.has(name);
    let all = !["clean", "touch", "edit"].into_iter().any(is_named);
    let bench = KernelBench::new(&arguments);
    if all || is_named("touch") || is_named("edit") {
        let Some(tree) = Tree::copy() else { return };
        settle(&bench, &tree);
        if all || is_named("touch") {
            again(&bench, &tree, "touch kernel/fork.c", runs, |_| None);
        }
        if all || is_named("edit") {
            let edit = |round| Some(edited(&bench, round));
            again(
                &bench,
                &tree,
                "a function more in kernel/fork.c",
                runs,
                edit,
            );
        }
    }
    if all || is_named("clean") {
        clean(&bench);
    }
}

/// Builders that remember backends have seen them once, and what the copy has to do once is done.
fn settle(bench: &KernelBench, tree: &Tree) {
    let remembers = |builder: &&Builder| matches!(builder, Builder::Relto | Builder::Both);
    for &builder in bench.builders.iter().filter(remembers) {
        tree.forget_natives();
        run(&bench.make(tree, builder, &[]), 1);
    }
}

/// The words that give `kernel/fork.c` a function that no round before had.
fn edited(bench: &KernelBench, round: usize) -> String {
    let path = bench.dir.path().join(format!("edit-{round}.h"));
    let text =
        format!("int relto_bench(int x);\nint relto_bench(int x) {{ return x * 7 + {round}; }}\n");
    fs::write(&path, text).expect("written");
    format!("CFLAGS_fork.o=-include {}", path.display())
}

/// `make` after a change, each builder once in a round.
fn again(
    bench: &KernelBench,
    tree: &Tree,
    what: &str,
    runs: usize,
    change: impl Fn(usize) -> Option<String>,
) {
    let mut samples: Vec<Vec<Sample>> = vec![Vec::new(); bench.builders.len()];
    for round in 0..runs {
        for (place, &builder) in bench.builders.iter().enumerate() {
            // As after `touch`: the sources are not ours to touch.
            fs::remove_file(tree.path("kernel/fork.o")).expect("removed");
            let words = change(round);
            let words: Vec<_> = words.iter().map(String::as_str).collect();
            samples[place].push(run(&bench.make(tree, builder, &words), 1));
        }
    }
    table(bench, what, &samples);
}

/// The whole build with empty caches, and once more in another directory.
fn clean(bench: &KernelBench) {
    let mut samples: [Vec<Vec<Sample>>; 2] = [Vec::new(), Vec::new()];
    let fresh = KernelBench {
        dir: TempDir::new().expect("a temporary directory"),
        homes: [Home::new(), Home::new()],
        builders: bench.builders.clone(),
    };
    for &builder in &fresh.builders {
        for of_round in &mut samples {
            let Some(tree) = Tree::configured() else {
                return;
            };
            of_round.push(vec![run(&fresh.make(&tree, builder, &[]), 1)]);
        }
    }
    let [first, second] = samples;
    table(bench, "the whole build, empty caches", &first);
    table(
        bench,
        "the whole build in another directory, full caches",
        &second,
    );
}

/// Medians, and their ratio to the first builder's within a round.
fn table(bench: &KernelBench, what: &str, samples: &[Vec<Sample>]) {
    show(&format!(
        "\n{what}, load {}\n                      wall, s    ratio   processor, s    ratio\n",
        load()
    ));
    for (builder, ours) in bench.builders.iter().zip(samples) {
        let middle = |of: fn(&Sample) -> f64| median(ours.iter().map(of));
        let ratio = |of: fn(&Sample) -> f64| {
            median(ours.iter().zip(&samples[0]).map(|(a, b)| of(a) / of(b)))
        };
        show(&format!(
            "{:20}{:9.1}  {:7.3}      {:9.1}  {:7.3}\n",
            builder.name(),
            middle(|s| s.wall),
            ratio(|s| s.wall),
            middle(|s| s.cpu),
            ratio(|s| s.cpu)
        ));
    }
}
