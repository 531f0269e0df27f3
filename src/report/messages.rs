//! Renders errors, warnings and compiler messages as whole blocks that end with a line break.
//!
//! The blocks have the styles of a terminal; the writer removes them elsewhere and respects
//! `NO_COLOR`. `relto:` and the word `error` or `warning` say everything that the colour says.

use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};

use crate::error::{Hinted, WithCauses};
use crate::text;

const ERROR: Style = AnsiColor::Red.on_default().bold();
const WARNING: Style = AnsiColor::Yellow.on_default().bold();
const HINT: Style = AnsiColor::Cyan.on_default();
/// Paths are no longer.
const LONGEST_NAME: usize = 4096;

/// An error with its causes and hints.
#[must_use]
pub fn error(error: &dyn Hinted) -> String {
    let mut block = headed(ERROR, "error", &WithCauses(error).to_string());
    for text in error.hints() {
        hint(&mut block, &text);
    }
    block
}

/// A warning with its hint.
#[must_use]
pub fn warning(text: &str, way_out: Option<&str>) -> String {
    let mut block = headed(WARNING, "warning", text);
    if let Some(text) = way_out {
        hint(&mut block, text);
    }
    block
}

/// Where the page of a link or a build is, in Bazel's words.
#[must_use]
pub fn streaming(page: &str) -> String {
    format!("Streaming build results to: {page}")
}

/// The compiler's messages for one module, unchanged.
#[must_use]
pub fn of_compiler(module: Option<&str>, text: &str) -> String {
    let module = text::one_line(module.unwrap_or("an unknown module"), LONGEST_NAME);
    format!(
        "relto: messages for `{module}`:\n{}\n",
        text.trim_end_matches('\n')
    )
}

fn headed(style: Style, word: &str, text: &str) -> String {
    format!("relto: {style}{word}:{style:#} {}\n", contained(text))
}

fn hint(block: &mut String, text: &str) {
    let _ = writeln!(block, "  {HINT}hint:{HINT:#} {}", contained(text));
}

/// A text with names that somebody else may have chosen: no control characters, and no line that
/// could pass for a message of its own.
fn contained(text: &str) -> String {
    let clean = text::messages(text);
    let mut lines = clean.split('\n');
    let mut contained = lines.next().unwrap_or_default().to_owned();
    for line in lines {
        let indent = if line.is_empty() || line.starts_with(' ') {
            ""
        } else {
            "  "
        };
        let _ = write!(contained, "\n{indent}{line}");
    }
    contained
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_its_colours_a_block_says_the_same() {
        let block = warning("the cache is full", Some("make room"));
        let plain = anstream::adapter::strip_str(&block).to_string();
        insta::assert_snapshot!(plain, @r"
        relto: warning: the cache is full
          hint: make room
        ");
        assert!(block.len() > plain.len(), "a terminal gets colours");
    }

    #[test]
    fn names_do_not_act_on_a_terminal_and_forge_no_message() {
        let name = "x\u{1b}]0;title\u{7}\nrelto: error: forged";
        let block = warning(&format!("`{name}` is damaged"), Some(name));
        let plain = anstream::adapter::strip_str(&block).to_string();
        insta::assert_snapshot!(plain, @r"
        relto: warning: `x
          relto: error: forged` is damaged
          hint: x
          relto: error: forged
        ");
        let block = of_compiler(Some(name), "warning: y");
        assert_eq!(block.lines().count(), 2, "{block}");
        assert!(!block.contains(['\u{1b}', '\u{7}']), "{block:?}");
    }

    #[test]
    fn compiler_messages_are_kept_and_end_with_one_line_break() {
        assert_eq!(
            of_compiler(Some("a.o"), "warning: x\n  y\n\n"),
            "relto: messages for `a.o`:\nwarning: x\n  y\n"
        );
    }
}
