//! Arbitrary bytes in the place of a `.bazelrc` that the user names, and of a file that it imports,
//! are flags or an error, and none that matters counts before it is allowed.

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
    let project = place().join("project");
    let half = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    let (file, imported) = bytes.split_at(half);
    std::fs::write(project.join("f"), file).expect("written");
    std::fs::write(project.join("more"), imported).expect("written");
    let text = |name: &str| place().join(name).display().to_string();
    let variables = [
        ("HOME", text("home")),
        ("RELTO_BAZELRC", text("project/f")),
        ("RELTO_CONFIG", if bytes.first() == Some(&b'#') { "a".to_owned() } else { String::new() }),
    ];
    let environment = Environment::new(project, variables);
    match load(Vec::new(), &environment) {
        Ok(loaded) => check(&loaded.settings),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});
