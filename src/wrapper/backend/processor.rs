//! The processor of functions that name none.
//!
//! Those that compilers make of sources name one. Those of hand-written IR do not, nor do some that
//! LLVM makes (for coverage and sanitizers). The linkers' own LTO compiles them for the processor of its
//! options, and without one for a processor that has no name; clang's driver has defaults for each
//! system.

use crate::wrapper::{Flavour, Refusal};

/// clang's words for the `-mcpu` of a linker of `flavour`, for modules of `triple`. What takes clang's
/// defaults away is only among them where there are `nameless` functions, so that other links share
/// the results of DTLTO.
///
/// # Errors
/// clang has none that mean the same.
pub(super) fn arguments(
    cpu: Option<&str>,
    triple: &str,
    flavour: Flavour,
    nameless: bool,
) -> Result<Vec<String>, Refusal> {
    let named = cpu.map_or(Some(Vec::new()), |cpu| named(cpu, machine(triple), flavour));
    let defaults = if nameless {
        without_defaults(cpu, triple, flavour)
    } else {
        Some(Vec::new())
    };
    let words = named.zip(defaults).map(|(named, defaults)| {
        let defaults = defaults.into_iter().map(str::to_owned);
        named.into_iter().chain(defaults).collect::<Vec<_>>()
    });
    words.ok_or_else(|| {
        let cpu = cpu.unwrap_or_default();
        Refusal::new(format!(
            "the option of clang for the processor `{cpu}` is not known"
        ))
    })
}

fn machine(triple: &str) -> &str {
    triple.split('-').next().unwrap_or_default()
}

fn is_x86(machine: &str) -> bool {
    ["x86_64", "i386", "i486", "i586", "i686"].contains(&machine)
}

/// The option for a processor, none where it is clang's own default; `None` if clang has no option.
fn named(cpu: &str, machine: &str, flavour: Flavour) -> Option<Vec<String>> {
    let is_apple = flavour == Flavour::MachO;
    let option = match (machine, cpu) {
        // clang also takes away what this machine lacks of its processor.
        (_, "native") => return None,
        ("x86_64", "x86-64") if !is_apple => return Some(Vec::new()),
        ("x86_64", "generic") => "-march=x86-64".to_owned(),
        (_, "generic") if !is_x86(machine) && !is_apple => return Some(Vec::new()),
        _ if is_x86(machine) => format!("-march={cpu}"),
        ("aarch64" | "arm64" | "wasm32", _) => format!("-mcpu={cpu}"),
        _ => return None,
    };
    Some(vec![option])
}

/// What takes away the processor and the features that clang's driver has for `triple`. `None` where
/// that would also take away those of `cpu`.
fn without_defaults(
    cpu: Option<&str>,
    triple: &str,
    flavour: Flavour,
) -> Option<Vec<&'static str>> {
    let machine = machine(triple);
    let mut words = match (machine, cpu) {
        ("wasm32", None | Some("generic" | "mvp" | "lime1")) => Vec::new(),
        // What clang and LLVM mean by the others is not the same.
        ("wasm32", Some(_)) => return None,
        ("aarch64" | "arm64", None) if flavour == Flavour::MachO => vec!["-mcpu=generic"],
        ("aarch64", _) if flavour == Flavour::Elf => {
            vec!["-mno-outline-atomics", "-mno-fix-cortex-a53-835769"]
        }
        // Behind the back of the driver, which would name one.
        (_, None) if is_x86(machine) => vec!["-Xclang", "-target-cpu", "-Xclang", ""],
        _ => Vec::new(),
    };
    if is_x86(machine) && triple.contains("android") {
        let (usual, added) = match machine {
            "x86_64" => ("x86-64", &["-mno-sse3", "-mno-popcnt", "-mno-cx16"][..]),
            _ => ("i686", &["-mno-sse"][..]),
        };
        if cpu.is_some_and(|cpu| cpu != usual) {
            return None;
        }
        words.extend(added);
    }
    Some(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINUX: &str = "x86_64-pc-linux-gnu";
    const ANDROID: &str = "x86_64-linux-android24";
    const ARM: &str = "aarch64-unknown-linux-gnu";
    const WASM: &str = "wasm32-unknown-unknown";

    fn said(cpu: Option<&str>, triple: &str, flavour: Flavour, nameless: bool) -> String {
        let words = arguments(cpu, triple, flavour, nameless);
        words.expect("expressed").join(" ")
    }

    #[test]
    fn functions_without_a_processor_get_that_of_the_linker() {
        let nameless = |cpu, triple| said(cpu, triple, Flavour::Elf, true);
        assert_eq!(nameless(Some("x86-64"), LINUX), "");
        assert_eq!(nameless(Some("generic"), LINUX), "-march=x86-64");
        assert_eq!(nameless(None, LINUX), "-Xclang -target-cpu -Xclang ");
        let features = "-mno-sse3 -mno-popcnt -mno-cx16";
        assert_eq!(nameless(Some("x86-64"), ANDROID), features);
        let features = "-mno-outline-atomics -mno-fix-cortex-a53-835769";
        assert_eq!(nameless(Some("generic"), ARM), features);
        let words = format!("-mcpu=cortex-a72 {features}");
        assert_eq!(nameless(Some("cortex-a72"), ARM), words);
        let apple = "arm64-apple-macosx13.0.0";
        assert_eq!(said(None, apple, Flavour::MachO, true), "-mcpu=generic");
        assert_eq!(said(None, WASM, Flavour::Wasm, true), "");
    }

    #[test]
    fn links_without_such_functions_have_only_the_processor_that_was_named() {
        for triple in [LINUX, ANDROID, ARM] {
            assert_eq!(said(None, triple, Flavour::Elf, false), "");
        }
        let named = |cpu, triple| said(Some(cpu), triple, Flavour::Elf, false);
        assert_eq!(named("x86-64", LINUX), "");
        assert_eq!(named("core2", ANDROID), "-march=core2");
        assert_eq!(named("generic", ARM), "");
        assert_eq!(named("cortex-a72", ARM), "-mcpu=cortex-a72");
    }

    #[test]
    fn processors_that_clang_means_something_else_by_are_left_to_the_linker() {
        for (cpu, triple, flavour) in [
            ("native", LINUX, Flavour::Elf),
            ("core2", ANDROID, Flavour::Elf),
            ("bleeding-edge", WASM, Flavour::Wasm),
        ] {
            assert!(
                arguments(Some(cpu), triple, flavour, true).is_err(),
                "{cpu}"
            );
        }
    }
}
