//! `CCC_OVERRIDE_OPTIONS`: edits that clang makes to its arguments before it looks at them.
//!
//! Enters: the variable's text. Leaves: nothing, or the edit that an action cannot describe. The
//! job's own arguments are renamed and written out by `canonical` and `native`; an edit comes after
//! that, so one that would need it makes the jobs run in place.

use super::arguments::{self, Meaning};

/// The first edit that an action cannot describe. Additions that stand for themselves and the
/// optimization level can; not those about the processor, which compete with a `native` that was
/// written out.
///
/// The form is that of clang's `applyOverrideOptions`: edits between spaces, `+` and `^` add an
/// argument.
#[must_use]
pub fn unfit_override(edits: &str) -> Option<String> {
    let edits = edits.strip_prefix('#').unwrap_or(edits);
    let unfit = edits
        .split(' ')
        .find(|edit| match edit.strip_prefix(['+', '^']) {
            Some(word) => !stands_for_itself(word),
            None => !edit.is_empty() && !edit.starts_with('O'),
        });
    unfit.map(str::to_owned)
}

fn stands_for_itself(word: &str) -> bool {
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
    fn additions_that_stand_for_themselves_are_fit() {
        let edits = "#+-ffunction-sections O3 ^-fno-plt +-O1";
        assert_eq!(unfit_override(edits), None);
        assert_eq!(unfit_override(""), None);
    }

    #[test]
    fn what_reads_writes_or_asks_the_machine_is_not() {
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
    fn edits_that_take_away_replace_or_compete_are_not() {
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
