//! What the linker's own LTO would print, made of the messages of two links.
//!
//! The thin link prints what a linker says up to its LTO: of options, inputs and symbols. The final
//! link goes over the same options again, sees other inputs, and prints what is said after LTO.

use std::collections::HashMap;

use memchr::{memchr_iter, memmem};

const ERROR: &[u8] = b"error: ";
const UNDEFINED: &[u8] = b"undefined symbol: ";

/// Whether what a linker `said` names undefined symbols, perhaps in colour and as the source has them.
#[must_use]
pub fn has_undefined_symbols(said: &[u8]) -> bool {
    memmem::find(said, UNDEFINED).is_some()
}

/// The symbols that `said`, by a linker that failed, names as undefined. `None` if it failed for
/// another reason, too.
pub(super) fn undefined_symbols(said: &[u8]) -> Option<Vec<&[u8]>> {
    let mut names = Vec::new();
    for line in said.split(|&byte| byte == b'\n') {
        let Some(at) = memmem::find(line, ERROR) else {
            continue;
        };
        let error = &line[at + ERROR.len()..];
        match error.strip_prefix(UNDEFINED) {
            Some(name) => names.push(name),
            None if error.starts_with(b"too many errors emitted") => {}
            None => return None,
        }
    }
    (!names.is_empty()).then_some(names)
}

/// The messages of a `thin` link of `linker`, and those of the `last` one that are not among them.
pub(super) fn merged(linker: &str, thin: &[u8], last: &[u8]) -> Vec<u8> {
    if thin.is_empty() {
        return last.to_vec();
    }
    let first = messages(linker, thin);
    let mut repeated: HashMap<&[u8], usize> = HashMap::new();
    for message in &first {
        *repeated.entry(message).or_default() += 1;
    }
    let last = messages(linker, last);
    let new = last.into_iter().filter(|message| {
        let left = repeated.get_mut(message).filter(|left| **left > 0);
        left.map(|left| *left -= 1).is_none()
    });
    let all: Vec<&[u8]> = first.iter().copied().chain(new).collect();
    let mut out = Vec::new();
    for (number, message) in all.iter().enumerate() {
        out.extend_from_slice(message);
        out.push(b'\n');
        // The linkers leave a line empty after a message of several.
        if message.contains(&b'\n') && number + 1 < all.len() {
            out.push(b'\n');
        }
    }
    out
}

/// The messages in `text`, without the ends of their last lines.
fn messages<'a>(linker: &str, text: &'a [u8]) -> Vec<&'a [u8]> {
    let begins = |line: &[u8]| {
        let rest = line.strip_prefix(linker.as_bytes());
        rest.is_some_and(|rest| rest.starts_with(b": "))
    };
    let mut starts = vec![0];
    let ends = memchr_iter(b'\n', text).map(|end| end + 1);
    starts.extend(ends.filter(|&at| begins(&text[at..])));
    starts.push(text.len());
    let parts = starts
        .windows(2)
        .map(|ends| without_end(&text[ends[0]..ends[1]]));
    parts.filter(|part| !part.is_empty()).collect()
}

fn without_end(mut message: &[u8]) -> &[u8] {
    while let Some(rest) = message.strip_suffix(b"\n") {
        message = rest;
    }
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(thin: &str, last: &str) -> String {
        String::from_utf8(merged("ld.lld", thin.as_bytes(), last.as_bytes())).expect("text")
    }

    #[test]
    fn a_message_of_both_links_is_shown_once() {
        assert_eq!(shown("", ""), "");
        let option = "ld.lld: warning: unknown -z value: foo\n";
        assert_eq!(shown(option, option), option);
        let twice = option.repeat(2);
        assert_eq!(shown(&twice, &twice), twice);
        assert_eq!(shown(option, &twice), twice);
        let common = "ld.lld: warning: multiple common of x\n";
        assert_eq!(
            shown(&format!("{option}{common}"), option),
            format!("{option}{common}")
        );
    }

    #[test]
    fn messages_of_several_lines_stay_whole_and_apart() {
        let long = |name| {
            format!(
                "ld.lld: warning: undefined symbol: {name}\n>>> referenced by a.c\n>>>               a.o:(f)\n"
            )
        };
        let (f, g) = (long("f"), long("g"));
        let last = format!("{f}\n{g}");
        assert_eq!(shown("", &last), last);
        assert_eq!(shown(&f, &last), last);
        let option = "ld.lld: warning: unknown -z value: foo\n";
        assert_eq!(shown(option, &last), format!("{option}{last}"));
        assert_eq!(
            shown("warning: of a library\n", &f),
            format!("warning: of a library\n{f}")
        );
    }
}
