//! Long confinements: a job of a dense link admits hundreds of files.

use std::path::PathBuf;

use fs_err as fs;
use relto::internals::process::Confinement;

use crate::process::{run, shell, text};

#[tokio::test]
async fn thousands_of_files_can_be_admitted() {
    let dir = tempfile::tempdir().expect("a directory");
    let long = "x".repeat(150);
    let mut readable: Vec<PathBuf> = vec!["/".into()];
    for number in 0..3000 {
        let path = dir.path().join(format!("{long}{number}"));
        fs::write(&path, b"").expect("written");
        readable.push(path);
    }
    let mut invocation = shell("echo fine");
    invocation.confinement = Some(Confinement {
        readable,
        executable: vec!["/".into()],
        ..Confinement::default()
    });
    let finished = run(&invocation).await.expect("it ran");
    assert_eq!(text(&finished.stdout), "fine", "{}", text(&finished.stderr));
}
