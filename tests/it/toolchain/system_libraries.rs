//! Libraries that no search path leads to: glibc's loader finds them by `ld.so.cache`, and relto must
//! find the same.

use std::path::{Path, PathBuf};
use std::process::Command;

use fs_err as fs;
use relto::internals::toolchain::{Toolchain, ToolchainError};

use crate::support::backends::{Backends, add};
use crate::support::daemon::Daemon;
use crate::support::link::Home;
use crate::support::outcome::Counts;
use crate::support::program::{Feature, feature};
use crate::support::repeat::through;
use crate::support::skip::skip;
use crate::support::toolchain_dir::ToolchainDir;

/// A library that clang needs, and no search path of clang's leads to.
const OF_CLANG: &str = "/lib/x86_64-linux-gnu/libz.so.1";

/// Directories with libraries, the files of an `/etc`, and a program that needs `libx.so`.
struct Fixture {
    files: ToolchainDir,
    program: PathBuf,
}

impl Fixture {
    /// `libx.so` is in the directories `dirs`, of which no search path names one.
    fn new(dirs: &[&str]) -> Self {
        let files = ToolchainDir::new();
        for dir in dirs {
            files.library(dir, "x", &[]);
        }
        files.write("etc/ld.so.conf", "");
        let program = files.program(&["-Lcached", "-lx"]);
        Self { files, program }
    }

    /// Writes an `ld.so.cache` with the libraries in `dirs` and those of the system.
    fn ldconfig(&self, dirs: &[&str]) -> PathBuf {
        let cache = self.files.path("etc/ld.so.cache");
        make_cache(&self.files, &cache, dirs, "new");
        cache
    }

    fn discover(&self, library_path: Option<&str>) -> Result<Toolchain, ToolchainError> {
        let mut environment = self.files.environment(library_path);
        environment.configuration = self.files.path("etc");
        Toolchain::discover(&self.program, &environment)
    }

    /// The places of `libx.so` and its variants, below the directory of the test, and why there may
    /// be others.
    fn found(&self, library_path: Option<&str>) -> (Vec<String>, Option<String>) {
        let toolchain = self.discover(library_path).expect("complete");
        let files = toolchain.files.iter();
        let hosts = files.filter_map(|file| file.host.strip_prefix(self.files.dir.path()).ok());
        let hosts = hosts.map(|host| host.display().to_string());
        let libraries = hosts.filter(|host| host.ends_with("libx.so"));
        (libraries.collect(), toolchain.doubt)
    }

    /// The place of the `libx.so` that the loader takes; `None` where it cannot be asked.
    fn loaded(&self) -> Option<String> {
        let mut program = Command::new("env");
        program.arg("LD_TRACE_LOADED_OBJECTS=1").arg(&self.program);
        let mut program = with_cache(&self.files.path("etc/ld.so.cache"), &program)?;
        let output = program.output().expect("started");
        let text = String::from_utf8(output.stdout).expect("UTF-8");
        let mut lines = text.lines();
        let place = lines.find_map(|line| line.trim().strip_prefix("libx.so => "));
        let place = place.expect("a line").split(" (").next()?;
        let place = Path::new(place).strip_prefix(self.files.dir.path());
        Some(place.map_or_else(|_| text.clone(), |it| it.display().to_string()))
    }
}

/// Has `ldconfig` write a cache of that format.
fn make_cache(files: &ToolchainDir, cache: &Path, dirs: &[&str], format: &str) {
    let mut ldconfig = Command::new("/sbin/ldconfig");
    ldconfig
        .arg("-X")
        .arg("-f")
        .arg(files.path("etc/ld.so.conf"));
    ldconfig.args(["-c", format, "-C"]).arg(cache);
    ldconfig.args(dirs.iter().map(|dir| files.path(dir)));
    // Without rights it fails after the cache, at one of its own.
    ldconfig.output().expect("ldconfig runs");
    assert!(cache.exists(), "no cache");
}

/// `command`, where the file `cache` is `/etc/ld.so.cache`. `None` after recording the test as
/// skipped, where that cannot be.
#[track_caller]
fn with_cache(cache: &Path, command: &Command) -> Option<Command> {
    let mount = "mount --bind \"$1\" /etc/ld.so.cache && shift && exec \"$@\"";
    let cache = cache.to_str().expect("UTF-8");
    let mounted = |command: &Command| {
        through(
            &["unshare", "--mount", "sh", "-c", mount, "sh", cache],
            command,
        )
    };
    let tried = mounted(&Command::new("true")).output();
    if tried.is_ok_and(|tried| tried.status.success()) {
        return Some(mounted(command));
    }
    skip("it mounts another /etc/ld.so.cache, which needs root");
    None
}

