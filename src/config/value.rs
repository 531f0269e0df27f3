//! The meaning of single values: switches, numbers, durations, sizes, headers.
//!
//! Enters: the text of one value, whatever source it is from. Leaves: a typed value, or `Wrong`,
//! which says what the text should have been. Which option the value is for, and where it stands,
//! is added by `settings`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::environment::Environment;
use super::secret::Secret;
use crate::digest::DigestFunction;
use crate::error::Hinted as _;
use crate::reapi::{Address, AddressError};

/// Why a text is not a value of the kind that was asked for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Wrong {
    pub(super) reason: String,
    pub(super) hint: Option<String>,
}

impl Wrong {
    pub(super) fn new(reason: impl Into<String>) -> Self {
        Self {
            reason: reason.into(),
            hint: None,
        }
    }

    pub(super) fn hint(mut self, hint: &str) -> Self {
        self.hint = Some(hint.to_owned());
        self
    }
}

/// The address of a server.
pub(super) fn address(text: &str) -> Result<Address, Wrong> {
    text.parse().map_err(|error: AddressError| {
        let hint = error.hints().concat();
        Wrong::new(error.to_string()).hint(&hint)
    })
}

/// Bazel's spellings of a boolean.
pub(super) fn boolean(text: &str) -> Result<bool, Wrong> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" | "y" | "t" | "on" => Ok(true),
        "false" | "0" | "no" | "n" | "f" | "off" => Ok(false),
        _ => Err(Wrong::new("it is no boolean").hint("write `true` or `false`")),
    }
}

/// A whole number from `least` on.
pub(super) fn number(text: &str, least: usize) -> Result<usize, Wrong> {
    match text.parse() {
        Ok(number) if number >= least => Ok(number),
        _ => Err(Wrong::new(format!("it is no whole number from {least} on"))),
    }
}

/// A number from 1 on, or `auto`.
pub(super) fn number_or_auto(text: &str) -> Result<Option<usize>, Wrong> {
    if text == "auto" {
        return Ok(None);
    }
    number(text, 1)
        .map(Some)
        .map_err(|wrong| wrong.hint("write a number or `auto`"))
}

/// A duration as Bazel takes it: `90s`, `5m`, `1h`, `500ms`; a plain number counts seconds.
pub(super) fn duration(text: &str) -> Result<Duration, Wrong> {
    let digits = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let duration = number
        .parse()
        .ok()
        .and_then(|number: u64| match unit.trim() {
            "ms" => Some(Duration::from_millis(number)),
            "s" | "" => Some(Duration::from_secs(number)),
            "m" => Some(Duration::from_secs(number.checked_mul(60)?)),
            "h" => Some(Duration::from_secs(number.checked_mul(3600)?)),
            "d" => Some(Duration::from_secs(number.checked_mul(86400)?)),
            _ => None,
        });
    duration.ok_or_else(|| {
        Wrong::new("it is no duration")
            .hint("write it as in 500ms, 90s, 5m or 1h; a plain number counts seconds")
    })
}

/// Bytes, as in `500M` or `20G`. Units are powers of 1024, with or without a `B` or `iB` behind
/// them.
pub(super) fn size(text: &str) -> Result<u64, Wrong> {
    let digits = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let unit = unit.trim().to_ascii_uppercase();
    let unit = unit.strip_suffix('B').unwrap_or(&unit);
    let shift = match unit.strip_suffix('I').unwrap_or(unit) {
        "" => 0,
        "K" => 10,
        "M" => 20,
        "G" => 30,
        "T" => 40,
        _ => 64,
    };
    let bytes = number
        .parse()
        .ok()
        .and_then(|number: u64| number.checked_mul(1_u64.checked_shl(shift)?));
    bytes.ok_or_else(|| Wrong::new("it is no size").hint("write it as in 500M, 20G or 1T"))
}

/// `KEY=VALUE`, as platform properties are written. The value may be empty and may hold further
/// `=`.
pub(super) fn pair(text: &str) -> Result<(String, String), Wrong> {
    match text.split_once('=') {
        Some((key, value)) if !key.trim().is_empty() => {
            Ok((key.trim().to_owned(), value.to_owned()))
        }
        _ => Err(Wrong::new("it is not of the form NAME=VALUE")),
    }
}

/// A path; `~/` is the user's own directory, and a relative one starts from `base`.
pub(super) fn path(text: &str, base: &Path, environment: &Environment) -> PathBuf {
    match (text.strip_prefix("~/"), environment.home()) {
        (Some(rest), Some(home)) => home.join(rest),
        _ => base.join(text),
    }
}

