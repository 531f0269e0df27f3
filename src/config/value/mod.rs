//! The parsers of single values: switches, words, addresses, paths, pairs; `quantity` and `secret`
//! have the others.
//!
//! Each takes the text of one value, whatever source it is from, and returns the type of the field
//! that uses it, or [`InvalidValue`], which says what the text should have been. The name of the
//! option and the place of the value are added in `resolve`.

mod quantity;
mod secret;

use std::path::{Component, Path, PathBuf};

pub use quantity::time_span;
pub(super) use quantity::{
    REMOTE_JOBS, count, count_or_auto, duration_or_zero, integer, local_memory, memory_taken,
    number, number_taken, percent, positive_duration, precedence, size, size_or_zero, slots_taken,
    smallness, time_taken,
};
pub(super) use secret::{header, refers};

use super::environment::Environment;
use super::identity::is_identifier;
use crate::compiler::ToolchainSource;
use crate::error::Hinted as _;
use crate::reapi::{Address, AddressError, CredentialHelper};

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

/// The measure of a switch that is on by default: on is more than off.
pub(super) fn is_on(input: Option<&ValueText<'_>>) -> Result<u64, InvalidValue> {
    Ok(input.map(boolean).transpose()?.unwrap_or(true).into())
}

/// The measure of a switch that, where it is not set, is on within bounds: on is more than that.
pub(super) fn is_on_everywhere(input: Option<&ValueText<'_>>) -> Result<u64, InvalidValue> {
    Ok(match input.map(boolean).transpose()? {
        Some(false) => 0,
        None => 1,
        Some(true) => 2,
    })
}

/// The measure of what is used in some way or another, or not at all.
#[expect(clippy::unnecessary_wraps, reason = "it is one of the measures")]
pub(super) fn is_used(input: Option<&ValueText<'_>>) -> Result<u64, InvalidValue> {
    let off = input.is_some_and(|input| input.text.eq_ignore_ascii_case("off"));
    Ok((!off).into())
}

/// The text as it is.
#[expect(clippy::unnecessary_wraps, reason = "it is one of the parsers")]
pub(super) fn text(input: &ValueText<'_>) -> Result<String, InvalidValue> {
    Ok(input.text.to_owned())
}

/// The address of a server that speaks gRPC. The relative path of a socket is relative to where it
/// is written.
pub(super) fn address(input: &ValueText<'_>) -> Result<Address, InvalidValue> {
    Ok(cache_address(input)?.of_grpc()?)
}

/// As [`address`], or that of an HTTP cache.
pub(super) fn cache_address(input: &ValueText<'_>) -> Result<Address, InvalidValue> {
    Ok(match input.text.parse()? {
        Address::Unix(path) => Address::Unix(input.base.join(path)),
        address => address,
    })
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

/// The path of a PEM file.
pub(super) fn pem_file(input: &ValueText<'_>) -> Result<PathBuf, InvalidValue> {
    if is_pem(input.text) {
        let invalid = InvalidValue::new("expected the name of a file, not what is in it");
        return Err(invalid.hint("put it into a file that nobody else can read, and name that"));
    }
    path(input)
}

/// Whether `text` is a key or a certificate itself, as services keep them in variables: in PEM, or that
/// in base64.
pub(super) fn is_pem(text: &str) -> bool {
    text.contains("-----BEGIN") || text.trim_start().starts_with("LS0tLS1CRUdJTi")
}

/// A directory that is named in objects: relative to the current one if it is written so and below
/// the directory that it is relative to, so that the objects do not depend on where the tree is.
pub(super) fn dwo_dir(input: &ValueText<'_>) -> Result<String, InvalidValue> {
    let text = |path: &Path| {
        let text = path.to_str().map(str::to_owned);
        text.ok_or_else(|| InvalidValue::new("expected a path in UTF-8"))
    };
    let below = input.environment.current_dir().strip_prefix(input.base);
    match below {
        Ok(below) if Path::new(input.text).is_relative() && !input.text.starts_with("~/") => {
            text(&relative(Path::new(input.text), below))
        }
        _ => text(&located(input.text, input)),
    }
}

/// `path`, relative to some directory, as it is named in the directory `below` that one.
fn relative(path: &Path, below: &Path) -> PathBuf {
    let (mut path, mut below) = (path.components(), below.components());
    while below.clone().next().is_some() && path.clone().next() == below.clone().next() {
        path.next();
        below.next();
    }
    let up = below.map(|_| Component::ParentDir);
    let relative: PathBuf = up.chain(path).collect();
    if relative.as_os_str().is_empty() {
        PathBuf::from(".")
    } else {
        relative
    }
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
    let (host, program) = host_and_program(input.text);
    let program = if program.contains('/') {
        located(program, input)
    } else {
        PathBuf::from(program)
    };
    Ok(CredentialHelper {
        host: host.map(str::to_owned),
        program,
    })
}

/// The parts of a credential helper; without a host it is for all.
pub(super) fn host_and_program(text: &str) -> (Option<&str>, &str) {
    match text.split_once('=') {
        Some((host, program)) => (Some(host), program),
        None => (None, text),
    }
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
    fn a_relative_path_is_renamed_for_a_directory_below_its_own() {
        let of = |path, below| relative(Path::new(path), Path::new(below));
        assert_eq!(of("dwo", ""), Path::new("dwo"));
        assert_eq!(of("dwo", "build/x"), Path::new("../../dwo"));
        assert_eq!(of("build/dwo", "build"), Path::new("dwo"));
        assert_eq!(of("build", "build"), Path::new("."));
        assert_eq!(of("../dwo", "build"), Path::new("../../dwo"));
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
}
