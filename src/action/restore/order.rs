//! Whether the order of anything in an object follows from the numbers in its names.
//!
//! LLVM goes by the order of names in a few places. Scalar evolution sorts the operands of an expression
//! that has two globals (`CompareValueComplexity`), called values are propagated in the order of the
//! functions' names (`CVPLatticeVal::Compare`), entries of `.eh_frame` follow the names of personalities
//! (`CIEKey`), and position-independent code refers to the types that it catches through pointers in the
//! order of theirs (`MachineModuleInfoImpl::getSortedStubs`). Promoted locals of one name in two modules
//! differ in their numbers alone, so they change places when the numbers change their order. An object
//! in which both stand, whatever for, is restored only while their order stays.

use std::collections::BTreeMap;

use super::{Renumbering, numbers_in};

/// Whether all `names` of an object stay in their order.
pub(super) fn is_kept<'a>(names: impl Iterator<Item = &'a [u8]>, numbers: &Renumbering) -> bool {
    // By what precedes a number: the numbers that were there, and those that come there.
    let mut by_prefix: BTreeMap<&[u8], BTreeMap<&[u8], Vec<u8>>> = BTreeMap::new();
    for name in names {
        for place in numbers_in(name) {
            let then = &name[place.clone()];
            let now = numbers.renumbered(then).unwrap_or_else(|| then.to_vec());
            let at = by_prefix.entry(&name[..place.start]).or_default();
            at.insert(then, now);
        }
    }
    by_prefix.values().all(|numbers| {
        let (then, now): (Vec<&[u8]>, Vec<&[u8]>) =
            numbers.iter().map(|(then, now)| (*then, &now[..])).unzip();
        are_told_apart(&then) && are_told_apart(&now)
    })
}

/// Whether the numbers ascend as texts, whatever follows them in a name.
fn are_told_apart(numbers: &[&[u8]]) -> bool {
    let mut pairs = numbers.windows(2);
    pairs.all(|pair| pair[0] < pair[1] && !pair[1].starts_with(pair[0]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(names: &[&str], numbers: &[(u64, u64)]) -> bool {
        let numbers = Renumbering::new(numbers.iter().copied()).expect("one to one");
        is_kept(names.iter().map(|name| name.as_bytes()), &numbers)
    }

    #[test]
    fn names_that_differ_in_their_numbers_alone_stay_in_their_order() {
        let same = ["T.llvm.12", "T.llvm.34"];
        assert!(kept(&same, &[(12, 56), (34, 78)]));
        assert!(kept(&same, &[(12, 12), (34, 34)]));
        assert!(!kept(&same, &[(12, 78), (34, 56)]));
        assert!(!kept(&same, &[(12, 40), (34, 34)]));
        // As texts, and told apart whatever follows them.
        assert!(!kept(&same, &[(12, 9), (34, 10)]));
        assert!(!kept(&same, &[(12, 5), (34, 56)]));
        let before = ["T.llvm.5.x", "T.llvm.56"];
        assert!(!kept(&before, &[(5, 12), (56, 34)]));
        let others = ["T.llvm.12", "U.llvm.34", "V.llvm.12"];
        assert!(kept(&others, &[(12, 78), (34, 56)]));
        // A number that stays, and one behind another.
        let foreign = ["T.llvm.12", "T.llvm.77"];
        assert!(!kept(&foreign, &[(12, 80)]));
        let nested = ["T.llvm.12.llvm.34", "T.llvm.12.llvm.56"];
        assert!(kept(&nested, &[(12, 90), (34, 11), (56, 13)]));
        assert!(!kept(&nested, &[(12, 90), (34, 13), (56, 11)]));
    }
}
