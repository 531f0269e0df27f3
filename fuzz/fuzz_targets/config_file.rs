//! Arbitrary bytes in the place of a tree's `.relto.toml` or of the user's own file are settings or
//! an error, and a tree that is not allowed sets nothing that matters.
//!
//! The first byte says which file it is.

#![no_main]

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use relto::internals::config::{Class, ConfigSource, Environment, Opt, Settings, load};

/// A directory in memory with a home and a project, the same for all runs of this process.
fn place() -> &'static Path {
    static PLACE: LazyLock<PathBuf> = LazyLock::new(|| {
        let place = PathBuf::from(format!("/dev/shm/relto-fuzz-{}", std::process::id()));
        std::fs::create_dir_all(place.join("project")).expect("made");
        std::fs::create_dir_all(place.join("home")).expect("made");
        place
    });
    &PLACE
}

/// Nothing that a tree names counts before it is allowed, but for what is harmless.
fn check(settings: &Settings) {
    for value in settings.values.effective() {
        if let ConfigSource::File { in_tree: true, .. } = value.source {
            let option = Opt::find(value.name).expect("an option");
            assert_eq!(option.class, Class::Harmless, "{}", value.name);
        }
    }
}

fuzz_target!(|bytes: &[u8]| {
    let Some((kind, text)) = bytes.split_first() else {
        return;
    };
    let (project, config) = (place().join("project"), place().join("home/relto"));
    std::fs::create_dir_all(&config).expect("made");
    let (tree, user) = (project.join(".relto.toml"), config.join("config.toml"));
    let (written, other) = if kind % 2 == 0 { (tree, user) } else { (user, tree) };
    std::fs::write(&written, text).expect("written");
    // The other one may not be there.
    let _ = std::fs::remove_file(other);
    let home = place().join("home").display().to_string();
    let variables = ["HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME"];
    let environment = Environment::new(project, variables.map(|name| (name, home.clone())));
    match load(Vec::new(), &environment) {
        Ok(loaded) => check(&loaded.settings),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});
