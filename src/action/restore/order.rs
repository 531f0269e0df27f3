//! Whether the order of anything in an object follows from the numbers in its names.
//!
//! Position-independent code that catches exceptions refers to the types that it catches through
//! pointers, which LLVM writes behind all other data in the order of their names
//! (`MachineModuleInfoImpl::getSortedStubs`). Types of one name in unnamed namespaces of two modules
//! differ there in their numbers alone, so they change places when the numbers change their order.
//! Nothing else that clang writes for the targets with slice keys is in the order of names, except
//! the string table.

use std::collections::BTreeMap;

use super::{Renumbering, numbers_in};

/// How the name of a section begins that says which exceptions are caught where.
const EXCEPTION_TABLE: &[u8] = b".gcc_except_table";

/// Whether all `names` of an object stay in their order. Names whose order does not matter count
/// too, where the object has exception tables: which of them are caught types is not looked into.
pub(super) fn is_kept(names: &[&[u8]], numbers: &Renumbering) -> bool {
    if !names.iter().any(|name| name.starts_with(EXCEPTION_TABLE)) {
        return true;
    }
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
        let names: Vec<&[u8]> = names.iter().map(|name| name.as_bytes()).collect();
        let numbers = Renumbering::new(numbers.iter().copied()).expect("one to one");
        is_kept(&names, &numbers)
    }

    #[test]
    fn names_that_differ_in_their_numbers_alone_stay_in_their_order_where_exceptions_are_caught() {
        let table = ".gcc_except_table.main";
        let same = [table, "T.llvm.12", "T.llvm.34"];
        assert!(kept(&same, &[(12, 56), (34, 78)]));
        assert!(kept(&same, &[(12, 12), (34, 34)]));
        assert!(!kept(&same, &[(12, 78), (34, 56)]));
        assert!(!kept(&same, &[(12, 40), (34, 34)]));
        // As texts, and told apart whatever follows them.
        assert!(!kept(&same, &[(12, 9), (34, 10)]));
        assert!(!kept(&same, &[(12, 5), (34, 56)]));
        let before = [table, "T.llvm.5.x", "T.llvm.56"];
        assert!(!kept(&before, &[(5, 12), (56, 34)]));
        // Without a table no order matters.
        assert!(kept(&same[1..], &[(12, 78), (34, 56)]));
        let others = [table, "T.llvm.12", "U.llvm.34", "V.llvm.12"];
        assert!(kept(&others, &[(12, 78), (34, 56)]));
        // A number that stays, and one behind another.
        let foreign = [table, "T.llvm.12", "T.llvm.77"];
        assert!(!kept(&foreign, &[(12, 80)]));
        let nested = [table, "T.llvm.12.llvm.34", "T.llvm.12.llvm.56"];
        assert!(kept(&nested, &[(12, 90), (34, 11), (56, 13)]));
        assert!(!kept(&nested, &[(12, 90), (34, 13), (56, 11)]));
    }
}
