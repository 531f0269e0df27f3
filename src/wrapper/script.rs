//! Reads linker scripts among the inputs, as far as they name further inputs, like `libc.so` of GNU
//! systems.

use super::Refusal;

/// What a script asks for, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Named {
    pub(super) name: String,
    pub(super) as_needed: bool,
}

/// The files that the script `text` names. Commands that name none are not looked at.
///
/// # Errors
/// Its inputs cannot be determined.
pub(super) fn inputs(path: &str, text: &str) -> Result<Vec<Named>, Refusal> {
    let tokens = tokens(text);
    let mut found = Vec::new();
    let mut rest = &tokens[..];
    while let [token, after @ ..] = rest {
        rest = match (token.as_str(), after) {
            ("INPUT" | "GROUP", [open, inner @ ..]) if open == "(" => {
                list(inner, false, &mut found).ok_or_else(|| {
                    Refusal::new(format!("the linker script `{path}` is not understood"))
                })?
            }
            ("INCLUDE", _) => {
                return Err(Refusal::new(format!(
                    "the linker script `{path}` includes another one"
                )));
            }
            _ => after,
        };
    }
    Ok(found)
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
        let text = "/* GNU ld script */\nOUTPUT_FORMAT(elf64-x86-64)\n\
            GROUP ( /lib/libc.so.6 \"a b.a\" AS_NEEDED ( /lib64/ld.so.2 ) , -lm )";
        let found = inputs("libc.so", text).expect("understood");
        let found: Vec<_> = found
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
        assert_eq!(inputs("x", "SECTIONS { .a : { *(.a) } }"), Ok(Vec::new()));
        for text in ["GROUP ( a", "INPUT ( a ( b ) )", "INCLUDE x"] {
            assert!(inputs("x", text).is_err(), "{text}");
        }
    }
}
