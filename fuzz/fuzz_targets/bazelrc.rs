//! Arbitrary bytes in the place of a `.bazelrc` that the user names, and of a file that it imports,
//! are flags or an error, and none that matters counts before it is allowed.

#![no_main]

mod settings;

use libfuzzer_sys::fuzz_target;
use relto::internals::config::Environment;
use settings::{check, place};

fuzz_target!(|bytes: &[u8]| {
    let project = place().join("project");
    let half = bytes
        .iter()
        .position(|byte| *byte == 0)
        .unwrap_or(bytes.len());
    let (file, imported) = bytes.split_at(half);
    std::fs::write(project.join("f"), file).expect("written");
    std::fs::write(project.join("more"), imported).expect("written");
    let text = |name: &str| place().join(name).display().to_string();
    let variables = [
        ("HOME", text("home")),
        ("RELTO_BAZELRC", text("project/f")),
        (
            "RELTO_CONFIG",
            if bytes.first() == Some(&b'#') {
                "a".to_owned()
            } else {
                String::new()
            },
        ),
    ];
    let environment = Environment::new(project, variables);
    check(&environment);
});
