//! Makes text from elsewhere safe to print on a terminal.
//!
//! Servers, their workers and caches may hold any bytes. Escape sequences could set the clipboard
//! or rewrite what the user has read, so only those for colours pass.

use std::borrow::Cow;

const ESCAPE: char = '\u{1b}';
const RESET: &str = "\u{1b}[0m";

/// Whether a terminal would act on `letter` instead of showing it, or show others out of order.
#[must_use]
pub fn is_control(letter: char) -> bool {
    let reorders = matches!(letter, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    letter.is_control() || reorders
}

/// One line of at most `longest` characters, without control characters.
#[must_use]
pub fn one_line(text: &str, longest: usize) -> String {
    let clean = |letter: char| if is_control(letter) { ' ' } else { letter };
    text.trim().chars().take(longest).map(clean).collect()
}

/// A compiler's messages: lines, tabs and colours stay, all other control characters and escape
/// sequences go.
#[must_use]
pub fn messages(text: &str) -> Cow<'_, str> {
    let stays = |letter: char| !is_control(letter) || matches!(letter, '\n' | '\t');
    if text.chars().all(stays) {
        return Cow::Borrowed(text);
    }
    let mut cleaned = String::with_capacity(text.len());
    let mut colored = false;
    let mut rest = text;
    while let Some(letter) = rest.chars().next() {
        let sequence = if letter == ESCAPE {
            Sequence::read(rest)
        } else {
            Sequence::other(letter.len_utf8())
        };
        let (head, tail) = rest.split_at(sequence.bytes);
        rest = tail;
        if let Some(colors) = sequence.colors {
            cleaned.push_str(head);
            colored = colors;
        } else if letter != ESCAPE && stays(letter) {
            cleaned.push(letter);
        }
    }
    if colored {
        cleaned.push_str(RESET);
    }
    Cow::Owned(cleaned)
}

/// What begins with an escape character, or any other character.
struct Sequence {
    bytes: usize,
    /// Set for one that changes only colours: whether it leaves some on.
    colors: Option<bool>,
}

impl Sequence {
    fn other(bytes: usize) -> Self {
        Self {
            bytes,
            colors: None,
        }
    }

    /// Reads by ECMA-48: `ESC [ ... FINAL`; a string from `ESC ]`, `P`, `X`, `^` or `_` to its end;
    /// else `ESC` and one character.
    fn read(text: &str) -> Self {
        let body = &text[ESCAPE.len_utf8()..];
        match body.chars().next() {
            Some('[') => Self::control(text, &body[1..]),
            Some(']' | 'P' | 'X' | '^' | '_') => Self::other(Self::string(text)),
            _ => Self::other(1),
        }
    }

    /// The bytes of the string at the beginning of `text`, with its end; a new line ends it, too,
    /// and is no part of it. Each byte is looked at once: a text may be full of such strings.
    fn string(text: &str) -> usize {
        for (at, letter) in text.char_indices().skip(1) {
            match letter {
                '\n' => return at,
                '\u{7}' | '\u{9c}' => return at + letter.len_utf8(),
                ESCAPE if text[at + 1..].starts_with('\\') => return at + 2,
                _ => {}
            }
        }
        text.len()
    }

    fn control(text: &str, parameters: &str) -> Self {
        let end = parameters.find(|letter: char| !matches!(letter, ' '..='?'));
        let Some(end) = end else {
            return Self::other(text.len());
        };
        let (parameters, last) = parameters.split_at(end);
        let last = last.chars().next().unwrap_or_default();
        if !matches!(last, '@'..='~') {
            return Self::other(2 + end);
        }
        let plain = parameters
            .chars()
            .all(|it| matches!(it, '0'..='9' | ';' | ':'));
        // 8 conceals.
        let visible = !parameters.split([';', ':']).any(|number| number == "8");
        let colors = (last == 'm' && plain && visible)
            .then(|| !parameters.split(';').all(|it| matches!(it, "" | "0")));
        Self {
            bytes: 2 + end + 1,
            colors,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn plain_lines_and_colors_stay_as_they_are() {
        for text in [
            "f.c:1:2: warning: stack frame size\n\t| ü\n",
            "\u{1b}[1mf.o: \u{1b}[0m\u{1b}[0;1;35mwarning: \u{1b}[0mx\n",
        ] {
            assert_eq!(messages(text), text);
        }
        assert_eq!(messages("\u{1b}[31mred"), "\u{1b}[31mred\u{1b}[0m");
    }

    #[test]
    fn terminal_control_sequences_are_removed() {
        for (text, shown) in [
            ("a\u{1b}]52;c;cm0=\u{7}b", "ab"),
            ("a\u{1b}]0;title\u{1b}\\b", "ab"),
            ("a\u{1b}]8;;http://x\u{9c}b", "ab"),
            ("a\u{1b}]0;no end\nb", "a\nb"),
            ("a\u{1b}[2Jb\u{1b}[1;1Hc", "abc"),
            ("a\u{1b}[8mhidden\u{1b}[0mb", "ahidden\u{1b}[0mb"),
            ("a\u{1b}cb\rc\u{8}d\u{0}", "acbcd"),
            ("a\u{9b}2Jb\u{202e}c", "a2Jbc"),
            ("a\u{1b}Pq#0\u{1b}\\b", "ab"),
            ("a\u{1b}", "a"),
            ("a\u{1b}[", "a"),
        ] {
            assert_eq!(messages(text), shown, "{text:?}");
        }
        assert_eq!(one_line(" a\nb\u{1b}[2J ", 9), "a b [2J");
    }

    /// A result may hold 16 MiB of them. A search for the end of each through all that follows would
    /// take a day.
    #[test]
    fn a_text_full_of_sequences_is_read_once() {
        for sequence in [
            "\u{1b}]",
            "\u{1b}]\u{7}",
            "\u{1b}P",
            "\u{1b}_\u{9c}",
            "\u{1b}^\n",
            "\u{1b}[",
            "\u{1b}[1",
            "\u{1b}",
        ] {
            let text = sequence.repeat((2 << 20) / sequence.len());
            let shown = messages(&text);
            assert!(shown.len() < text.len(), "{sequence:?}");
        }
    }

    proptest! {
        #[test]
        fn no_text_leaves_an_escape_other_than_a_color(text in "[\u{1b}\\]\\[0-9;mAP\\\\\u{7}\n\r ü]{0,60}") {
            let shown = messages(&text).into_owned();
            let mut rest = shown.as_str();
            while let Some(at) = rest.find(ESCAPE) {
                let sequence = Sequence::read(&rest[at..]);
                prop_assert!(sequence.colors.is_some(), "{shown:?}");
                rest = &rest[at + sequence.bytes..];
            }
            let acts = shown.contains(['\r', '\u{7}']);
            prop_assert!(!acts);
        }
    }
}
