//! Machines that allow little: few open files, small files, no directory for temporary ones. Where
//! a compiler alone works, so does a link.

use std::process::Command;

use crate::support::fake::fake_clang;
use crate::support::program::generated;
use crate::support::repeat::through;
use crate::support::saved::Saved;

/// A link of sixty modules whose compilers all run at a time if they may.
fn link(change: impl FnOnce(&mut Command)) {
    let mut saved = Saved::new(&generated(60));
    saved.compile_with(&fake_clang("usleep(100000); object(ET_REL); return 0;"));
    let mut command = saved.command();
    command.env("RELTO_LOCAL_JOBS", "64");
    change(&mut command);
    let output = command.output().expect("relto starts");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    for object in saved.objects() {
        assert!(object.exists(), "`{}` is missing", object.display());
    }
}

fn limited(limit: &str) {
    let script = format!("ulimit {limit}; exec \"$@\"");
    link(|command| *command = through(&["sh", "-c", &script, "sh"], command));
}

#[test]
fn a_link_starts_no_more_compilers_than_it_may_have_files_open() {
    limited("-n 64");
    limited("-n 40");
}

#[test]
fn a_link_works_where_only_small_files_may_be_written() {
    limited("-f 8");
}

#[test]
fn a_link_works_without_a_directory_for_temporary_files() {
    for dir in ["", "/nonexistent/relto", "/dev/null"] {
        link(|command| {
            command.env("TMPDIR", dir);
        });
    }
}
