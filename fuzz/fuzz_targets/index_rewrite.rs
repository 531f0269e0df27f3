//! A shard that was read can be written, reads as the same modules, and stays canonical once it is.

#![no_main]

use libfuzzer_sys::fuzz_target;
use relto::internals::thinlto::{Form, Index};

fuzz_target!(|bytes: &[u8]| {
    let Ok(index) = Index::parse(bytes) else {
        return;
    };
    let names: Vec<String> = (0..index.modules().len())
        .map(|rank| format!("m/{rank}"))
        .collect();
    let first = index.rewrite(&names).expect("the names are one-to-one");
    // Numbers are written as short as they can be: a block of literals may then be too dense to be
    // read again.
    let Ok(again) = Index::parse(&first.bytes) else {
        return;
    };
    assert_eq!(again.flags(), index.flags());
    for ((new, old), name) in again.modules().iter().zip(index.modules()).zip(&names) {
        assert_eq!((new.id, new.hash), (old.id, old.hash));
        assert_eq!(new.path, name.as_bytes());
    }
    let second = again.rewrite(&names).expect("the names are one-to-one");
    assert_eq!(second.form, first.form);
    if first.form == Form::Canonical {
        assert_eq!(second.bytes, first.bytes);
    }
});
