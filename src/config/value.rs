//! The parsers of single values: switches, numbers, durations, sizes, headers.
//!
//! Each takes the text of one value, whatever source it is from, and returns the type of the field
//! that uses it, or [`InvalidValue`], which says what the text should have been. The name of the
//! option and the place of the value are added in `resolve`.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::environment::Environment;
use super::identity::is_identifier;
use crate::compiler::ToolchainSource;
use crate::error::Hinted as _;
use crate::process::LocalMemory;
use crate::reapi::{Address, AddressError, CredentialHelper, Header};

/// The default limit of remote executions.
pub(super) const REMOTE_JOBS: NonZeroUsize = NonZeroUsize::new(256).expect("not zero");

/// The text of one value, and the context that its meaning depends on.
#[derive(Debug, Clone, Copy)]
pub(super) struct ValueText<'a> {
    pub(super) text: &'a str,
    /// The directory that a relative path starts from.
    pub(super) base: &'a Path,
    pub(super) environment: &'a Environment,
    /// The value is part of a source tree.
    pub(super) in_tree: bool,
}

/// Why a text is not a value of the requested type.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct InvalidValue {
    pub(super) reason: String,
    pub(super) hint: Option<String>,
}

impl InvalidValue {
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

impl From<AddressError> for InvalidValue {
    fn from(error: AddressError) -> Self {
        Self::new(error.to_string()).hint(&error.hints().concat())
    }
}

/// Bazel's spellings of a boolean.
pub(super) fn boolean(input: &ValueText<'_>) -> Result<bool, InvalidValue> {
    match input.text.to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" | "y" | "t" | "on" => Ok(true),
        "false" | "0" | "no" | "n" | "f" | "off" => Ok(false),
        _ => Err(InvalidValue::new("expected a boolean").hint("write `true` or `false`")),
    }
}

/// The text as it is.
#[expect(clippy::unnecessary_wraps, reason = "it is one of the parsers")]
pub(super) fn text(input: &ValueText<'_>) -> Result<String, InvalidValue> {
    Ok(input.text.to_owned())
}

/// The address of a server. The relative path of a socket is relative to where it is written.
pub(super) fn address(input: &ValueText<'_>) -> Result<Address, InvalidValue> {
    Ok(match input.text.parse()? {
        Address::Unix(path) => Address::Unix(input.base.join(path)),
        address @ Address::Tcp { .. } => address,
    })
}

/// A whole number.
pub(super) fn number(input: &ValueText<'_>) -> Result<u32, InvalidValue> {
    let number = input.text.parse();
    number.map_err(|_| InvalidValue::new("expected a whole number"))
}

/// A whole number, which may be negative.
pub(super) fn integer(input: &ValueText<'_>) -> Result<i32, InvalidValue> {
    let number = input.text.parse();
    number.map_err(|_| InvalidValue::new("expected a whole number"))
}

/// What servers take for an identifier.
pub(super) fn identifier(input: &ValueText<'_>) -> Result<String, InvalidValue> {
    if is_identifier(input.text) {
        return Ok(input.text.to_owned());
    }
    Err(InvalidValue::new(
        "expected an identifier: up to 256 letters, digits and signs, without blanks",
    ))
}

/// A whole number that is not 0.
pub(super) fn count(input: &ValueText<'_>) -> Result<NonZeroUsize, InvalidValue> {
    let number = input.text.parse();
    number.map_err(|_| InvalidValue::new("expected a whole number of at least 1"))
}

/// A whole number that is not 0, or `auto`.
pub(super) fn count_or_auto(input: &ValueText<'_>) -> Result<Option<NonZeroUsize>, InvalidValue> {
    if input.text == "auto" {
        return Ok(None);
    }
    let number = count(input).map(Some);
    number.map_err(|invalid| invalid.hint("write a number or `auto`"))
}

/// A duration in Bazel's form: `90s`, `5m`, `1h`, `500ms`; a plain number counts seconds.
fn duration(text: &str) -> Result<Duration, InvalidValue> {
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
        InvalidValue::new("expected a duration")
            .hint("write it as in 500ms, 90s, 5m or 1h; a plain number counts seconds")
    })
}

