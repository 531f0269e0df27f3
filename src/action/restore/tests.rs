//! The layout of string tables, and bytes of any kind. Real objects are restored in
//! `tests/it/slices.rs`.

use proptest::prelude::*;

use super::table::StringTable;
use super::{Renumbering, RestoreError, check, restore};

#[test]
fn a_name_that_ends_another_shares_its_bytes() {
    let names = [&b"b.text"[..], b"text", b"", b"a.text", b"text"];
    let table = StringTable::layout(names);
    assert_eq!(table.bytes, b"\0b.text\0a.text\0");
    assert_eq!(table.place(b"b.text"), Some(1));
    assert_eq!(table.place(b"text"), Some(10));
    assert_eq!(table.place(b""), Some(0));
}

#[test]
fn numbers_are_replaced_only_as_a_whole() {
    let numbers = Renumbering::new([(12, 7), (123, 99_999)]).expect("one to one");
    let renamed = |name: &[u8]| String::from_utf8(numbers.rename(name)).expect("text");
    assert_eq!(renamed(b"f.llvm.12"), "f.llvm.7");
    assert_eq!(renamed(b".text.f.llvm.123.cold"), ".text.f.llvm.99999.cold");
    assert_eq!(renamed(b"f.llvm.1234"), "f.llvm.1234");
    assert_eq!(renamed(b"f.llvm.012"), "f.llvm.012");
    assert_eq!(renamed(b"f.llvm.12.llvm.123"), "f.llvm.7.llvm.99999");
}

#[test]
fn modules_with_one_number_must_have_one_again() {
    assert!(Renumbering::new([(1, 2), (1, 2), (3, 4)]).is_ok());
    assert_eq!(
        Renumbering::new([(1, 2), (1, 3)]),
        Err(RestoreError::Ambiguous)
    );
    assert_eq!(
        Renumbering::new([(1, 2), (3, 2)]),
        Err(RestoreError::Ambiguous)
    );
}

proptest! {
    #[test]
    fn no_bytes_make_the_restorer_panic(
        class in 1_u8..3,
        order in 1_u8..3,
        rest in prop::collection::vec(any::<u8>(), 0..600),
    ) {
        let mut object = vec![0x7f, b'E', b'L', b'F', class, order];
        object.extend(rest);
        let _ = check(&object, &[1, u64::MAX]);
        let numbers = Renumbering::new([(1, 2)]).expect("one to one");
        let _ = restore(&object, &numbers);
    }
}
