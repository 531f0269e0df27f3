//! What relto leaves out of a backend's command reaches no backend of the whole kernel: same bits,
//! exit code and messages.

use std::fmt::Write as _;
use std::process::{Command, Output};
use std::sync::Mutex;
use std::thread;

use fs_err as fs;

use crate::support::kernel::{Slice, saved_flags, words_of};
use crate::support::kernel_tree::Tree;
use crate::support::llvm::Llvm;

use super::reaching_words;

/// What a backend leaves.
#[derive(PartialEq, Eq)]
struct BackendOutput {
    code: Option<i32>,
    stderr: Vec<u8>,
    object: Option<Vec<u8>>,
}

/// Runs a backend in the tree; its object goes to `object`, which is removed.
fn run(tree: &Tree, words: &[String], object: &str) -> BackendOutput {
    let mut command: Command = Llvm::get().command("clang");
    let output: Output = command
        .current_dir(tree.path(""))
        .args(words)
        .output()
        .expect("clang starts");
    let bytes = fs::read(object).ok();
    let _ = fs::remove_file(object);
    BackendOutput {
        code: output.status.code(),
        stderr: output.stderr,
        object: bytes,
    }
}

/// What differs when the backend of `module` gets only the words that relto keeps; none left out is
/// a fault, too.
fn difference(tree: &Tree, module: &str, object: &str) -> Option<String> {
    let (dir, name) = module.rsplit_once('/').unwrap_or((".", module));
    let notes = fs::read_to_string(tree.path(&format!("{dir}/.{name}.cmd"))).expect("notes");
    let flags = words_of(&saved_flags(&notes).expect("the flags of the front end"));
    let whole = [flags, Slice::files(module, object)].concat();
    let fewer = reaching_words(&whole);
    if fewer.len() + 20 > whole.len() {
        return Some(format!(
            "{module}: only {} words left out",
            whole.len() - fewer.len()
        ));
    }
    let (whole, fewer) = (run(tree, &whole, object), run(tree, &fewer, object));
    if whole.code != Some(0) || whole.object.is_none() {
        return Some(format!(
            "{module}: {}",
            String::from_utf8_lossy(&whole.stderr)
        ));
    }
    (whole != fewer).then(|| {
        format!(
            "{module}: exit code {:?}, same object {}, `{}` instead of `{}`",
            fewer.code,
            whole.object == fewer.object,
            String::from_utf8_lossy(&fewer.stderr),
            String::from_utf8_lossy(&whole.stderr)
        )
    })
}

#[test]
fn all_flags_that_are_left_out_are_inert_in_all_backends_of_linux() {
    let Some(tree) = Tree::copy() else { return };
    let natives = tree.natives();
    let modules: Vec<_> = natives
        .iter()
        .map(|name| name.replace(".thinlto-native.o", ".o"))
        .collect();
    assert!(modules.len() > 500);
    let (queue, found) = (Mutex::new(modules.iter()), Mutex::new(String::new()));
    let next = || queue.lock().expect("no panic").next();
    let workers = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for worker in 0..workers {
            let object = tree.beside(&format!("{worker}.o")).display().to_string();
            let (next, found, tree) = (&next, &found, &tree);
            scope.spawn(move || {
                while let Some(module) = next() {
                    if let Some(text) = difference(tree, module, &object) {
                        writeln!(found.lock().expect("no panic"), "{text}").expect("a string");
                    }
                }
            });
        }
    });
    let found = found.into_inner().expect("no panic");
    assert!(found.is_empty(), "\n{found}");
}