/// Parses a duration as options do, for variables that are not options.
///
/// # Errors
/// What the text should have been.
pub fn time_span(text: &str) -> Result<Duration, String> {
    duration(text).map_err(|invalid| {
        let hint = invalid.hint.unwrap_or_default();
        format!("{}: {hint}", invalid.reason)
    })
}

pub(super) fn positive_duration(input: &ValueText<'_>) -> Result<Duration, InvalidValue> {
    let duration = duration(input.text)?;
    if duration.is_zero() {
        return Err(InvalidValue::new("must be greater than zero"));
    }
    Ok(duration)
}

/// `None` for a duration of 0.
pub(super) fn duration_or_zero(input: &ValueText<'_>) -> Result<Option<Duration>, InvalidValue> {
    Ok(Some(duration(input.text)?).filter(|duration| !duration.is_zero()))
}

/// Bytes, as in `500M` or `20G`. Units are powers of 1024, with or without a `B` or `iB` behind
/// them.
fn bytes(text: &str) -> Result<u64, InvalidValue> {
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
    bytes.ok_or_else(|| InvalidValue::new("expected a size").hint("write it as in 500M, 20G or 1T"))
}

pub(super) fn size(input: &ValueText<'_>) -> Result<u64, InvalidValue> {
    bytes(input.text)
}

/// `None` for a size of 0.
pub(super) fn size_or_zero(input: &ValueText<'_>) -> Result<Option<u64>, InvalidValue> {
    Ok(Some(bytes(input.text)?).filter(|&size| size > 0))
}

/// A share in percent, decimals allowed, with or without the sign.
pub(super) fn percent(input: &ValueText<'_>) -> Result<f64, InvalidValue> {
    let number = input.text.strip_suffix('%').unwrap_or(input.text).trim();
    let is_plain = number
        .bytes()
        .all(|byte| byte.is_ascii_digit() || byte == b'.');
    let percent = number.parse().ok();
    percent
        .filter(|percent| is_plain && (0.0..=100.0).contains(percent))
        .ok_or_else(|| {
            InvalidValue::new("expected a percentage from 0 to 100")
                .hint("write it as in 2, 0.5 or 100")
        })
}

/// The memory for compilers here: `auto`, `off`, or as Bazel takes it, a number of MiB or a part of
/// `HOST_RAM`; also a size with a unit.
pub(super) fn local_memory(input: &ValueText<'_>) -> Result<LocalMemory, InvalidValue> {
    match input.text {
        "auto" => Ok(LocalMemory::Free),
        "off" => Ok(LocalMemory::Unlimited),
        text => memory_size(text, LocalMemory::of_host()).map(LocalMemory::AtMost),
    }
}

fn memory_size(text: &str, host: Option<u64>) -> Result<u64, InvalidValue> {
    const MIB: u64 = 1 << 20;
    let invalid = || {
        InvalidValue::new("expected an amount of memory")
            .hint("write it as in 8G, HOST_RAM*.5 or HOST_RAM-2048; a plain number counts MiB")
    };
    let mebibytes = |text: &str| text.parse().ok().and_then(|it: u64| it.checked_mul(MIB));
    let Some(part) = text.strip_prefix("HOST_RAM") else {
        let amount = mebibytes(text).or_else(|| bytes(text).ok());
        return amount.filter(|amount| *amount > 0).ok_or_else(invalid);
    };
    // Where the kernel does not say what there is, no part of it is a limit.
    let host = host.unwrap_or(u64::MAX);
    if part.is_empty() {
        return Ok(host);
    }
    if let Some(less) = part.strip_prefix('-').and_then(mebibytes) {
        return Ok(host.saturating_sub(less));
    }
    let factor = part.strip_prefix('*').and_then(|it| it.parse().ok());
    let factor = factor.filter(|it: &f64| it.is_finite() && *it > 0.0);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        clippy::cast_sign_loss,
        reason = "an amount of memory need not be exact, and casts of large numbers saturate"
    )]
    let product = |factor: f64| (host as f64 * factor) as u64;
    factor.map(product).ok_or_else(invalid)
}

