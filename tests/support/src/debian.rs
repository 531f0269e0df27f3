//! Sources of real programs: Debian's source packages, fetched with an apt configuration of its own
//! so that the machine's stays untouched.

use std::path::{Path, PathBuf};
use std::process::Command;

use fs_err as fs;

use super::corpus::{cached, files};
use super::llvm::run;

/// The files of the newest source package of that name.
///
/// # Panics
/// Debian's archive cannot be reached, or has no such package.
fn downloaded(package: &str, dir: &Path) -> PathBuf {
    let download = dir.join("download");
    fs::create_dir(&download).expect("a directory");
    let apt = Apt::new(dir);
    run(apt.command(&download).arg("update"));
    run(apt
        .command(&download)
        .args(["source", "--download-only", package]));
    download
}

/// What upstream has published, unpacked.
///
/// # Panics
/// Debian's archive cannot be reached, or has no such package.
pub fn upstream(package: &str) -> PathBuf {
    cached("upstream", package, |dir| unpack(package, dir))
}

/// The same, into `dir`.
pub(crate) fn unpack(package: &str, dir: &Path) {
    let download = downloaded(package, dir);
    let archives = ["gz", "bz2", "xz"].map(|extension| files(&download, extension));
    let archive = archives
        .iter()
        .flatten()
        .find(|path| path.to_string_lossy().contains(".orig.tar."))
        .expect("the upstream archive");
    let mut tar = Command::new("tar");
    tar.arg("xf").arg(archive).arg("--strip-components=1");
    run(tar.arg("-C").arg(dir));
    fs::remove_dir_all(dir.join("apt")).expect("removed");
}

/// The package as Debian builds it, with its `debian` directory and its patches.
///
/// # Panics
/// As [`upstream`].
pub fn packaged(package: &str) -> PathBuf {
    let dir = cached("packaged", package, |dir| {
        let download = downloaded(package, dir);
        let description = files(&download, "dsc").pop().expect("a description");
        let mut unpack = Command::new("dpkg-source");
        unpack.arg("--extract").arg(description);
        run(unpack.arg("tree").current_dir(dir));
        fs::remove_dir_all(dir.join("apt")).expect("removed");
    });
    dir.join("tree")
}

/// A private apt configuration with source packages, from the mirror that the machine uses already.
struct Apt {
    options: Vec<String>,
}

impl Apt {
    fn new(dir: &Path) -> Self {
        let root = dir.join("apt");
        for name in ["lists/partial", "cache/archives/partial"] {
            fs::create_dir_all(root.join(name)).expect("a directory");
        }
        let (site, release) = mirror();
        let sources = root.join("sources.list");
        let key = "/usr/share/keyrings/debian-archive-keyring.gpg";
        let line = format!("deb-src [signed-by={key}] {site} {release} main\n");
        fs::write(&sources, line).expect("written");
        let options = [
            format!("Dir::Etc::sourcelist={}", sources.display()),
            "Dir::Etc::sourceparts=/dev/null".to_owned(),
            format!("Dir::State::lists={}", root.join("lists").display()),
            format!("Dir::Cache={}", root.join("cache").display()),
            "APT::Sandbox::User=".to_owned(),
        ];
        Self {
            options: options.to_vec(),
        }
    }

    fn command(&self, dir: &Path) -> Command {
        let mut command = Command::new("apt-get");
        command.current_dir(dir).arg("-q");
        for option in &self.options {
            command.args(["-o", option]);
        }
        command
    }
}

/// Address and release of Debian's main archive, as the machine is set up to use it.
fn mirror() -> (String, String) {
    let mut command = Command::new("apt-get");
    command.args([
        "indextargets",
        "--format",
        "$(SITE) $(RELEASE)",
        "Created-By: Packages",
    ]);
    let listed = run(&mut command);
    let lines = listed.lines().filter_map(|line| line.split_once(' '));
    let main = lines.into_iter().find(|(site, release)| {
        site.trim_end_matches('/').ends_with("/debian") && !release.contains('-')
    });
    let (site, release) = main.expect("a mirror of Debian's main archive");
    (site.to_owned(), release.to_owned())
}
