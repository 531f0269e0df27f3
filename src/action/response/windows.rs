//! Splits the text of a response file as programs of Windows split their command line.

use std::iter::Peekable;
use std::str::Chars;

/// Splits a text at white space outside of double quotes. A backslash stands for itself, but where a
/// double quote follows, two backslashes are one, and one before the quote escapes it. Inside of
/// quotes, two quotes are one.
pub(super) fn tokenize(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut is_quoted = false;
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            ' ' | '\t' | '\n' | '\r' | '\0' if !is_quoted => words.extend(word.take()),
            '"' if is_quoted && characters.next_if_eq(&'"').is_some() => {
                word.get_or_insert_default().push('"');
            }
            '"' => {
                word.get_or_insert_default();
                is_quoted = !is_quoted;
            }
            '\\' => backslashes(&mut characters, word.get_or_insert_default()),
            _ => word.get_or_insert_default().push(character),
        }
    }
    words.extend(word);
    words
}

/// Takes the rest of a run of backslashes, of which one has been read, and a quote that it escapes.
fn backslashes(characters: &mut Peekable<Chars<'_>>, word: &mut String) {
    let mut count = 1;
    while characters.next_if_eq(&'\\').is_some() {
        count += 1;
    }
    if characters.peek() != Some(&'"') {
        word.extend(std::iter::repeat_n('\\', count));
        return;
    }
    word.extend(std::iter::repeat_n('\\', count / 2));
    if count % 2 == 1 {
        word.extend(characters.next());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backslashes_escape_only_quotes() {
        for (text, words) in [
            (r"-o x\y.o", &["-o", r"x\y.o"][..]),
            (r#""a b" c"d e"f"#, &["a b", "cd ef"]),
            (r#"\"a \\"b c" \\\"d"#, &["\"a", r"\b c", "\\\"d"]),
            (r#""a""b" "" 'c d'"#, &["a\"b", "", "'c", "d'"]),
            ("a\r\n\tb\0c", &["a", "b", "c"]),
            (r#""open \"#, &[r"open \"]),
            ("", &[]),
        ] {
            assert_eq!(tokenize(text), words, "{text}");
        }
    }
}
