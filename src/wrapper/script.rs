//! Reads linker scripts, as far as they name further inputs, like `libc.so` of GNU systems, or tell
//! inputs apart by their names.

use super::Refusal;

/// What relto knows of a script.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Script {
    /// The files that it names, in order.
    pub(super) named: Vec<Named>,
    /// Whether it does nothing but that.
    pub(super) only_names: bool,
    /// Its words, among which are the patterns for names of files.
    pub(super) words: Vec<String>,
}

/// What a script asks for, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Named {
    pub(super) name: String,
    pub(super) as_needed: bool,
}

/// Reads the script `text`.
///
/// # Errors
/// Its inputs cannot be determined.
pub(super) fn read(path: &str, text: &str) -> Result<Script, Refusal> {
    let not_understood = || Refusal::new(format!("the linker script `{path}` is not understood"));
    let words = tokens(text);
    let mut named = Vec::new();
    let mut only_names = true;
    let mut rest = &words[..];
    while let [token, after @ ..] = rest {
        rest = match (token.as_str(), after) {
            ("INPUT" | "GROUP", [open, inner @ ..]) if open == "(" => {
                list(inner, false, &mut named).ok_or_else(not_understood)?
            }
            // The linker has been told already.
            ("OUTPUT_FORMAT" | "OUTPUT_ARCH", [open, inner @ ..]) if open == "(" => {
                list(inner, false, &mut Vec::new()).ok_or_else(not_understood)?
            }
            ("INCLUDE", _) => {
                return Err(Refusal::new(format!(
                    "the linker script `{path}` includes another one"
                )));
            }
            (";", _) => after,
            _ => {
                only_names = false;
                after
            }
        };
    }
    Ok(Script {
        named,
        only_names,
        words,
    })
}

/// Whether `pattern` of a script means the file `name`. `None` if relto cannot tell.
pub(super) fn selects(pattern: &str, name: &str) -> Option<bool> {
    if pattern.contains(['[', '\\']) {
        return None;
    }
    let (pattern, name) = (pattern.as_bytes(), name.as_bytes());
    let (mut at, mut seen) = (0, 0);
    // Where the last star stands, and how much of the name it takes so far.
    let mut star = None;
    while seen < name.len() {
        match (pattern.get(at), star) {
            (Some(b'*'), _) => {
                star = Some((at, seen));
                at += 1;
            }
            (Some(byte), _) if *byte == b'?' || *byte == name[seen] => {
                at += 1;
                seen += 1;
            }
            (_, Some((place, taken))) => {
                star = Some((place, taken + 1));
                at = place + 1;
                seen = taken + 1;
            }
            (_, None) => return Some(false),
        }
    }
    Some(pattern[at..].iter().all(|byte| *byte == b'*'))
}

/// Reads up to the closing parenthesis; returns what follows it.
fn list<'a>(
    mut rest: &'a [String],
    as_needed: bool,
    found: &mut Vec<Named>,
) -> Option<&'a [String]> {
    loop {
        rest = match rest {
            [close, after @ ..] if close == ")" => return Some(after),
            [word, open, after @ ..] if word == "AS_NEEDED" && open == "(" => {
                list(after, true, found)?
            }
            [open, ..] if open == "(" => return None,
            [comma, after @ ..] if comma == "," => after,
            [name, after @ ..] => {
                let name = name.clone();
                found.push(Named { name, as_needed });
                after
            }
            [] => return None,
        };
    }
}

fn tokens(text: &str) -> Vec<String> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let taken = if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |end| end + 2)
        } else if first == '#' {
            rest.find('\n').unwrap_or(rest.len())
        } else if let Some(quoted) = rest.strip_prefix('"') {
            let end = quoted.find('"').unwrap_or(quoted.len());
            tokens.push(quoted[..end].to_owned());
            (end + 2).min(rest.len())
        } else if matches!(first, '(' | ')' | '{' | '}' | ';' | ',') {
            tokens.push(first.to_string());
            1
        } else {
            let ends = |it: char| it.is_whitespace() || "(){};,\"".contains(it);
            let end = rest.find(ends).unwrap_or(rest.len());
            tokens.push(rest[..end].to_owned());
            end
        };
        rest = rest[taken..].trim_start();
    }
    tokens
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_libraries_of_a_group_are_found_in_order() {
        let text = "/* GNU ld script */\nOUTPUT_FORMAT(elf64-x86-64)\n# INPUT ( no )\n\
            GROUP ( /lib/libc.so.6 \"a b.a\" AS_NEEDED ( /lib64/ld.so.2 ) , -lm )";
        let script = read("libc.so", text).expect("understood");
        assert!(script.only_names);
        let found: Vec<_> = script
            .named
            .iter()
            .map(|it| (&it.name[..], it.as_needed))
            .collect();
        assert_eq!(
            found,
            [
                ("/lib/libc.so.6", false),
                ("a b.a", false),
                ("/lib64/ld.so.2", true),
                ("-lm", false)
            ]
        );
    }

    #[test]
    fn a_script_without_inputs_names_none_and_a_broken_one_is_refused() {
        let script = read("x", "SECTIONS { .a : { *(.a) } }").expect("understood");
        assert!(script.named.is_empty() && !script.only_names);
        for text in ["GROUP ( a", "INPUT ( a ( b ) )", "INCLUDE x"] {
            assert!(read("x", text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_script_that_does_more_than_name_files_is_known_as_one() {
        for more in ["f = 1;", "VERSION { V { global: f; }; }", "EXTERN ( f )"] {
            let script = read("x", &format!("INPUT ( a.o ) {more}")).expect("understood");
            assert!(!script.only_names, "{more}");
        }
    }

    #[test]
    fn patterns_select_names_across_directories() {
        for (pattern, name, selected) in [
            ("*", "a/b.o", true),
            ("*b.o", "a/b.o", true),
            ("*/b.o", "b.o", false),
            ("a/?.o", "a/b.o", true),
            ("*a*b*", "xxaxxbxx", true),
            ("*a*b", "ab.o", false),
            ("b.o", "b.oo", false),
            ("", "b", false),
        ] {
            assert_eq!(selects(pattern, name), Some(selected), "{pattern} {name}");
        }
        assert_eq!(selects("[ab].o", "a.o"), None);
    }
}
