//! What clang's driver takes from the machine where the arguments leave it open: an SDK of Apple, and an
//! installation of GCC. Neither is an input of a job.

use super::arguments::{self, Argument};
use super::kind::SYSTEMS_OF_APPLE;
use crate::thinlto::is_aarch64;

/// How the targets begin that have the assembly of NVIDIA's processors.
const PTX: &str = "nvptx";

const SYSROOT: &str = "-isysroot";

/// Whether the version of the system may come from an SDK: from its name, or from the settings in it. clang
/// also warns of one that is not there, or is for another system. `words` are the arguments, `default` is
/// the target where they name none, `environment` has what clang heeds.
#[must_use]
pub fn asks_an_sdk(words: &[String], default: &str, environment: &[(String, String)]) -> bool {
    let is_set = environment.iter().any(|(name, _)| name == "SDKROOT");
    // Hardly any job goes on from here.
    if !is_set && !words.iter().any(|word| word.starts_with(SYSROOT)) {
        return false;
    }
    let arguments = arguments::parse(words);
    let is_named = || arguments.iter().any(|it| it.option == SYSROOT);
    let target = arguments::target(&arguments).unwrap_or(default);
    let is_system = |part: &str| SYSTEMS_OF_APPLE.iter().any(|name| part.starts_with(name));
    let mut parts = target.split('-').skip(1);
    let is_apple = parts.any(|part| part == "apple" || is_system(part));
    is_apple && (is_set || is_named())
}

/// How the names of systems begin that have libraries of their own; those of Apple are others.
const SYSTEMS: [&str; 27] = [
    "linux",
    "android",
    "windows",
    "win32",
    "mingw",
    "cygwin",
    "msys",
    "uefi",
    "freebsd",
    "kfreebsd",
    "netbsd",
    "openbsd",
    "dragonfly",
    "fuchsia",
    "haiku",
    "hurd",
    "solaris",
    "aix",
    "wasi",
    "emscripten",
    "ohos",
    "zos",
    "ps4",
    "ps5",
    "serenity",
    "managarm",
    "redox",
];

/// Whether clang chooses libraries by a `multilib.yaml`, as it does for processors without a system: it
/// warns where none fits, and the file may make that an error. The file is in the sysroot, or it may be
/// `installed` with the compiler.
#[must_use]
pub fn asks_a_multilib(words: &[String], default: &str, installed: bool) -> bool {
    let names = |word: &String| word.starts_with("--sysroot") || word.starts_with("--multi-lib-");
    // Hardly any job goes on from here.
    if !installed && !words.iter().any(names) {
        return false;
    }
    let arguments = arguments::parse(words);
    let target = arguments::target(&arguments).unwrap_or(default);
    let is_system = |part: &str| {
        let mut names = SYSTEMS.iter().chain(&SYSTEMS_OF_APPLE);
        names.any(|name| part.starts_with(name))
    };
    !target.split('-').skip(1).any(is_system)
}

/// Whether clang chooses the version of PTX by the CUDA that it finds on this machine.
#[must_use]
pub fn asks_cuda(words: &[String], default: &str) -> bool {
    // Hardly any job goes on from here.
    if !default.starts_with(PTX) && !words.iter().any(|word| word.contains(PTX)) {
        return false;
    }
    let arguments = arguments::parse(words);
    arguments::target(&arguments)
        .unwrap_or(default)
        .starts_with(PTX)
}

