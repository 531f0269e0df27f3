//! What clang's driver takes from the machine where the arguments leave it open: an SDK of Apple, and an
//! installation of GCC. Neither is an input of a job.

use super::arguments::{self, Argument};
use crate::thinlto::is_aarch64;

const SYSROOT: &str = "-isysroot";

/// Systems whose version in a `--target` comes before that of an SDK. That of `darwin` does not.
const SYSTEMS: [&str; 7] = [
    "macos",
    "ios",
    "tvos",
    "watchos",
    "xros",
    "visionos",
    "driverkit",
];

/// Whether the version of the system may come from an SDK: from its name, or from the settings in it. clang
/// also warns of one that is not there. `words` are the arguments, `default` is the target where they name
/// none, `environment` has what clang heeds.
#[must_use]
pub fn asks_an_sdk(words: &[String], default: &str, environment: &[(String, String)]) -> bool {
    let is_set = environment.iter().any(|(name, _)| name == "SDKROOT");
    // Hardly any job goes on from here.
    if !is_set && !words.iter().any(|word| word.starts_with(SYSROOT)) {
        return false;
    }
    let arguments = arguments::parse(words);
    let named = arguments::target(&arguments);
    let is_apple = |target: &str| {
        let mut parts = target.split('-').skip(1);
        parts.any(|part| part == "apple" || part.starts_with("darwin") || is_system(part))
    };
    let is_named = arguments.iter().any(|it| it.option == SYSROOT);
    let matters = is_named || (is_set && !named.is_some_and(has_version));
    matters && is_apple(named.unwrap_or(default))
}

fn is_system(part: &str) -> bool {
    SYSTEMS.iter().any(|system| part.starts_with(system))
}

fn has_version(target: &str) -> bool {
    let is_versioned =
        |part: &str| is_system(part) && part.bytes().any(|byte| byte.is_ascii_digit());
    target.split('-').skip(1).any(is_versioned)
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
    is_aarch64(target) && target.contains("linux") && !arguments.iter().any(is_said)
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
    fn only_a_target_with_the_version_of_its_system_asks_no_sdk() {
        for target in [
            "arm64-apple-darwin",
            "x86_64-apple-darwin20.2",
            "arm64-apple-macos",
            "arm64-apple-ios",
        ] {
            let line = format!("-c --target={target}");
            assert!(!asks(&line, &[]), "{target}");
            assert!(asks(&format!("{line} -isysroot s"), &[]), "{target}");
            assert!(asks(&line, &[("SDKROOT", "s")]), "{target}");
        }
        for target in [
            "arm64-apple-macosx13.0.0",
            "arm64-apple-ios17-simulator",
            "x86_64-linux-gnu",
        ] {
            let line = format!("-c --target={target}");
            assert!(!asks(&line, &[("SDKROOT", "s")]), "{target}");
        }
        assert!(asks("-c --target=arm64-apple-ios17 -isysroot s", &[]));
        assert!(!asks("-c -isysroot s", &[("SDKROOT", "s")]));
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
        assert!(!depends("-c", "aarch64-unknown-freebsd"));
        assert!(!depends("-c", "arm64-apple-macosx13.0.0"));
        assert!(!depends("-c", "x86_64-pc-linux-gnu"));
    }
}
