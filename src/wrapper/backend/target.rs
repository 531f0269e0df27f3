//! The targets for which clang's backends make the code of the linkers' own LTO.
//!
//! clang's driver tells a backend what it knows of a target: the features of its processors, how
//! constructors are listed, what position-independent code is. The linkers tell their own LTO the same
//! for all targets. So a target counts only if programs for it were compared.

use super::Pic;
use crate::wrapper::{Flavour, Refusal, Release};

/// Each name of 32-bit x86.
const X86_32: [&str; 4] = ["i386", "i486", "i586", "i686"];
/// The first release whose own LTO does not show `_GLOBAL_OFFSET_TABLE_` of 32-bit x86 to other
/// programs.
const HIDES_TABLE: u32 = 19;
/// The first release in which clang lists the constructors of every FreeBSD in `.init_array`.
const FREEBSD: u32 = 16;

/// # Errors
/// The code for `triple` may be another one.
pub(super) fn check(
    triple: &str,
    flavour: Flavour,
    pic: Pic,
    release: &Release,
) -> Result<(), Refusal> {
    let known = match flavour {
        Flavour::Elf => is_known_elf(triple, pic, release),
        Flavour::Wasm => triple.starts_with("wasm32-"),
        Flavour::MachO => is_known_apple(triple),
    };
    if known {
        return Ok(());
    }
    Err(Refusal::new(format!(
        "clang is not known to make the linker's own code for `{triple}`"
    )))
}

fn is_known_elf(triple: &str, pic: Pic, release: &Release) -> bool {
    let mut parts = triple.split('-');
    let machine = parts.next().unwrap_or_default();
    let machine_known = match machine {
        "x86_64" | "aarch64" => true,
        _ if X86_32.contains(&machine) => pic == Pic::No || release.major() >= HIDES_TABLE,
        _ => false,
    };
    let parts: Vec<_> = parts.collect();
    // The vendor may be missing.
    let (system, environment) = match &parts[..] {
        [] => ("none", &[][..]),
        [_, system, environment @ ..] if is_system(system) => (*system, environment),
        [system, environment @ ..] => (*system, environment),
    };
    let system_known = match system {
        _ if system.starts_with("freebsd") => release.major() >= FREEBSD,
        _ => is_system(system),
    };
    machine_known && system_known && environment.iter().all(|it| is_environment(it))
}

fn is_system(name: &str) -> bool {
    matches!(name, "linux" | "none" | "unknown" | "fuchsia") || name.starts_with("freebsd")
}

/// C libraries, and the format itself.
fn is_environment(name: &str) -> bool {
    matches!(name, "gnu" | "musl" | "elf" | "unknown" | "ohos") || name.starts_with("android")
}

fn is_known_apple(triple: &str) -> bool {
    let parts: Vec<_> = triple.split('-').collect();
    match &parts[..] {
        ["x86_64" | "arm64" | "aarch64", "apple", system] => {
            let known = ["macos", "darwin", "ios"];
            known.iter().any(|it| system.starts_with(it))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(triple: &str, flavour: Flavour, major: u32) -> bool {
        check(triple, flavour, Pic::Yes, &Release::of(major)).is_ok()
    }

    #[test]
    fn only_targets_that_were_compared_are_known() {
        for triple in [
            "x86_64-pc-linux-gnu",
            "x86_64-unknown-linux-gnu",
            "x86_64-linux-gnu",
            "x86_64-suse-linux",
            "i686-pc-linux-gnu",
            "aarch64-unknown-linux-android24",
            "aarch64-linux-android",
            "x86_64-unknown-fuchsia",
            "x86_64-unknown-freebsd14.1",
            "x86_64-unknown-none-elf",
            "x86_64-unknown-none",
            "aarch64-none-unknown-elf",
            "x86_64",
        ] {
            assert!(known(triple, Flavour::Elf, 22), "{triple}");
        }
        for triple in [
            "x86_64-scei-ps4",
            "x86_64-sie-ps5",
            "x86_64-pc-windows-elf",
            "x86_64-pc-linux-gnux32",
            "mips64-unknown-linux-gnuabi64",
            "armv7a-unknown-linux-gnueabihf",
            "thumbv7m-unknown-none-eabi",
            "riscv64-unknown-linux-gnu",
            "powerpc64le-unknown-linux-gnu",
            "sparcv9-unknown-linux-gnu",
            "x86_64-unknown-unheard",
            "",
        ] {
            assert!(!known(triple, Flavour::Elf, 22), "{triple}");
        }
    }

    #[test]
    fn apples_and_webassemblys_targets_are_known_by_their_processor() {
        assert!(known("arm64-apple-macosx13.0.0", Flavour::MachO, 22));
        assert!(known("x86_64-apple-macosx10.15.0", Flavour::MachO, 22));
        assert!(known("arm64-apple-ios16.0.0", Flavour::MachO, 22));
        assert!(known("wasm32-unknown-wasi", Flavour::Wasm, 22));
        for triple in ["arm64e-apple-macosx12.0.0", "arm64_32-apple-watchos9.0.0"] {
            assert!(!known(triple, Flavour::MachO, 22), "{triple}");
        }
        assert!(!known("wasm64-unknown-unknown", Flavour::Wasm, 22));
    }

    #[test]
    fn releases_that_differ_are_known() {
        let x86 = "i686-pc-linux-gnu";
        assert!(!known(x86, Flavour::Elf, 16) && known(x86, Flavour::Elf, 19));
        assert!(check(x86, Flavour::Elf, Pic::No, &Release::of(14)).is_ok());
        let freebsd = "x86_64-unknown-freebsd";
        assert!(!known(freebsd, Flavour::Elf, 14) && known(freebsd, Flavour::Elf, 16));
    }
}
