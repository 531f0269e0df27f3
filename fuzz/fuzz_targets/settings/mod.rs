//! The settings that files of a user and of a project make, for targets that write such files.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use relto::internals::config::{Class, ConfigSource, Environment, Opt, load};

/// A directory in memory with a home and a project, the same for all runs of this process.
pub fn place() -> &'static Path {
    static PLACE: LazyLock<PathBuf> = LazyLock::new(|| {
        let place = PathBuf::from(format!("/dev/shm/relto-fuzz-{}", std::process::id()));
        std::fs::create_dir_all(place.join("project")).expect("made");
        std::fs::create_dir_all(place.join("home")).expect("made");
        place
    });
    &PLACE
}

/// Loads the settings: nothing that a tree names counts before it is allowed, but for what is
/// harmless and what takes less.
pub fn check(environment: &Environment) {
    let settings = match load(Vec::new(), environment) {
        Ok(loaded) => loaded.settings,
        Err(error) => return assert!(!error.to_string().is_empty()),
    };
    for value in settings.values.effective() {
        if let ConfigSource::File { in_tree: true, .. } = value.source {
            let option = Opt::find(value.name).expect("an option");
            // What a tree may lower is in force where it takes no more than the default.
            let may_count = matches!(option.class, Class::Harmless | Class::Lowered);
            assert!(may_count, "{}", value.name);
        }
    }
}