#[test]
fn a_library_is_the_one_in_the_cache_whatever_ld_so_conf_says() {
    let fixture = Fixture::new(&["cached", "configured"]);
    let cache = fixture.files.path("etc/ld.so.cache");
    let configured = fixture.files.path("configured").display().to_string();
    let wanted = vec!["cached/libx.so".to_owned()];
    for format in ["new", "compat", "old"] {
        fixture.files.write("etc/ld.so.conf", "");
        make_cache(&fixture.files, &cache, &["cached"], format);
        // As after an installation without `ldconfig`.
        fixture.files.write("etc/ld.so.conf", &configured);
        assert_eq!(fixture.found(None), (wanted.clone(), None), "{format}");
        let Some(loaded) = fixture.loaded() else {
            return;
        };
        assert_eq!(loaded, wanted[0], "{format}");
    }
}

#[test]
fn a_library_that_only_ld_so_conf_leads_to_is_missing_as_for_the_loader() {
    let fixture = Fixture::new(&["cached"]);
    let cache = fixture.ldconfig(&[]);
    let cached = fixture.files.path("cached").display().to_string();
    fixture.files.write("etc/ld.so.conf", &cached);
    let is_missing = || {
        let found = fixture.discover(None);
        matches!(found, Err(ToolchainError::MissingLibrary { .. }))
    };
    assert!(is_missing());
    if let Some(text) = fixture.loaded() {
        assert!(text.contains("not found"), "{text}");
    }
    fs::write(&cache, "no cache").expect("written");
    assert!(is_missing(), "the loader ignores such a file");
    fs::remove_file(&cache).expect("removed");
    assert!(is_missing());
}

#[test]
fn variants_in_the_cache_stand_beside_the_plain_library() {
    let level = |level: &str| format!("cached/glibc-hwcaps/{level}");
    let [v2, v3] = ["x86-64-v2", "x86-64-v3"].map(level);
    let fixture = Fixture::new(&["cached", &v2, &v3]);
    fixture.ldconfig(&["cached"]);
    let (files, doubt) = fixture.found(None);
    let wanted = [&v2, &v3].map(|dir| format!("{dir}/libx.so"));
    assert_eq!(files, [&wanted[0], &wanted[1], "cached/libx.so"]);
    assert_eq!(doubt, None);
    if let Some(loaded) = fixture.loaded() {
        assert!(files.contains(&loaded), "{loaded}");
    }
    // The loader leaves the cache if the file that it has chosen is not there.
    fs::remove_file(fixture.files.path(&wanted[1])).expect("removed");
    let (_, doubt) = fixture.found(None);
    assert!(doubt.is_some_and(|text| text.contains(&wanted[1])));
}

#[test]
fn a_cache_that_cannot_be_used_leaves_jobs_in_place() {
    let fixture = Fixture::new(&["cached", "configured"]);
    let cache = fixture.ldconfig(&["cached"]);
    let configured = fixture.files.path("configured").display().to_string();
    fixture.files.write("etc/ld.so.conf", &configured);
    let whole = fs::read(&cache).expect("read");
    let mut newer = whole.clone();
    newer[17] = b'2';
    let mut damaged = whole.clone();
    // The keys of all entries lead nowhere.
    let count = u32::from_ne_bytes(*whole[20..].first_chunk().expect("a header"));
    for entry in 0..count as usize {
        damaged[48 + entry * 24 + 4..][..4].fill(0xff);
    }
    let giant = vec![b'x'; 17 << 20];
    for bytes in [&whole[..1000], &newer, &damaged, &giant] {
        fs::write(&cache, bytes).expect("written");
        let (files, doubt) = fixture.found(None);
        assert_eq!(files, ["configured/libx.so"]);
        let doubt = doubt.expect("a doubt");
        assert!(doubt.contains("ld.so.cache"), "{doubt}");
    }
}

#[test]
fn directories_that_only_some_loaders_look_into_are_a_doubt() {
    let fixture = Fixture::new(&["cached", "other", "other/tls/x86_64", "cached/haswell"]);
    fixture.ldconfig(&[]);
    for list in ["other", "other:cached", "/nonexistent:other"] {
        let (files, doubt) = fixture.found(Some(list));
        assert_eq!(files, ["other/tls/x86_64/libx.so"], "{list}");
        let doubt = doubt.expect("a doubt");
        assert!(doubt.contains("other/tls/x86_64"), "{doubt}");
    }
    fs::remove_file(fixture.files.path("other/tls/x86_64/libx.so")).expect("removed");
    let wanted = (vec!["other/libx.so".to_owned()], None);
    assert_eq!(fixture.found(Some("other:cached")), wanted);
    let (files, doubt) = fixture.found(Some("$ORIGIN/../$LIB/../other"));
    assert_eq!(files.len(), 1);
    assert!(doubt.is_some_and(|text| text.contains("$LIB")));
}

