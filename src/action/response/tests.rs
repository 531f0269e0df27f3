use std::collections::HashMap;

use proptest::prelude::*;

use super::*;

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

fn expand_with(line: &str, files: &[(&str, &str)]) -> Result<Vec<String>, ResponseFileError> {
    let files: HashMap<_, _> = files.iter().copied().collect();
    expand_response_files(
        &words(line),
        Quoting::Gnu,
        &mut |path| match files.get(path) {
            Some(text) => Ok((*text).to_owned()),
            None if path == "secret" => Err(io::ErrorKind::PermissionDenied.into()),
            None => Err(io::ErrorKind::NotFound.into()),
        },
    )
}

#[test]
fn nested_files_are_expanded_in_place_and_missing_ones_are_kept() {
    let files = [("a", "-O2 @b\n'x y'"), ("b", "-c\t@gone")];
    let expanded = expand_with("first @a @ last", &files).expect("expanded");
    assert_eq!(
        expanded,
        ["first", "-O2", "-c", "@gone", "x y", "@", "last"]
    );
}

#[test]
fn files_are_quoted_as_the_command_line_says() {
    let files = [("a", r"x\y @b"), ("b", "--rsp-quoting=posix z\\w")];
    let expanded = expand_with("--rsp-quoting=posix @a --rsp-quoting=windows", &files);
    let expanded = expanded.expect("expanded");
    assert_eq!(expanded[1..4], [r"x\y", "--rsp-quoting=posix", r"z\w"]);
    let posix = "--rsp-quoting=windows --rsp-quoting=posix @a";
    assert_eq!(expand_with(posix, &files).expect("expanded")[2], "xy");
}

#[test]
fn a_cycle_and_an_unreadable_file_are_errors() {
    let circle = expand_with("@a", &[("a", "@b"), ("b", "@a")]);
    assert!(matches!(circle, Err(ResponseFileError::TooDeep { .. })));
    let secret = expand_with("@secret", &[]).expect_err("unreadable");
    assert!(secret.to_string().contains("`secret`"));
}

#[test]
fn nested_files_with_too_many_words_are_refused() {
    let many = "@b ".repeat(2000);
    let more = "x ".repeat(2000);
    let expanded = expand_with("@a", &[("a", &many), ("b", &more)]);
    assert!(matches!(expanded, Err(ResponseFileError::TooLong { .. })));
}

#[test]
fn a_configuration_file_has_comments_and_joined_lines() {
    let text = "# -O0\n  # -O0\n-O1 # x\n-DX=\"a b\" \\\n  -DY\n";
    assert_eq!(tokenize_config(text), ["-O1", "#", "x", "-DX=a b", "-DY"]);
    assert_eq!(tokenize_config("-a\\"), ["-a\\"]);
    assert_eq!(tokenize_config("-a\\\\\n-b\\\n-c"), ["-a\\", "-b-c"]);
}

proptest! {
    #[test]
    fn a_quoted_word_is_read_back_unchanged(words in proptest::collection::vec(".*", 0..5), quote in "['\"]") {
        let quoted: Vec<_> = words
            .iter()
            .map(|word| {
                let escaped = word.replace('\\', r"\\").replace(&quote, &format!("\\{quote}"));
                format!("{quote}{escaped}{quote}")
            })
            .collect();
        prop_assert_eq!(tokenize(&quoted.join(" ")), words);
    }

    #[test]
    fn any_text_can_be_split(text in ".*") {
        let _ = tokenize(&text);
        let _ = tokenize_config(&text);
    }
}

#[test]
fn empty_files_that_name_each_other_are_not_read_for_ever() {
    let mut reads = 0;
    let expanded = expand_response_files(&["@0".to_owned()], Quoting::Gnu, &mut |path| {
        reads += 1;
        let depth: usize = path.parse().expect("a number");
        // A tree of files without a single word: two times two to the power of forty.
        let next = depth + 1;
        Ok(if depth < 40 {
            format!("@{next} @{next}")
        } else {
            String::new()
        })
    });
    assert!(matches!(expanded, Err(ResponseFileError::TooLong { .. })));
    assert_eq!(reads, MAX_FILES);
}
