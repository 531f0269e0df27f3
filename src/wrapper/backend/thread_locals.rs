//! How code gets at thread-local variables.
//!
//! clang decides by the target, the linkers' own LTO by its options alone: clang passes them what
//! it has decided when it calls the linker. Without such an option the backends must be told what
//! the linker would do.

use crate::wrapper::{Refusal, Release};

/// What the command line says; the last word counts.
#[derive(Debug, Default)]
pub(super) struct ThreadLocals {
    emulated: Option<bool>,
    descriptors: Option<bool>,
}

/// The first release whose linkers do not look at the target.
const BY_OPTION_ALONE: u32 = 17;
/// The first release whose clang has descriptors on more targets than `AArch64`.
const DESCRIPTORS: u32 = 19;

impl ThreadLocals {
    /// Whether `word`, an option of LLVM without its dashes, is about this.
    pub(super) fn take(&mut self, word: &str) -> bool {
        let (name, value) = word.split_once('=').unwrap_or((word, "true"));
        let on = Some(!matches!(value, "0" | "false" | "FALSE" | "False"));
        match name {
            "emulated-tls" => self.emulated = on,
            "enable-tlsdesc" => self.descriptors = on,
            _ => return false,
        }
        true
    }

    /// The arguments of clang for modules of `triple`.
    ///
    /// # Errors
    /// clang has no such code for the target.
    pub(super) fn arguments(
        &self,
        triple: &str,
        release: &Release,
    ) -> Result<Vec<String>, Refusal> {
        let mut words = Vec::new();
        match self.emulated {
            Some(true) => words.push("-femulated-tls"),
            Some(false) if emulates(triple) => words.push("-fno-emulated-tls"),
            None if emulates(triple) && release.major() >= BY_OPTION_ALONE => {
                words.push("-fno-emulated-tls");
            }
            Some(false) | None => {}
        }
        let (with, without) = dialects(triple);
        if triple.starts_with("aarch64") {
            // It has nothing but descriptors, and clang no option.
        } else if self.descriptors == Some(true) {
            words.push(with.ok_or_else(|| {
                Refusal::new(format!("clang has no TLS descriptors for `{triple}`"))
            })?);
        } else if has_descriptors(triple) && release.major() >= DESCRIPTORS {
            words.extend(without);
        }
        Ok(words.into_iter().map(str::to_owned).collect())
    }
}

/// Whether clang emulates thread-local variables for `triple`, unless it is told not to.
fn emulates(triple: &str) -> bool {
    ["android", "openbsd", "ohos"]
        .iter()
        .any(|system| triple.contains(system))
}

/// Whether clang uses descriptors for `triple`, unless it is told not to.
fn has_descriptors(triple: &str) -> bool {
    triple.contains("fuchsia")
}

/// clang's options for descriptors and for none.
fn dialects(triple: &str) -> (Option<&'static str>, Option<&'static str>) {
    let starts = |names: &[&str]| names.iter().any(|name| triple.starts_with(name));
    if starts(&["x86_64", "i386", "i486", "i586", "i686"]) {
        (Some("-mtls-dialect=gnu2"), Some("-mtls-dialect=gnu"))
    } else {
        (None, None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(words: &[&str], triple: &str, major: u32) -> String {
        let mut locals = ThreadLocals::default();
        for word in words {
            assert!(locals.take(word), "{word}");
        }
        let words = locals.arguments(triple, &Release::of(major));
        words.expect("expressed").join(" ")
    }

    #[test]
    fn targets_that_emulate_do_so_where_the_linker_would() {
        let android = "aarch64-unknown-linux-android24";
        assert_eq!(said(&[], android, 22), "-fno-emulated-tls");
        assert_eq!(said(&[], android, 14), "");
        assert_eq!(said(&["emulated-tls"], android, 22), "-femulated-tls");
        assert_eq!(said(&["emulated-tls=0"], android, 14), "-fno-emulated-tls");
        let off = said(&["emulated-tls=False"], android, 14);
        assert_eq!(off, "-fno-emulated-tls");
        assert_eq!(said(&[], "x86_64-pc-linux-gnu", 22), "");
    }

    #[test]
    fn descriptors_are_used_where_they_are_asked_for() {
        let plain = "x86_64-pc-linux-gnu";
        assert_eq!(said(&["enable-tlsdesc"], plain, 22), "-mtls-dialect=gnu2");
        assert_eq!(said(&["enable-tlsdesc=0"], plain, 22), "");
        assert_eq!(said(&[], "x86_64-unknown-fuchsia", 22), "-mtls-dialect=gnu");
        for words in [&[][..], &["enable-tlsdesc"]] {
            assert_eq!(said(words, "aarch64-unknown-fuchsia", 22), "");
        }
        let mut locals = ThreadLocals::default();
        assert!(locals.take("enable-tlsdesc") && !locals.take("tls-size"));
        assert!(
            locals
                .arguments("s390x-linux-gnu", &Release::of(22))
                .is_err()
        );
    }
}