/// `KEY=VALUE`, as platform properties are written. The value may be empty and may hold further
/// `=`.
pub(super) fn pair(input: &ValueText<'_>) -> Result<(String, String), InvalidValue> {
    match input.text.split_once('=') {
        Some((key, value)) if !key.trim().is_empty() => {
            Ok((key.trim().to_owned(), value.to_owned()))
        }
        _ => Err(InvalidValue::new("expected NAME=VALUE")),
    }
}

/// A path; `~/` is the user's own directory, and a relative one starts from where it is written.
#[expect(clippy::unnecessary_wraps, reason = "it is one of the parsers")]
pub(super) fn path(input: &ValueText<'_>) -> Result<PathBuf, InvalidValue> {
    Ok(located(input.text, input))
}

/// A path, or `off`.
pub(super) fn path_or_off(input: &ValueText<'_>) -> Result<Option<PathBuf>, InvalidValue> {
    match input.text {
        "" | "off" => Ok(None),
        _ => path(input).map(Some),
    }
}

fn located(path: &str, input: &ValueText<'_>) -> PathBuf {
    located_path(path, input.base, input.environment)
}

/// The file that `path` names where relative paths start from `base`.
pub(super) fn located_path(path: &str, base: &Path, environment: &Environment) -> PathBuf {
    match (path.strip_prefix("~/"), environment.home()) {
        (Some(rest), Some(home)) => home.join(rest),
        _ => base.join(path),
    }
}

/// `upload`, `worker`, or a directory of compilers. The latter holds programs to run, so no source
/// tree may name it.
pub(super) fn toolchain(input: &ValueText<'_>) -> Result<ToolchainSource, InvalidValue> {
    match input.text {
        "upload" => Ok(ToolchainSource::Upload),
        "worker" => Ok(ToolchainSource::Worker),
        _ if input.in_tree => Err(InvalidValue::new(
            "a `.relto.toml` must not name a directory of programs",
        )
        .hint(USE_OWN_SOURCE)),
        _ => path(input).map(ToolchainSource::Dir),
    }
}

/// The hint for a setting in a source tree that only the user may make.
pub(super) const USE_OWN_SOURCE: &str = "the file comes with a source tree; use the command line, the environment or your own \
     `config.toml`";

/// `[HOST=]PROGRAM`. A program without a slash is looked up in `PATH` when it is needed.
#[expect(clippy::unnecessary_wraps, reason = "it is one of the parsers")]
pub(super) fn credential_helper(input: &ValueText<'_>) -> Result<CredentialHelper, InvalidValue> {
    let (host, program) = match input.text.split_once('=') {
        Some((host, program)) => (Some(host.to_owned()), program),
        None => (None, input.text),
    };
    let program = if program.contains('/') {
        located(program, input)
    } else {
        PathBuf::from(program)
    };
    Ok(CredentialHelper { host, program })
}

/// `NAME=VALUE`, where `@FILE` as the value stands for the file's text and `${NAME}` for an
/// environment variable.
pub(super) fn header(input: &ValueText<'_>) -> Result<Header, InvalidValue> {
    let (name, value) = pair(input)?;
    let name = http::HeaderName::from_bytes(name.as_bytes())
        .map_err(|_| InvalidValue::new("headers cannot have that name"))?;
    Ok(Header {
        name: name.to_string(),
        value: secret(&value, input)?,
    })
}

/// The value of a header: `@FILE` stands for the file's text without the line break at its end,
/// `${NAME}` for an environment variable. Text from a source tree may use neither:
/// it could send any file anywhere.
fn secret(text: &str, input: &ValueText<'_>) -> Result<String, InvalidValue> {
    let refers = text.starts_with('@') || text.contains("${");
    if input.in_tree && refers {
        return Err(
            InvalidValue::new("a `.relto.toml` must not refer to files or variables").hint(
                "the file comes with a source tree; put the header into your own `config.toml`",
            ),
        );
    }
    let value = match text.strip_prefix('@') {
        Some(file) => fs_err::read_to_string(located(file, input))
            .map_err(|error| InvalidValue::new(error.to_string()))?
            .trim_end()
            .to_owned(),
        None => expanded(text, input.environment)?,
    };
    if value
        .bytes()
        .any(|byte| byte < b' ' && byte != b'\t' || byte == 0x7f)
    {
        return Err(InvalidValue::new(
            "the value holds a character that headers cannot carry",
        ));
    }
    Ok(value)
}

