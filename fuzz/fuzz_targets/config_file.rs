//! Arbitrary bytes in the place of a tree's `.relto.toml` or of the user's own file are settings or
//! an error, and a tree that is not allowed sets nothing that matters.
//!
//! The first byte says which file it is.

#![no_main]

mod settings;

use libfuzzer_sys::fuzz_target;
use relto::internals::config::Environment;
use settings::{check, place};

fuzz_target!(|bytes: &[u8]| {
    let Some((kind, text)) = bytes.split_first() else {
        return;
    };
    let (project, config) = (place().join("project"), place().join("home/relto"));
    std::fs::create_dir_all(&config).expect("made");
    let (tree, user) = (project.join(".relto.toml"), config.join("config.toml"));
    let (written, other) = if kind % 2 == 0 {
        (tree, user)
    } else {
        (user, tree)
    };
    std::fs::write(&written, text).expect("written");
    // The other one may not be there.
    let _ = std::fs::remove_file(other);
    let home = place().join("home").display().to_string();
    let variables = ["HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME"];
    let environment = Environment::new(project, variables.map(|name| (name, home.clone())));
    check(&environment);
});