/// Whether functions that name no features get those that the driver chooses by the GCC that it finds:
/// atomic operations out of line need the library of a recent one.
#[must_use]
pub fn depends_on_gcc(arguments: &[Argument<'_>], target: &str) -> bool {
    let is_said = |argument: &Argument<'_>| {
        matches!(
            &argument.words[0][..],
            "-moutline-atomics" | "-mno-outline-atomics"
        )
    };
    let library = |argument: &Argument<'_>| {
        let (option, library) = argument.words[0].split_once('=')?;
        matches!(option, "-rtlib" | "--rtlib").then(|| library.to_owned())
    };
    // clang's own library has them.
    let is_own = || arguments.iter().rev().find_map(library).as_deref() == Some("compiler-rt");
    is_aarch64(target) && target.contains("linux") && !arguments.iter().any(is_said) && !is_own()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asks(line: &str, environment: &[(&str, &str)]) -> bool {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        let environment = environment
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let environment: Vec<_> = environment.collect();
        asks_an_sdk(&words, "x86_64-pc-linux-gnu", &environment)
    }

    #[test]
    fn backends_for_apple_ask_the_sdk_that_is_named() {
        for target in [
            "arm64-apple-darwin",
            "x86_64-apple-darwin20.2",
            "arm64-apple-macosx13.0.0",
            "arm64-apple-ios17-simulator",
        ] {
            let line = format!("-c --target={target}");
            assert!(!asks(&line, &[]), "{target}");
            assert!(asks(&format!("{line} -isysroot s"), &[]), "{target}");
            assert!(asks(&line, &[("SDKROOT", "s")]), "{target}");
        }
        assert!(!asks(
            "-c --target=x86_64-linux-gnu -isysroot s",
            &[("SDKROOT", "s")]
        ));
        assert!(!asks("-c -isysroot s", &[("SDKROOT", "s")]));
    }

    #[test]
    fn backends_for_ptx_ask_the_cuda_of_this_machine() {
        let asks = |line: &str, default: &str| {
            let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
            asks_cuda(&words, default)
        };
        let linux = "x86_64-pc-linux-gnu";
        assert!(asks("-c --target=nvptx64-nvidia-cuda", linux));
        assert!(asks("-c -target nvptx-nvidia-cuda", linux));
        assert!(asks("-c", "nvptx64-nvidia-cuda"));
        assert!(!asks("-c nvptx.o", linux) && !asks("-c", linux));
    }

    #[test]
    fn backends_without_a_system_ask_the_sysroot_for_libraries() {
        let asks = |line: &str| {
            let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
            asks_a_multilib(&words, "x86_64-pc-linux-gnu", false)
        };
        for target in [
            "arm-none-eabi",
            "armv7m-unknown-none-eabihf",
            "aarch64-none-elf",
            "riscv32-unknown-elf",
            "aarch64",
            "arm-zephyr-eabi",
            "riscv32-esp-elf",
            "armv7em-acme-none-eabi",
        ] {
            assert!(
                asks(&format!("-c --target={target} --sysroot=s")),
                "{target}"
            );
            assert!(
                asks(&format!("-c --target={target} --sysroot s")),
                "{target}"
            );
            assert!(!asks(&format!("-c --target={target}")), "{target}");
        }
        assert!(!asks("-c --target=aarch64-linux-gnu --sysroot=s"));
        assert!(!asks("-c --target=x86_64-apple-macosx13 --sysroot=s"));
        assert!(!asks("-c --sysroot=s"));
        let installed = |target: &str| {
            let words = [format!("--target={target}")];
            asks_a_multilib(&words, "x86_64-pc-linux-gnu", true)
        };
        assert!(installed("arm-none-eabi"));
        assert!(!installed("aarch64-linux-gnu"));
    }

    #[test]
    fn gcc_decides_on_atomic_operations_where_nothing_else_does() {
        let depends = |line: &str, target: &str| {
            let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
            depends_on_gcc(&arguments::parse(&words), target)
        };
        let target = "aarch64-unknown-linux-gnu";
        assert!(depends("-c -O2", target));
        assert!(depends("-c -O2", "arm64-linux-gnu"));
        assert!(!depends("-c -moutline-atomics", target));
        assert!(!depends("-c -mno-outline-atomics", target));
        assert!(!depends("-c -rtlib=libgcc --rtlib=compiler-rt", target));
        assert!(depends("-c --rtlib=compiler-rt --rtlib=platform", target));
        assert!(!depends("-c", "aarch64-unknown-freebsd"));
        assert!(!depends("-c", "arm64-apple-macosx13.0.0"));
        assert!(!depends("-c", "x86_64-pc-linux-gnu"));
    }
}
