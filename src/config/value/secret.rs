//! The parser of headers, whose values may come from files and variables.

use std::io::ErrorKind;
use std::path::Path;

use super::{InvalidValue, ValueText, located, pair};
use crate::config::environment::Environment;
use crate::fs::read_at_most;
use crate::reapi::Header;

/// Bytes of a file that holds the value of a header. It goes with every call, and servers take less.
const LARGEST_HEADER: u64 = 64 << 10;

/// `NAME=VALUE`, where `@FILE` as the value stands for the file's text and `${NAME}` for an
/// environment variable.
pub(in crate::config) fn header(input: &ValueText<'_>) -> Result<Header, InvalidValue> {
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
    if input.in_tree && refers(text) {
        return Err(
            InvalidValue::new("a `.relto.toml` must not refer to files or variables").hint(
                "the file comes with a source tree; put the header into your own `config.toml`",
            ),
        );
    }
    let value = match text.strip_prefix('@') {
        Some(file) => of_file(&located(file, input))?,
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

fn of_file(path: &Path) -> Result<String, InvalidValue> {
    let bytes = read_at_most(path, LARGEST_HEADER).map_err(|error| {
        let invalid = InvalidValue::new(error.to_string());
        if error.kind() == ErrorKind::FileTooLarge {
            invalid.hint("name a file that holds the value of this header and nothing else")
        } else {
            invalid
        }
    })?;
    let not_text = || format!("`{}` is not valid UTF-8", path.display());
    let text = String::from_utf8(bytes).map_err(|_| InvalidValue::new(not_text()))?;
    Ok(text.trim_end().to_owned())
}

/// Whether the value of a header comes from a file or a variable that it names.
pub(in crate::config) fn refers(text: &str) -> bool {
    text.starts_with('@') || text.contains("${")
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

#[cfg(test)]
mod tests {
    use super::*;

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
        fs_err::write(dir.path().join("binary"), b"\xff").expect("written");
        assert!(of("@binary", false).is_err());
        let giant = fs_err::File::create(dir.path().join("giant")).expect("made");
        giant.set_len(1 << 40).expect("lengthened");
        for endless in ["@/dev/zero", "@giant"] {
            let error = of(endless, false).expect_err("refused");
            assert!(error.reason.ends_with("is longer than 64 KiB"), "{error:?}");
            assert!(error.hint.is_some());
        }
        assert!(of("@token", true).is_err());
        assert!(of("${TOKEN}", true).is_err());
        assert!(of("a\r\nb: c", false).is_err());
    }
}
