//! Compilers that go wrong in a certain way.
//!
//! They are ELF programs called `clang`, since relto refuses scripts. They answer the questions
//! that relto asks a compiler about itself; what they do with a job is up to the test, in C.

use std::path::{Path, PathBuf};

use fs_err as fs;

use super::corpus::cached;
use super::llvm::{Llvm, run};

/// `out` is the job's output; `put` writes a file, `object` an ELF file of a type without any
/// section.
const FRAME: &str = r#"
#include <elf.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static const char *out;

static void put(const char *path, const void *bytes, size_t size) {
  int file = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0666);
  if (file < 0 || write(file, bytes, size) != (ssize_t)size) _exit(99);
  close(file);
}

static void object(unsigned type) {
  Elf64_Ehdr header = {.e_ident = {0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, EV_CURRENT}};
  header.e_type = type;
  header.e_machine = EM_X86_64;
  header.e_version = EV_CURRENT;
  header.e_ehsize = sizeof header;
  put(out, &header, sizeof header);
}

int main(int count, char **arguments) {
  for (int i = 1; i + 1 < count; i++)
    if (!strcmp(arguments[i], "-o")) out = arguments[i + 1];
  if (!out) {
    QUESTION
    fputs("clang version 22.0.0\nTarget: x86_64-pc-linux-gnu\n", stderr);
    return 0;
  }
  (void)put, (void)object;
  BEHAVIOUR
}
"#;

/// Behaviour of a compiler that waits until there is a `file`.
pub fn wait_for(file: &Path) -> String {
    format!(
        "while (access(\"{}\", F_OK)) usleep(5000);\n",
        file.display()
    )
}

/// A compiler that does `behaviour`, statements of C that end with a `return`, for every job.
pub fn fake_clang(behaviour: &str) -> PathBuf {
    fake_clang_asked("", behaviour)
}

/// The same that does `question` before it answers one.
pub fn fake_clang_asked(question: &str, behaviour: &str) -> PathBuf {
    let source = FRAME.replace("QUESTION", question);
    let source = source.replace("BEHAVIOUR", behaviour);
    let dir = cached("fake-clang", &source, |dir| {
        fs::write(dir.join("fake.c"), &source).expect("written");
        let mut clang = Llvm::get().command("clang");
        clang.current_dir(dir);
        run(clang.args(["-O1", "fake.c", "-o", "clang"]));
    });
    dir.join("clang")
}
