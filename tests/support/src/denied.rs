//! A starter for commands in which some system calls fail.

use std::path::PathBuf;

use fs_err as fs;

use super::corpus::cached;
use super::llvm::{Llvm, run};

/// Fails the calls of the macro `CALLS` with `ERROR`, and becomes its arguments.
const TEXT: &str = r"
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(int count, char **words) {
  static const unsigned calls[] = {CALLS};
  enum { NUMBER = sizeof calls / sizeof *calls };
  struct sock_filter filter[NUMBER + 3] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr))};
  for (unsigned i = 0; i < NUMBER; i++)
    filter[i + 1] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, calls[i], NUMBER - i, 0);
  filter[NUMBER + 1] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
  filter[NUMBER + 2] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ERROR);
  struct sock_fprog program = {NUMBER + 3, filter};
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)) return 97;
  if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program)) return 98;
  execv(words[1], words + 1);
  return 99;
}
";

/// The path of a program that becomes its arguments, and may not make any of `calls`, which are
/// called as in `SYS_linkat`.
pub fn without_calls(calls: &[&str]) -> PathBuf {
    with_failing_calls(calls, "EPERM")
}

/// The same for calls that fail with `error`, which is called as in C.
pub fn with_failing_calls(calls: &[&str], error: &str) -> PathBuf {
    let numbers: Vec<_> = calls.iter().map(|call| format!("SYS_{call}")).collect();
    let recipe = format!("{numbers:?}{error}{TEXT}");
    let dir = cached("denied", &recipe, |dir| {
        fs::write(dir.join("denied.c"), TEXT).expect("written");
        let mut clang = Llvm::get().command("clang");
        clang.current_dir(dir);
        clang.arg(format!("-DCALLS={}", numbers.join(",")));
        clang.arg(format!("-DERROR={error}"));
        run(clang.args(["denied.c", "-o", "denied"]));
    });
    dir.join("denied")
}