fn expanded(text: &str, environment: &Environment) -> Result<String, InvalidValue> {
    let mut expanded = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        let Some((name, behind)) = after.split_once('}') else {
            return Err(InvalidValue::new("`${` has no `}`"));
        };
        let value = environment.get(name).and_then(|value| value.to_str());
        let Some(value) = value else {
            return Err(InvalidValue::new(format!(
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
pub(super) fn word<T: Copy>(text: &str, words: &[(&str, T)]) -> Result<T, InvalidValue> {
    let found = words
        .iter()
        .find(|(word, _)| text.eq_ignore_ascii_case(word));
    found.map(|(_, meaning)| *meaning).ok_or_else(|| {
        let known: Vec<_> = words.iter().map(|(word, _)| format!("`{word}`")).collect();
        InvalidValue::new("unknown word").hint(&format!("choose among {}", known.join(", ")))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_sizes_have_units() {
        assert_eq!(duration("60"), Ok(Duration::from_mins(1)));
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("5m"), Ok(Duration::from_mins(5)));
        assert_eq!(bytes("10G"), Ok(10 << 30));
        assert_eq!(bytes("500 MiB"), Ok(500 << 20));
        assert_eq!(bytes("7"), Ok(7));
        for bad in ["", "s", "-1s", "1.5s", "5 parsecs", "99999999999999999999"] {
            assert!(duration(bad).is_err(), "{bad}");
            assert!(bytes(bad).is_err(), "{bad}");
        }
        assert!(bytes("18446744073709551615K").is_err());
        assert!(duration("18446744073709551615d").is_err());
    }

    #[test]
    fn percentages_have_decimals_and_bounds() {
        let environment = Environment::default();
        let of = |text| {
            percent(&ValueText {
                text,
                base: Path::new("/"),
                environment: &environment,
                in_tree: false,
            })
        };
        for (text, number) in [("0", 0.0), ("2", 2.0), ("0.5", 0.5), ("100%", 100.0)] {
            assert_eq!(of(text), Ok(number));
        }
        for bad in ["", "%", "-1", "100.01", "1e1", "NaN", "inf", "2,5", "two"] {
            assert!(of(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn memory_is_written_as_bazel_has_it_or_as_a_size() {
        let of = |text| memory_size(text, Some(16 << 30));
        assert_eq!(of("2048"), Ok(2 << 30));
        assert_eq!(of("8G"), Ok(8 << 30));
        assert_eq!(of("HOST_RAM"), Ok(16 << 30));
        assert_eq!(of("HOST_RAM*.5"), Ok(8 << 30));
        assert_eq!(of("HOST_RAM-1024"), Ok(15 << 30));
        for bad in ["", "0", "HOST_RAM*", "HOST_RAM+1", "HOST_RAM*-1", "much"] {
            assert!(of(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn pairs_keep_further_equal_signs() {
        let environment = Environment::default();
        let of = |text| {
            pair(&ValueText {
                text,
                base: Path::new("/"),
                environment: &environment,
                in_tree: false,
            })
        };
        assert_eq!(of("a=b=c"), Ok(("a".to_owned(), "b=c".to_owned())));
        assert!(of("=x").is_err());
        assert!(of("x").is_err());
    }

    #[test]
    fn secrets_come_from_files_and_variables_but_not_in_a_tree() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        fs_err::write(dir.path().join("token"), "from file\n").expect("written");
        let environment = Environment::new(dir.path(), [("TOKEN", "from variable".to_owned())]);
        let of = |text: &str, in_tree| {
            let input = ValueText {
                text,
                base: dir.path(),
                environment: &environment,
                in_tree,
            };
            secret(text, &input)
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
