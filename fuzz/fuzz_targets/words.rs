//! Arbitrary text in a response file, on a command line and in a configuration file of clang becomes
//! words, and reading them ends.

#![no_main]

use libfuzzer_sys::fuzz_target;
use relto::internals::action::arguments::{extra_outputs, parse, reaching, target};
use relto::internals::action::response::{
    Quoting, expand_response_files, tokenize, tokenize_config,
};

fuzz_target!(|text: &str| {
    let words = tokenize(text);
    let _ = tokenize_config(text);
    let expand = |quoting| {
        let mut reads = 0;
        // Files that name each other, but not for ever: after the first hundred they are empty, so that a
        // run takes no second.
        let expanded = expand_response_files(&words, quoting, &mut |path| {
            reads += 1;
            let empty = path.len() > 60 || reads > 100;
            Ok(if empty {
                String::new()
            } else {
                text.replace('@', &format!("@{path}"))
            })
        });
        assert!(reads <= 100_000, "{reads} files");
        expanded.ok()
    };
    let _ = expand(Quoting::Windows);
    let words = expand(Quoting::Gnu).unwrap_or_else(|| words.clone());
    let arguments = parse(&words);
    let _ = (
        extra_outputs(&arguments, "out.o"),
        reaching(&arguments).count(),
        target(&arguments),
    );
});
