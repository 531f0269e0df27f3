//! Which modules are for ThinLTO: told from a few bytes of a file as from all of it.

use std::cell::Cell;
use std::fmt::Write as _;

use fs_err as fs;
use relto::internals::thinlto::LtoKind;

use crate::support::wrapped::{Release, WrapperDir};

/// Bytes of a large module that may be read.
const MOST: u64 = 128 * 1024;

/// The kinds of modules in `name`, and how many bytes of it were read for that.
fn of_headers(fixture: &WrapperDir, name: &str) -> (LtoKind, u64) {
    let bytes = fs::read(fixture.path(name)).expect("compiled");
    let taken = Cell::new(0);
    let read = |buffer: &mut [u8], at: u64| {
        let start = usize::try_from(at).map_err(std::io::Error::other)?;
        let part = bytes.get(start..start + buffer.len());
        buffer.copy_from_slice(part.ok_or(std::io::ErrorKind::UnexpectedEof)?);
        taken.set(taken.get() + buffer.len() as u64);
        Ok(())
    };
    let kind = LtoKind::of_headers(bytes.len() as u64, &read);
    let kind = kind.expect("read").expect("told");
    assert_eq!(Ok(kind), LtoKind::of(&bytes), "{name}");
    (kind, taken.get())
}

/// One with many functions, types and strings.
fn large() -> String {
    let mut text = "#include <map>\n#include <string>\n#include <vector>\n".to_owned();
    for number in 0..150 {
        writeln!(
            text,
            "struct S{number} {{ virtual int g(int x); std::map<int, std::string> m; }};\n\
             int S{number}::g(int x) {{ m[x] += \"{number}\"; return m.size(); }}"
        )
        .expect("written");
    }
    text
}

fn sources() -> [(&'static str, String); 6] {
    const WITH_FUNCTIONS: &str =
        "int g(int); int f(int x) { return g(x); } int h(int x) { return g(x) + 1; }\n";
    const VIRTUAL: &str = "struct A { virtual int f(); }; int A::f() { return 1; }\n";
    [
        ("functions.c", WITH_FUNCTIONS),
        ("data.c", "int x = 3, y[100]; const char *s = \"text\";\n"),
        ("nothing.c", "\n"),
        (
            "assembly.c",
            "__asm__(\".globl a\\na:\\n.long 1\\n\"); int f(void) { return 1; }\n",
        ),
        ("virtual.cc", VIRTUAL),
        ("large.cc", &large()),
    ]
    .map(|(name, text)| (name, text.to_owned()))
}

#[test]
fn a_few_bytes_of_a_module_tell_its_kind() {
    let split = [
        "-flto=thin",
        "-fsplit-lto-unit",
        "-fwhole-program-vtables",
        "-fvisibility=hidden",
    ];
    let kinds: [(&[&str], bool, bool); 8] = [
        (&["-flto=thin"], true, false),
        (&["-flto=thin", "-g"], true, false),
        (&["-flto=thin", "--target=aarch64-linux-gnu"], true, false),
        (&["-flto=thin", "--target=arm64-apple-macos13"], true, false),
        (&["-flto=full"], false, true),
        (&["-flto=full", "-g"], false, true),
        (
            &["-flto=full", "--target=x86_64-apple-macos13"],
            false,
            true,
        ),
        (&split, true, false),
    ];
    for release in Release::installed() {
        let fixture = WrapperDir::new(&release);
        for (name, text) in sources() {
            for (flags, thin, regular) in kinds {
                // There are headers for this machine only, and time for two.
                if name == "large.cc"
                    && ![&["-flto=thin"][..], &["-flto=full", "-g"]].contains(&flags)
                {
                    continue;
                }
                fixture.compile(name, &text, flags);
                let object = name.replace(".cc", ".o").replace(".c", ".o");
                let (kind, taken) = of_headers(&fixture, &object);
                let release = release.major;
                // Virtual tables are for regular LTO then.
                let regular = regular || flags.len() == 4 && text.contains("virtual");
                assert_eq!(
                    (kind.thin, kind.regular),
                    (thin, regular),
                    "{release} {name} {flags:?}"
                );
                let size = fs::metadata(fixture.path(&object)).expect("compiled").len();
                assert!(
                    taken <= MOST.max(size / 8),
                    "{release} {name} {flags:?}: {taken} of {size}"
                );
            }
        }
    }
}
