//! The name of this machine, in directories that may be shared by many machines.

/// The name of this machine, as a file name.
#[must_use]
pub fn host_name() -> String {
    let name = nix::unistd::gethostname().unwrap_or_default();
    as_file_name(&name.to_string_lossy())
}

/// Whoever makes a container chooses its name, and may choose one that leads to another directory.
fn as_file_name(host: &str) -> String {
    match host {
        "" | "." | ".." => format!("_{host}"),
        _ => host.replace('/', "_"),
    }
}

#[cfg(test)]
mod tests {
    use std::path::{Component, Path};

    use super::*;

    #[test]
    fn a_host_name_is_one_plain_file_name() {
        for host in ["", ".", "..", "/", "../x", "a/b", "build-7.example.com"] {
            let name = as_file_name(host);
            let mut parts = Path::new(&name).components();
            let is_plain = matches!(parts.next(), Some(Component::Normal(part)) if *part == *name);
            assert!(is_plain && parts.next().is_none(), "{host}: {name}");
        }
        assert_eq!(as_file_name("build-7.example.com"), "build-7.example.com");
    }
}
