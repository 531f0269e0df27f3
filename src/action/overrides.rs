//! `CCC_OVERRIDE_OPTIONS`: edits that clang makes to its arguments before it parses them.
//!
//! [`canonical`](super::canonical) and [`native`](super::native) rename and expand the job's own
//! arguments, but clang applies the edits after that. If an edit would need such treatment, the
//! jobs run in place.

use super::arguments::{self, Meaning};

/// The first edit that an Action cannot describe. It can describe additions that depend on nothing
/// else and the optimization level, but not additions about the processor, which would compete with
/// an expanded `native`.
///
/// The syntax is that of clang's `applyOverrideOptions`: edits are separated by spaces; `+` and `^`
/// add an argument.
#[must_use]
pub fn unfit_override(edits: &str) -> Option<String> {
    let edits = edits.strip_prefix('#').unwrap_or(edits);
    let unfit = edits
        .split(' ')
        .find(|edit| match edit.strip_prefix(['+', '^']) {
            Some(word) => !is_self_contained(word),
            None => !edit.is_empty() && !edit.starts_with('O'),
        });
    unfit.map(str::to_owned)
}

fn is_self_contained(word: &str) -> bool {
    let words = [word.to_owned()];
    let processor = word.starts_with("-m") && !word.starts_with("-mllvm");
    let plain = |argument: &arguments::Argument<'_>| {
        matches!(argument.meaning, Meaning::Plain | Meaning::FrontEnd { .. })
    };
    word.starts_with('-') && !processor && arguments::parse(&words).iter().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn self_contained_additions_are_accepted() {
        let edits = "#+-ffunction-sections O3 ^-fno-plt +-O1";
        assert_eq!(unfit_override(edits), None);
        assert_eq!(unfit_override(""), None);
    }

    #[test]
    fn additions_that_read_write_or_depend_on_the_machine_are_refused() {
        for edit in [
            "+-march=native",
            "+-gsplit-dwarf",
            "^-fprofile-use=p",
            "+-save-temps",
            "+a.o",
            "+@more",
        ] {
            let edits = format!("#O2 {edit}");
            assert_eq!(unfit_override(&edits).as_deref(), Some(edit));
        }
    }

    #[test]
    fn edits_that_remove_replace_or_compete_are_refused() {
        for edit in [
            "x-gsplit-dwarf",
            "s/-O2/-march=native/",
            "X-o",
            "+-march=haswell",
        ] {
            assert_eq!(unfit_override(edit).as_deref(), Some(edit));
        }
    }
}
