use super::*;

fn items(words: &[&str]) -> Vec<Item> {
    let words: Vec<String> = words.iter().map(|&word| word.to_owned()).collect();
    parse(&words, OptionTable::of(Flavour::Elf)).expect("understood")
}

#[test]
fn values_stand_in_the_same_word_or_the_next() {
    for words in [
        &["--output=app"][..],
        &["--output", "app"],
        &["-output=app"],
        &["-o", "app"],
        &["-oapp"],
    ] {
        let items = items(words);
        assert_eq!(items.len(), 1, "{words:?}");
        assert_eq!(items[0].role(), Some(Role::Output));
        assert_eq!(items[0].value(), Some("app"));
        assert_eq!(items[0].words, words);
    }
}

#[test]
fn the_longest_name_that_fits_decides() {
    let parsed = items(&[
        "-entry=x",
        "-ex",
        "-shared",
        "-s",
        "-static",
        "--build-id=sha1",
    ]);
    let names = parsed.iter().map(|item| match &item.meaning {
        ItemMeaning::Option { name, .. } => *name,
        ItemMeaning::Input(_) => "input",
    });
    let names: Vec<_> = names.collect();
    assert_eq!(names, ["entry", "e", "shared", "s", "static", "build-id"]);
    assert_eq!(items(&["-omagic"])[0].value(), Some("magic"));
    assert_eq!(items(&["--lto-O3"])[0].value(), Some("3"));
    assert_eq!(items(&["--thinlto-index-only", "a.o"]).len(), 2);
}

#[test]
fn words_other_than_options_are_inputs() {
    let items = items(&["a.o", "-lc", "-", "-z", "now", "b.o"]);
    let inputs: Vec<_> = items.iter().filter(|item| item.role().is_none()).collect();
    assert_eq!(inputs.len(), 3);
    assert_eq!(items[1].role(), Some(Role::Library));
    assert_eq!(items[3].words, ["-z", "now"]);
}

#[test]
fn an_unknown_option_and_a_missing_value_are_refused_by_name() {
    let refused = |word: &str| {
        let words = [word.to_owned()];
        let refusal = parse(&words, OptionTable::of(Flavour::Elf)).expect_err("refused");
        refusal.to_string()
    };
    assert_eq!(
        refused("--frobnicate"),
        "relto does not know the option `--frobnicate`"
    );
    assert_eq!(refused("-soname"), "`-soname` lacks its value");
}

#[test]
fn no_name_stands_in_a_table_twice() {
    for flavour in [Flavour::Elf, Flavour::Wasm, Flavour::MachO] {
        let table = OptionTable::of(flavour);
        for part in [table.flags, table.values, table.short, table.joined] {
            let mut names: Vec<_> = all(part).map(|(name, _)| name).collect();
            let count = names.len();
            names.sort_unstable();
            names.dedup();
            assert_eq!(names.len(), count, "{flavour:?}");
        }
    }
}
