//! The C code of a small Linux as modules, and edits of single files of it.
//!
//! It is compiled once a machine, the edited files too: with a file system of the compiler's own in
//! which the edited text has the name of the source.

use std::path::{Path, PathBuf};

use fs_err as fs;

use super::corpus::cached;
use super::kernel::{collect_parts, flags, make, modules_in, scripts};
use super::llvm::run;

/// All directories with code that the configuration has.
const PARTS: [&str; 12] = [
    "arch/x86/",
    "block/",
    "crypto/",
    "drivers/",
    "fs/",
    "init/",
    "ipc/",
    "kernel/",
    "lib/",
    "mm/",
    "net/",
    "security/",
];

/// The variable of the kernel's build that adds flags to all others. `CFLAGS_core.o` would replace
/// what `kernel/sched/Makefile` says, and with it the attributes of each function of the file.
const FLAGS: &str = "KCFLAGS";

/// One edit of one file: a text that stands there, and what replaces it where it stands first.
#[derive(Debug)]
pub struct KernelEdit {
    pub name: &'static str,
    pub file: &'static str,
    from: &'static str,
    to: &'static str,
}

pub const EDITS: [KernelEdit; 6] = [
    KernelEdit {
        name: "a function more",
        file: "kernel/fork.c",
        from: "static int max_threads;",
        to: "int relto_more(int x);\nint relto_more(int x) { return x * 7; }\nstatic int max_threads;",
    },
    KernelEdit {
        name: "a message that is not compiled",
        file: "mm/slub.c",
        from: "SLUB: Unable to allocate memory on CPU",
        to: "SLUB: No memory on CPU",
    },
    KernelEdit {
        name: "a number",
        file: "kernel/sched/core.c",
        from: "p->static_prio = NICE_TO_PRIO(0);",
        to: "p->static_prio = NICE_TO_PRIO(1);",
    },
    KernelEdit {
        name: "a comparison",
        file: "fs/namei.c",
        from: "(*count)++ >= MAXSYMLINKS",
        to: "(*count)++ > MAXSYMLINKS",
    },
    KernelEdit {
        name: "a literal",
        file: "lib/vsprintf.c",
        from: "return \"(null)\";",
        to: "return \"(none)\";",
    },
    KernelEdit {
        name: "a budget",
        file: "net/core/dev.c",
        from: "int budget = READ_ONCE(net_hotdata.netdev_budget);",
        to: "int budget = READ_ONCE(net_hotdata.netdev_budget) + 1;",
    },
];

/// The modules before their thin link, and those of the edited files.
#[derive(Debug)]
pub struct EditedKernel {
    dir: PathBuf,
    /// Their names, which are relative and say where the sources are.
    pub modules: Vec<String>,
}

impl EditedKernel {
    /// Returns `None` after recording the test as skipped where there are no sources.
    #[track_caller]
    pub fn get() -> Option<Self> {
        let scripts = scripts()?;
        let recipe = format!("{PARTS:?} {EDITS:?} {FLAGS}");
        let dir = cached("kernel-edits", &recipe, |dir| {
            collect_parts(&scripts, dir, &PARTS, |sources, build| {
                for (number, edit) in EDITS.iter().enumerate() {
                    compile(edit, sources, build, &dir.join(format!("edit-{number}.o")));
                }
            });
        });
        let modules = modules_in(&dir);
        Some(Self { dir, modules })
    }

    /// The flags of each module's backend.
    #[must_use]
    pub fn flags(&self) -> Vec<Vec<String>> {
        let names = self.modules.iter();
        names.map(|name| flags(&self.dir, name)).collect()
    }

    /// The files of the modules.
    #[must_use]
    pub fn files(&self) -> Vec<PathBuf> {
        let names = self.modules.iter();
        names.map(|name| self.dir.join(name)).collect()
    }

    /// For each edit the position of its module, and the file of that.
    #[must_use]
    pub fn edited(&self) -> Vec<(usize, PathBuf)> {
        let edited = EDITS.iter().enumerate().map(|(number, edit)| {
            let object = object_name(edit);
            let at = self.modules.iter().position(|name| *name == object);
            let file = self.dir.join(format!("edit-{number}.o"));
            (at.expect("a module of the kernel"), file)
        });
        edited.collect()
    }
}

fn object_name(edit: &KernelEdit) -> String {
    let stem = edit.file.strip_suffix(".c").expect("a file of C");
    format!("{stem}.o")
}

fn compile(edit: &KernelEdit, sources: &Path, build: &Path, to: &Path) {
    let source = sources.join(edit.file);
    let text = fs::read_to_string(&source).expect("a text");
    let known = text.contains(edit.from);
    assert!(known, "`{}` has no `{}`", edit.file, edit.from);
    let copy = to.with_extension("c");
    fs::write(&copy, text.replacen(edit.from, edit.to, 1)).expect("written");
    let overlay = to.with_extension("yaml");
    let tree = serde_json::json!({
        "version": 0,
        "use-external-names": false,
        "roots": [{ "type": "file", "name": source, "external-contents": copy }],
    });
    fs::write(&overlay, tree.to_string()).expect("written");
    let object = object_name(edit);
    run(make(build)
        .arg(&object)
        .arg(format!("{FLAGS}=-ivfsoverlay {}", overlay.display())));
    fs::copy(build.join(object), to).expect("copied");
}