/// As in Nix, or beside a C library in a directory of its own.
#[test]
fn a_loader_of_another_directory_may_have_libraries_of_its_own() {
    let files = ToolchainDir::new();
    let loader = files.path("other/ld-linux-x86-64.so.2");
    fs::copy("/lib64/ld-linux-x86-64.so.2", &loader).expect("copied");
    let program = files.program(&[&format!("-Wl,-dynamic-linker,{}", loader.display())]);
    let libc = |files: &ToolchainDir| {
        let toolchain = files.discover(&program, None).expect("complete");
        let mut found = toolchain.files.into_iter();
        let libc = found.find(|file| file.tree_path == "lib/libc.so.6");
        (libc.expect("a C library").host, toolchain.doubt)
    };
    let (host, doubt) = libc(&files);
    assert_eq!(doubt, None, "{}", host.display());
    let own = files.path("other/libc.so.6");
    fs::copy(&host, &own).expect("copied");
    let (host, doubt) = libc(&files);
    assert_eq!(host, own);
    assert!(doubt.is_some_and(|text| text.contains("libc.so.6")));
}

/// Links to the directory itself have any number of names.
#[test]
fn directories_that_lead_back_end_the_search() {
    let fixture = Fixture::new(&["cached"]);
    for name in ["tls", "haswell", "xeon_phi", "avx512_1", "x86_64"] {
        let link = fixture.files.path("cached").join(name);
        std::os::unix::fs::symlink(".", link).expect("linked");
    }
    assert!(fixture.found(Some("cached")).1.is_some());
}

#[test]
fn a_backend_runs_in_place_where_the_loader_may_take_another_library() {
    let backends = Backends::new(&feature(Feature::Plain));
    let (files, home) = (ToolchainDir::new(), Home::new());
    fs::create_dir(files.path("other/tls")).expect("made");
    fs::copy(OF_CLANG, files.path("other/tls/libz.so.1")).expect("copied");
    let mut relto = backends.relto(&home);
    relto.args(backends.arguments("main.o", "native.o"));
    relto.env("LD_LIBRARY_PATH", files.path("other"));
    let output = relto.output().expect("relto starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
    let mut counts = Counts::default();
    add(&mut counts, &said);
    assert_eq!((counts.jobs, counts.in_place), (1, 1), "{said}");
    let reason = "may take another `libz.so.1`";
    assert_eq!(said.matches(reason).count(), 1, "{said}");
}

/// What `ldconfig` has written counts from then on, also in a daemon that runs on.
#[test]
fn results_of_one_library_are_not_those_of_another_after_ldconfig() {
    let files = ToolchainDir::new();
    files.write("etc/ld.so.conf", "");
    for name in ["one", "two"] {
        let dir = files.path(name);
        fs::create_dir(&dir).expect("made");
        let mut library = fs::read(OF_CLANG).expect("a library");
        library.extend(name.bytes());
        fs::write(dir.join("libz.so.1"), library).expect("written");
        make_cache(
            &files,
            &files.path(&format!("{name}.cache")),
            &[name],
            "new",
        );
    }
    let now = files.path("now.cache");
    fs::copy(files.path("one.cache"), &now).expect("copied");

    let backends = Backends::new(&feature(Feature::Plain));
    let daemon = Daemon::new();
    let mut relto = daemon.relto(&backends);
    relto.args(backends.arguments("main.o", "native.o"));
    let script = format!(
        r#""$@" && "$@" && cat {} >/etc/ld.so.cache && "$@" && "$@" && "$1" daemon status"#,
        files.path("two.cache").display()
    );
    let links = through(&["sh", "-c", &script, "sh"], &relto);
    let Some(mut links) = with_cache(&now, &links) else {
        return;
    };
    let output = links.output().expect("started");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
    let places = said.lines().filter(|line| line.contains(" INFO "));
    let places = places.filter_map(|line| Some(line.rsplit_once("`: ")?.1));
    let places: Vec<_> = places.collect();
    assert_eq!(places, ["local", "cached", "local", "cached"], "{said}");
    let status = String::from_utf8_lossy(&output.stdout);
    assert!(status.contains("jobs: 4"), "{status}");
}
