//! Has a compiler's allocator ask for huge pages.
//!
//! Four fifths of a large backend's page faults are for its heap. glibc takes huge pages for that
//! only if a variable says so. The variable decides where memory comes from, and nothing else: the
//! output is the one that the key describes.

use std::path::Path;

use fs_err as fs;

/// glibc's own settings (2.35 and later; others do not read this one).
const NAME: &str = "GLIBC_TUNABLES";
const VALUE: &str = "glibc.malloc.hugetlb=1";

const SETTINGS: &str = "/sys/kernel/mm/transparent_hugepage";

/// Where pages are larger (512 MiB on some arm64 kernels), a small compile would take a whole one.
const MAX_BYTES: u64 = 2 << 20;

/// The variable for compilers that run on this machine, if its kernel has huge pages of a sensible
/// size for those that ask.
#[must_use]
pub fn variable() -> Option<(&'static str, &'static str)> {
    let read = |name| fs::read_to_string(Path::new(SETTINGS).join(name)).ok();
    let useful = are_useful(&read("enabled")?, &read("hpage_pmd_size")?);
    useful.then_some((NAME, VALUE))
}

fn are_useful(enabled: &str, size: &str) -> bool {
    let allowed = ["[madvise]", "[always]"];
    let allowed = allowed.iter().any(|mode| enabled.contains(mode));
    let size: Option<u64> = size.trim().parse().ok();
    allowed && size.is_some_and(|size| size <= MAX_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn huge_pages_are_asked_for_where_they_may_be_and_are_small() {
        const TWO_MIB: &str = "2097152\n";
        assert!(are_useful("always [madvise] never\n", TWO_MIB));
        assert!(are_useful("[always] madvise never\n", TWO_MIB));
        assert!(!are_useful("always madvise [never]\n", TWO_MIB));
        assert!(!are_useful("always [madvise] never\n", "536870912\n"));
        assert!(!are_useful("always [madvise] never\n", ""));
    }
}
