//! Arbitrary bytes are an object whose names can be restored or an error; new names can be replaced
//! by the old ones, and the object is as before, unless names that differ in their numbers alone would
//! change places.

#![no_main]

use libfuzzer_sys::fuzz_target;
use relto::internals::action::restore::{Renumbering, RestoreError, check, restore};

/// Those of the objects in the corpus come from their names.
fn numbers(object: &[u8]) -> Vec<u64> {
    let mark = b".llvm.";
    let mut found = Vec::new();
    let places = object.windows(mark.len()).enumerate();
    for (at, _) in places.filter(|(_, window)| window == mark).take(8) {
        let digits = object[at + mark.len()..]
            .iter()
            .take_while(|byte| byte.is_ascii_digit());
        let digits: Vec<u8> = digits.copied().collect();
        found.extend(
            std::str::from_utf8(&digits)
                .ok()
                .and_then(|text| text.parse::<u64>().ok()),
        );
    }
    found.sort_unstable();
    found.dedup();
    found
}

fuzz_target!(|object: &[u8]| {
    let old = numbers(object);
    let _ = restore(object, &Renumbering::default());
    if check(object, &old).is_err() {
        return;
    }
    // Some are shorter or longer than the old ones, and none is one of them.
    let new = |rank: usize, old: u64| (old / [1, 1000, 7][rank % 3]).wrapping_mul(3) | 1 << 40;
    let pairs: Vec<_> = old
        .iter()
        .enumerate()
        .map(|(rank, old)| (*old, new(rank, *old)))
        .collect();
    let fresh = |number: &u64| !old.contains(number);
    if !pairs.iter().all(|(_, new)| fresh(new)) {
        return;
    }
    let Ok(there) = Renumbering::new(pairs.iter().copied()) else {
        return;
    };
    let back = Renumbering::new(pairs.iter().map(|(old, new)| (*new, *old))).expect("one to one");
    let renamed = match restore(object, &there) {
        Err(RestoreError::Order) => return,
        renamed => renamed.expect("what was checked can be restored"),
    };
    let now: Vec<_> = pairs.iter().map(|(_, new)| *new).collect();
    if check(&renamed, &now).is_ok() {
        assert!(restore(&renamed, &back).expect("restored") == object);
    }
});
