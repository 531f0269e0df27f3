//! The memory that reading modules for slice keys takes, each in a process of its own.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use fs_err as fs;
use relto::internals::thinlto::ModuleGraph;

use crate::support::llvm::Llvm;
use crate::support::program::sqlite;

/// Names the module that the child reads.
const MODULE: &str = "RELTO_TEST_MODULE";
const SMALL: &[u8] = include_bytes!("../../../src/thinlto/testdata/module.bc");
/// Bytes of memory for each byte of a module, at the most. Two are usual.
const MULTIPLE: usize = 20;
/// And that many for any module.
const BESIDES: usize = 1 << 20;

/// The most bytes that this process has had in memory.
fn peak() -> usize {
    let status = fs::read_to_string("/proc/self/status").expect("a status");
    let line = status.lines().find_map(|it| it.strip_prefix("VmHWM:"));
    let kibibytes = line.expect("the peak").trim().trim_end_matches(" kB");
    kibibytes.parse::<usize>().expect("a number") * 1024
}

fn read(module: &[u8]) {
    if let Ok(graph) = ModuleGraph::read(module) {
        graph.slice(&|_| true, &|_| true).expect("understood");
    }
}

#[test]
#[ignore = "runs only as the child of another test"]
fn the_child_reads_a_module() {
    let path = std::env::var_os(MODULE).expect("a module");
    let module = fs::read(path).expect("read");
    // The code itself.
    read(SMALL);
    let before = peak();
    read(&module);
    let multiple = (peak() - before).saturating_sub(BESIDES) / module.len();
    assert!(multiple <= MULTIPLE, "{multiple} times {}", module.len());
}

fn assert_is_read_in_little_memory(module: &Path) {
    let name = "slices::memory::the_child_reads_a_module";
    let mut child = Command::new(std::env::current_exe().expect("this program"));
    child.args(["--ignored", "--exact", name]);
    let output = child.env(MODULE, module).output().expect("it starts");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{}: {said}", module.display());
    assert!(said.contains("1 passed"), "{said}");
}

#[test]
fn reading_a_module_takes_a_small_multiple_of_its_size() {
    let sqlite = sqlite();
    let module = sqlite.modules.iter().find(|it| it.ends_with("sqlite3.o"));
    assert_is_read_in_little_memory(module.expect("a large module"));
    // Hardly any bytes for each thing in it.
    let mut text = String::new();
    for number in 0..30_000 {
        let _ = writeln!(
            text,
            "@v{number} = global i8 0\ndefine void @f{number}() {{ ret void }}"
        );
    }
    assert!(is_understood_in_little_memory(&text));
    // One constant that leads to all globals, and two thousand that lead to that one.
    let mut text = String::new();
    let globals: Vec<String> = (0..2000).map(|it| format!("ptr @v{it}")).collect();
    let array = format!("[2000 x ptr] [{}]", globals.join(", "));
    for number in 0..2000 {
        let value = format!("{{ [2000 x ptr], i32 }} {{ {array}, i32 {number} }}");
        let _ = writeln!(
            text,
            "@v{number} = global i8 0\n!n{number} = !{{!{number}}}\n!{number} = !{{{value}}}"
        );
    }
    assert!(!is_understood_in_little_memory(&text));
}

fn is_understood_in_little_memory(text: &str) -> bool {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("a.o");
    let module = Llvm::get().assemble(text, &[]).expect("a module");
    fs::write(&file, &module).expect("written");
    assert_is_read_in_little_memory(&file);
    ModuleGraph::read(&module).is_ok()
}