/// The value of a header: `@FILE` stands for the file's text without the line break at its end,
/// `${NAME}` for an environment variable. Text that comes with somebody's sources may use neither:
/// it could send any file anywhere.
pub(super) fn secret(
    text: &str,
    base: &Path,
    environment: &Environment,
    project: bool,
) -> Result<Secret, Wrong> {
    let refers = text.starts_with('@') || text.contains("${");
    if project && refers {
        return Err(
            Wrong::new("a `.relto.toml` may not refer to files or variables").hint(
                "it comes with other people's sources; put the header into your own `config.toml`",
            ),
        );
    }
    let value = match text.strip_prefix('@') {
        Some(file) => fs_err::read_to_string(path(file, base, environment))
            .map_err(|error| Wrong::new(error.to_string()))?
            .trim_end()
            .to_owned(),
        None => expanded(text, environment)?,
    };
    if value
        .bytes()
        .any(|byte| byte < b' ' && byte != b'\t' || byte == 0x7f)
    {
        return Err(Wrong::new("it holds a character that headers cannot carry"));
    }
    Ok(Secret::new(value))
}

fn expanded(text: &str, environment: &Environment) -> Result<String, Wrong> {
    let mut expanded = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        let Some((name, behind)) = after.split_once('}') else {
            return Err(Wrong::new("`${` has no `}`"));
        };
        let value = environment.get(name).and_then(|value| value.to_str());
        let Some(value) = value else {
            return Err(Wrong::new(format!(
                "the environment variable `{name}` is not set"
            )));
        };
        expanded.push_str(before);
        expanded.push_str(value);
        rest = behind;
    }
    expanded.push_str(rest);
    Ok(expanded)
}

/// One of a few words.
pub(super) fn word<T: Copy>(text: &str, words: &[(&str, T)]) -> Result<T, Wrong> {
    let found = words
        .iter()
        .find(|(word, _)| text.eq_ignore_ascii_case(word));
    found.map(|(_, meaning)| *meaning).ok_or_else(|| {
        let known: Vec<_> = words.iter().map(|(word, _)| format!("`{word}`")).collect();
        Wrong::new("it is unknown").hint(&format!("choose among {}", known.join(", ")))
    })
}

pub(super) fn digest_function(text: &str) -> Result<DigestFunction, Wrong> {
    let words = [
        ("sha256", DigestFunction::Sha256),
        ("blake3", DigestFunction::Blake3),
    ];
    word(text, &words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_sizes_have_units() {
        assert_eq!(duration("60"), Ok(Duration::from_mins(1)));
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("5m"), Ok(Duration::from_mins(5)));
        assert_eq!(size("10G"), Ok(10 << 30));
        assert_eq!(size("500 MiB"), Ok(500 << 20));
        assert_eq!(size("7"), Ok(7));
        for bad in ["", "s", "-1s", "1.5s", "5 parsecs", "99999999999999999999"] {
            assert!(duration(bad).is_err(), "{bad}");
            assert!(size(bad).is_err(), "{bad}");
        }
        assert!(size("18446744073709551615K").is_err());
        assert!(duration("18446744073709551615d").is_err());
    }

    #[test]
    fn pairs_keep_further_equal_signs() {
        assert_eq!(pair("a=b=c"), Ok(("a".to_owned(), "b=c".to_owned())));
        assert!(pair("=x").is_err());
        assert!(pair("x").is_err());
    }

    #[test]
    fn secrets_come_from_files_and_variables_but_not_for_projects() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        fs_err::write(dir.path().join("token"), "from file\n").expect("written");
        let environment = Environment::new(dir.path(), [("TOKEN", "from variable".to_owned())]);
        let of = |text: &str, project| {
            secret(text, dir.path(), &environment, project).map(|secret| secret.expose().to_owned())
        };
        assert_eq!(of("@token", false).as_deref(), Ok("from file"));
        assert_eq!(
            of("Bearer ${TOKEN}!", false).as_deref(),
            Ok("Bearer from variable!")
        );
        assert_eq!(of("costs $5", true).as_deref(), Ok("costs $5"));
        assert!(of("${ABSENT}", false).is_err());
        assert!(of("@absent", false).is_err());
        assert!(of("@token", true).is_err());
        assert!(of("${TOKEN}", true).is_err());
        assert!(of("a\r\nb: c", false).is_err());
    }
}
