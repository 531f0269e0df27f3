//! `CCC_OVERRIDE_OPTIONS`: edits that clang makes to its arguments before it parses them.
//!
//! [`canonical`](super::canonical) and [`native`](super::native) rename and expand the job's own
//! arguments, but clang applies the edits after that. If an edit would need such treatment, the
//! jobs run in place.

use super::arguments::{self, Meaning};

/// The variable that holds the edits.
pub const VARIABLE: &str = "CCC_OVERRIDE_OPTIONS";

/// The first edit that an Action cannot describe. It can describe the optimization level, and
/// additions about code that depend on nothing else and that relto does not go by itself: it would go
/// by the job's own arguments.
///
/// The syntax is that of clang's `applyOverrideOptions`: edits are separated by spaces; `+` and `^`
/// add an argument.
#[must_use]
pub fn unfit_override(edits: &str) -> Option<String> {
    let edits = edits.strip_prefix('#').unwrap_or(edits);
    let unfit = edits
        .split(' ')
        .find(|edit| match edit.strip_prefix(['+', '^']) {
            Some(word) => !is_about_code(word),
            None => !edit.is_empty() && !edit.starts_with('O'),
        });
    unfit.map(str::to_owned)
}

/// Whether the word is an option of code generation, without a word behind it, which may be of another
/// edit.
fn is_about_code(word: &str) -> bool {
    let words = [word.to_owned(), String::new()];
    let is_plain = |argument: &arguments::Argument<'_>| {
        let plain = matches!(argument.meaning, Meaning::Plain | Meaning::FrontEnd { .. });
        plain && argument.words.len() == 1
    };
    let first = arguments::parse(&words).into_iter().next();
    (word.starts_with("-f") || word.starts_with("-O")) && first.is_some_and(|it| is_plain(&it))
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
            "+--",
            "+-g",
            "+-mllvm",
            "+-Xclang=-mllvm",
            "+-isysroot/sdk",
            "+--driver-mode=g++",
            "+-Werror=unused-command-line-argument",
            "+-working-directory=/",
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
