//! Which of the open files of this process are its own, and not what it inherited.
//!
//! `/dev/fd/N` and links to it may be outputs: what a shell has opened for relto. The same name may
//! also lead to the database or to a lock, where a source tree has a link that nobody looked at.

use std::path::{Path, PathBuf};

use fs_err as fs;

/// Links that are followed to find out; more are an error of the kernel anyway.
const MOST_LINKS: usize = 40;

/// `O_CLOEXEC`, as `/proc/self/fdinfo` shows it. An inherited descriptor cannot have it; all that
/// this process opens have.
const CLOSE_ON_EXEC: u32 = 0o2_000_000;

/// Whether `path` names, through any number of links, a descriptor that this process has opened.
pub(super) fn is_opened_here(path: &Path) -> bool {
    let mut path = path.to_owned();
    for _ in 0..MOST_LINKS {
        if let Some(number) = descriptor(&path) {
            return closes_on_exec(number);
        }
        let Ok(target) = fs::read_link(&path) else {
            return false;
        };
        path = super::dir_of(&path).join(target);
    }
    false
}

/// The number of the descriptor of this process that `path` itself names.
fn descriptor(path: &Path) -> Option<u32> {
    let number = path.file_name()?.to_str()?.parse().ok()?;
    let dir = fs::canonicalize(super::dir_of(path)).ok()?;
    let own = PathBuf::from(format!("/proc/{}", std::process::id()));
    (dir.starts_with(own) && dir.ends_with("fd")).then_some(number)
}

fn closes_on_exec(number: u32) -> bool {
    let text = fs::read_to_string(format!("/proc/self/fdinfo/{number}")).unwrap_or_default();
    let flags = text.lines().find_map(|line| line.strip_prefix("flags:"));
    let flags = flags.and_then(|flags| u32::from_str_radix(flags.trim(), 8).ok());
    flags.is_some_and(|flags| flags & CLOSE_ON_EXEC != 0)
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd as _;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn files_that_this_process_has_opened_are_told_from_inherited_ones() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = fs::File::create(dir.path().join("own")).expect("made");
        let number = file.as_raw_fd();
        let (first, second) = (dir.path().join("first"), dir.path().join("second"));
        symlink(format!("/proc/self/fd/{number}"), &first).expect("linked");
        symlink("first", &second).expect("linked");
        for path in [&first, &second, &PathBuf::from(format!("/dev/fd/{number}"))] {
            assert!(is_opened_here(path), "{}", path.display());
        }
        rustix::io::fcntl_setfd(file.file(), rustix::io::FdFlags::empty()).expect("set");
        assert!(!is_opened_here(&second));
        for path in ["/dev/stdout", "/dev/null", "/nonexistent"] {
            assert!(!is_opened_here(Path::new(path)), "{path}");
        }
    }

    #[test]
    fn a_link_to_a_file_of_this_process_is_replaced_and_the_file_stays() {
        let dir = tempfile::tempdir().expect("a directory");
        let database = dir.path().join("database");
        fs::write(&database, "precious").expect("written");
        let file = fs::File::open(&database).expect("opened");
        let link = dir.path().join("x.o");
        symlink(format!("/proc/self/fd/{}", file.as_raw_fd()), &link).expect("linked");
        super::super::write_whole(&link, b"object").expect("written");
        assert_eq!(fs::read_to_string(&database).expect("read"), "precious");
        assert!(fs::symlink_metadata(&link).expect("there").is_file());
        assert_eq!(fs::read_to_string(&link).expect("read"), "object");
        let direct = PathBuf::from(format!("/dev/fd/{}", file.as_raw_fd()));
        assert!(super::super::write_whole(&direct, b"object").is_err());
        assert_eq!(fs::read_to_string(&database).expect("read"), "precious");
    }
}
