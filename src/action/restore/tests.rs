//! The layout of string tables, objects of each class and byte order against the compiler's own,
//! and bytes of any kind. Objects of whole links are restored in `tests/it/slices`.

use std::fmt::Write as _;
use std::process::Command;

use proptest::prelude::*;
use relto_testing::llvm::{Llvm, run};
use relto_testing::skip::skip;
use tempfile::TempDir;

use super::table::StringTable;
use super::{Renumbering, RestoreError, check, restore};

#[test]
fn a_name_that_ends_another_shares_its_bytes() {
    let names = [&b"b.text"[..], b"text", b"", b"a.text", b"text"];
    for order in [[0, 1, 2, 3, 4], [4, 3, 2, 1, 0], [2, 0, 3, 1, 4]] {
        let table = StringTable::layout(&names, order.to_vec());
        assert_eq!(table.bytes, b"\0b.text\0a.text\0");
        let places = [0, 1, 2, 3, 4].map(|name| table.place(name));
        assert_eq!(places, [1, 10, 0, 8, 10]);
    }
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

/// Of each class and byte order.
const TARGETS: [&str; 4] = [
    "x86_64-linux-gnu",
    "i386-linux-gnu",
    "powerpc64-linux-gnu",
    "mips-linux-gnu",
];
/// The numbers of two modules in two links: their order in the string table, and their lengths,
/// are not the same.
const THEN: [u64; 2] = [18_446_744_073_709_551_611, 12_345_678_902];
const NOW: [u64; 2] = [12_345_678_905, 9_446_744_073_709_551_617];

/// Two functions with names of promoted locals, and what else the assembly says; `None` if this
/// compiler does not know the target.
fn object(target: &str, numbers: [u64; 2], more: &str) -> Option<Vec<u8>> {
    let mut text = String::new();
    for name in [
        format!("first.llvm.{}", numbers[0]),
        format!("second.llvm.{}", numbers[1]),
        format!("fourth.llvm.{}.cold", numbers[0]),
        "third".to_owned(),
        "d".to_owned(),
    ] {
        let _ = write!(
            text,
            ".section .text.{name},\"ax\",%progbits\n.globl {name}\n.type {name},%function\n{name}:\n.long 0\n"
        );
    }
    let _ = write!(text, ".section .data.other,\"aw\",%progbits\n{more}\n");
    let dir = TempDir::new().expect("a directory");
    let (source, object) = (dir.path().join("a.s"), dir.path().join("a.o"));
    fs_err::write(&source, text).expect("written");
    let mut clang = Llvm::get().command("clang");
    let is_known = clang.arg("--print-targets").output().is_ok_and(|output| {
        let known = String::from_utf8_lossy(&output.stdout).into_owned();
        let name = match target.split_once('-').map_or(target, |(name, _)| name) {
            "x86_64" => "x86-64",
            "i386" => "x86",
            "powerpc64" => "ppc64",
            name => name,
        };
        known
            .lines()
            .any(|line| line.split_whitespace().next() == Some(name))
    });
    if !is_known {
        return None;
    }
    let mut clang = Llvm::get().command("clang");
    clang
        .arg(format!("--target={target}"))
        .arg("-c")
        .arg(source);
    run(clang.arg("-o").arg(&object));
    Some(fs_err::read(object).expect("an object"))
}

#[test]
fn the_names_of_an_object_are_restored_to_those_that_the_compiler_writes() {
    for target in TARGETS {
        let Some((then, now)) = object(target, THEN, "").zip(object(target, NOW, "")) else {
            return skip("this clang does not know all targets");
        };
        assert_eq!(check(&then, &THEN), Ok(()), "{target}");
        let numbers = Renumbering::new(THEN.into_iter().zip(NOW)).expect("one to one");
        let restored = restore(&then, &numbers).expect("a known form");
        assert!(restored == now, "{target}");
        let back = Renumbering::new(NOW.into_iter().zip(THEN)).expect("one to one");
        assert!(
            restore(&now, &back).expect("a known form") == then,
            "{target}"
        );
    }
}

#[test]
fn a_number_outside_of_the_string_table_is_found() {
    for (target, data) in [
        ("x86_64-linux-gnu", format!(".quad {}", THEN[1])),
        ("x86_64-linux-gnu", format!(".byte 1\n.quad {}", THEN[0])),
        ("x86_64-linux-gnu", format!(".ascii \"x{}y\"", THEN[1])),
        ("x86_64-linux-gnu", format!(".ascii \"7{}\"", THEN[1])),
        ("powerpc64-linux-gnu", format!(".quad {}", THEN[1])),
        (
            "x86_64-linux-gnu",
            format!(".quad {}", THEN[1].swap_bytes()),
        ),
    ] {
        let Some(object) = object(target, THEN, &data) else {
            return skip("this clang does not know all targets");
        };
        let found = check(&object, &THEN);
        assert_eq!(found, Err(RestoreError::HashElsewhere), "{target} {data}");
        assert_eq!(check(&object, &NOW), Ok(()), "{target} {data}");
    }
}

#[test]
fn a_table_in_another_order_is_refused() {
    let object = object("x86_64-linux-gnu", THEN, "").expect("a target of every clang here");
    // With another last byte a name belongs to another place.
    let name = b".text.third\0";
    let at = object.windows(name.len()).position(|it| it == name);
    let mut damaged = object.clone();
    damaged[at.expect("a name") + name.len() - 2] = b'!';
    assert_eq!(check(&damaged, &THEN), Err(RestoreError::Layout));
    assert_eq!(check(&object, &[1]), Err(RestoreError::ShortHash));
}

/// GNU tools write two tables, LLVM one.
#[test]
fn an_object_with_a_table_for_names_of_sections_alone_is_refused() {
    let object = object("x86_64-linux-gnu", THEN, "").expect("a target of every clang here");
    let dir = TempDir::new().expect("a directory");
    let file = dir.path().join("a.o");
    fs_err::write(&file, object).expect("written");
    let copied = Command::new("objcopy").arg(&file).output();
    if !copied.is_ok_and(|it| it.status.success()) {
        return skip("there is no objcopy");
    }
    let copied = fs_err::read(file).expect("an object");
    assert_eq!(check(&copied, &THEN), Err(RestoreError::Form));
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
