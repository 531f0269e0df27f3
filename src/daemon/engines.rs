//! The engines of a daemon: one for each set of settings that connections and databases depend on.
//!
//! Links with the same settings share an engine. Links that differ in the farm, in a secret, or in
//! the environment or the directory that a credential helper sees share nothing. Idle engines are
//! dropped.

use std::collections::HashMap;
use std::ffi::OsString;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::time::Instant;

use crate::digest::{Digest, DigestFunction};
use crate::link::{Engine, Options};
use crate::reapi::{CallerIdentity, ClientOptions};
use crate::task::lock;

/// How long an engine is kept for the next link.
const UNUSED: Duration = Duration::from_mins(10);

/// Variables that differ between the processes of one build and mean nothing to a credential
/// helper.
const PER_PROCESS: [&str; 10] = [
    "_",
    "MAKEFLAGS",
    "MAKELEVEL",
    "MAKEOVERRIDES",
    "MFLAGS",
    "OLDPWD",
    "PWD",
    "SHLVL",
    "TRACEPARENT",
    "TRACESTATE",
];

#[derive(Debug, Default)]
pub(super) struct Engines(Mutex<HashMap<Digest, CachedEngine>>);

#[derive(Debug)]
struct CachedEngine {
    engine: Arc<Engine>,
    used: Instant,
}

impl Engines {
    /// The engine of `options`, new if there is none.
    pub(super) fn of(&self, options: &Options) -> Arc<Engine> {
        let now = Instant::now();
        let mut engines = self.lock();
        engines.retain(|_, kept| kept.is_wanted(now));
        let kept = engines.entry(key(options)).or_insert_with(|| CachedEngine {
            engine: Arc::new(Engine::long_lived(options)),
            used: now,
        });
        kept.used = now;
        Arc::clone(&kept.engine)
    }

    /// How many there are, and how many files they know.
    pub(super) fn count(&self) -> (usize, usize) {
        let engines = self.lock();
        let files = engines.values().map(|kept| kept.engine.known_files()).sum();
        (engines.len(), files)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Digest, CachedEngine>> {
        lock(&self.0)
    }
}

impl CachedEngine {
    fn is_wanted(&self, now: Instant) -> bool {
        Arc::strong_count(&self.engine) > 1 || now.duration_since(self.used) < UNUSED
    }
}

/// Everything that an engine depends on. Everything else comes with each link.
fn key(options: &Options) -> Digest {
    let client = options.farm.as_ref().map(|farm| ClientOptions {
        deadline: None,
        caller: CallerIdentity::nobody(),
        credential_helper_environment: farm
            .client
            .credential_helper_environment
            .as_ref()
            .map(|variables| lasting(variables)),
        ..farm.client.clone()
    });
    let fallback = options.farm.as_ref().map(|farm| farm.local_fallback);
    let bytes = postcard::to_stdvec(&(&options.state_dir, client, fallback));
    // What came out of a frame can be put into one.
    DigestFunction::Sha256.digest(&bytes.unwrap_or_default())
}

fn lasting(variables: &[(OsString, OsString)]) -> Vec<(OsString, OsString)> {
    let per_process = |name: &OsString| PER_PROCESS.iter().any(|it| name == it);
    let mut lasting: Vec<_> = variables
        .iter()
        .filter(|(name, _)| !per_process(name))
        .cloned()
        .collect();
    lasting.sort();
    lasting
}
