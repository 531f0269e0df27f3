//! Reads the form of a `.netrc`, as curl and Bazel take it.

use std::str::Chars;

/// What the user is called on one machine, or on all others.
#[derive(Default, PartialEq, Eq)]
pub(super) struct NetrcEntry {
    /// `None` for the one of all others.
    pub(super) machine: Option<String>,
    pub(super) login: String,
    pub(super) password: String,
}

/// The entries of a file in their order; `None` if it has another form.
pub(super) fn entries(text: &str) -> Option<Vec<NetrcEntry>> {
    let mut entries: Vec<NetrcEntry> = Vec::new();
    let mut rest = text.chars();
    while !rest.as_str().trim_start().is_empty() {
        let keyword = word(&mut rest)?;
        match keyword.as_str() {
            "machine" => entries.push(NetrcEntry {
                machine: Some(word(&mut rest)?),
                ..NetrcEntry::default()
            }),
            "default" => entries.push(NetrcEntry::default()),
            "login" | "user" => entries.last_mut()?.login = word(&mut rest)?,
            "password" => entries.last_mut()?.password = word(&mut rest)?,
            "account" => drop(word(&mut rest)?),
            // The definition of a macro ends at an empty line.
            "macdef" => rest = behind(rest.as_str(), "\n\n"),
            comment if comment.starts_with('#') => rest = behind(rest.as_str(), "\n"),
            _ => return None,
        }
    }
    Some(entries)
}

/// What follows `end`; nothing if that does not come any more.
fn behind<'t>(text: &'t str, end: &str) -> Chars<'t> {
    text.split_once(end).map_or("", |(_, rest)| rest).chars()
}

/// The next word: up to a blank, or in quotes, where a backslash stands before a character that has
/// no meaning. `None` if the file ends before it does.
fn word(rest: &mut Chars<'_>) -> Option<String> {
    let first = rest.find(|it| !it.is_whitespace())?;
    let quoted = first == '"';
    let mut word = String::new();
    if !quoted {
        word.push(first);
    }
    loop {
        let before = rest.clone();
        match rest.next() {
            Some('"') if quoted => return Some(word),
            Some('\\') if quoted => word.push(rest.next()?),
            Some(blank) if !quoted && blank.is_whitespace() => {
                *rest = before;
                return Some(word);
            }
            Some(other) => word.push(other),
            None if quoted => return None,
            None => return Some(word),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<Vec<(String, String, String)>> {
        let all = entries(text)?.into_iter().map(|it| {
            let machine = it.machine.unwrap_or_else(|| "*".to_owned());
            (machine, it.login, it.password)
        });
        Some(all.collect())
    }

    #[test]
    fn every_usual_way_to_write_a_file_is_understood() {
        let of = |machine: &str, login: &str, password: &str| {
            (machine.to_owned(), login.to_owned(), password.to_owned())
        };
        let me = vec![of("a.org", "me", "secret")];
        for text in [
            "machine a.org login me password secret",
            "machine a.org\n\tlogin me\n\tpassword secret\n",
            "# one\nmachine a.org # two\n user me account x password secret\r\n#",
            "macdef init\ncd /tmp\nmachine b\n\nmachine a.org password secret login me\n",
            "machine \"a.org\" login \"me\" password \"secret\"",
        ] {
            assert_eq!(read(text), Some(me.clone()), "{text}");
        }
        let text = "machine a.org login l password \"a b\\\"\\\\\"\nmachine b password #x\\y\ndefault login d";
        let all = vec![
            of("a.org", "l", "a b\"\\"),
            of("b", "", "#x\\y"),
            of("*", "d", ""),
        ];
        assert_eq!(read(text), Some(all));
        assert_eq!(read(" \n"), Some(Vec::new()));
    }

    #[test]
    fn what_has_another_form_is_no_entry() {
        for text in [
            "hello",
            "login me",
            "machine",
            "machine a login",
            "machine a password \"open",
            "machine a secret",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
