//! Names by which another process opens another file: they lead through the directory of processes.

use std::collections::HashSet;
use std::ffi::OsString;
use std::path::Path;

use memchr::memmem::Finder;
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat2};
use rustix::io::Errno;

use crate::fs::read_regular;
use crate::job::{Caller, JobFile};

/// Parts of such names, each with what it begins with.
const OF_A_PROCESS: [(&str, [&str; 2]); 2] =
    [("proc/", ["self", "thread-self"]), ("/dev/", ["fd", "std"])];

/// Variables that name the places of compilers, libraries and configuration files.
const PLACES: [&str; 3] = ["PATH", "LD_LIBRARY_PATH", "HOME"];

/// Whether the link or its `environment` has such a name, as `/proc/self/cwd/a.o` and `/dev/stdout` are,
/// and `here/a.o` where `here` is a link to `/proc/self/cwd`.
pub(super) fn are_in(file: &JobFile, environment: &[(OsString, OsString)]) -> bool {
    let say_so = SpelledNames::new();
    texts(file).any(|text| say_so.are_in(text) || say_so.are_in_response_file(text))
        || lead_there(texts(file), file.caller)
        || environment.iter().any(|(name, value)| {
            let is_place = PLACES.iter().any(|place| name == place);
            say_so.are_in(&value.to_string_lossy())
                || is_place && std::env::split_paths(value).any(|dir| leads_there(&dir))
        })
}

fn texts(file: &JobFile) -> impl Iterator<Item = &str> {
    let of_jobs = file.jobs.iter().flat_map(|job| {
        let names = job.inputs.iter().chain(&job.outputs);
        job.arguments.iter().chain(names)
    });
    let of_all = file.common_arguments.iter().chain(&file.common_inputs);
    of_all.chain(of_jobs).map(String::as_str)
}

/// Finds the names that say so themselves.
struct SpelledNames([(Finder<'static>, [&'static str; 2]); 2]);

impl SpelledNames {
    fn new() -> Self {
        Self(OF_A_PROCESS.map(|(beginning, ends)| (Finder::new(beginning), ends)))
    }

    fn are_in(&self, text: &str) -> bool {
        self.0.iter().any(|(beginning, ends)| {
            let mut places = beginning.find_iter(text.as_bytes());
            places.any(|at| {
                let rest = &text[at + beginning.needle().len()..];
                ends.iter().any(|end| rest.starts_with(end))
            })
        })
    }

    fn are_in_response_file(&self, text: &str) -> bool {
        let file = text.strip_prefix('@').map(Path::new);
        let read = file.and_then(|file| read_regular(file).ok());
        read.is_some_and(|bytes| self.are_in(&String::from_utf8_lossy(&bytes)))
    }
}

/// Whether one of `texts` leads there by links. An argument may be a name or end in one. Of the files of
/// a linker's many jobs only the directories are looked at.
fn lead_there<'a>(texts: impl Iterator<Item = &'a str>, caller: Caller) -> bool {
    let names = texts.flat_map(|text| {
        let value = text.split_once('=').map(|(_, value)| value);
        [Some(text), value].into_iter().flatten()
    });
    let dir = |name: &'a str| name.rsplit_once('/').map_or(".", |(dir, _)| dir);
    let places: HashSet<&str> = match caller {
        Caller::Launcher => names.collect(),
        // As text: there are millions of names, in few directories.
        Caller::Linker => names.map(dir).collect(),
    };
    places
        .into_iter()
        .any(|place| leads_there(Path::new(place)))
}

/// Whether one of the kernel's own links stands in the way, which are all in the directory of processes.
/// Linux before 5.6 does not say.
fn leads_there(place: &Path) -> bool {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let opened = openat2(
        CWD,
        place,
        flags,
        Mode::empty(),
        ResolveFlags::NO_MAGICLINKS,
    );
    opened.is_err_and(|error| error == Errno::LOOP)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn names_that_lead_through_a_process_are_found_whatever_they_look_like() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = |name: &str| dir.path().join(name);
        symlink("/proc/self/cwd", path("here")).expect("linked");
        symlink("here/deeper", path("far")).expect("linked");
        symlink("/proc/thread-self/fd/0", path("a.o")).expect("linked");
        symlink("plain.o", path("b.o")).expect("linked");
        for (name, leads) in [
            ("here/x.o", true),
            ("far/x.o", true),
            ("a.o", true),
            ("b.o", false),
            ("missing/x.o", false),
        ] {
            assert_eq!(leads_there(&path(name)), leads, "{name}");
            let option = format!("-fprofile-use={}", path(name).display());
            let texts = || ["-O2", &option].into_iter();
            assert_eq!(lead_there(texts(), Caller::Launcher), leads, "{name}");
        }
    }

    #[test]
    fn names_that_say_so_are_found() {
        let names = SpelledNames::new();
        for text in [
            "/proc/self/cwd/a.o",
            "-o/dev/stdout",
            "../proc/thread-self/cwd",
        ] {
            assert!(names.are_in(text), "{text}");
        }
        assert!(!names.are_in("/proc/cpuinfo") && !names.are_in("a/dev/disk.o"));
    }
}
