//! Finds what the keys of a link and of the one before it were made of, where both are recorded.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use crate::history::{
    History, JobKey, KeyParts, LinkKeys, ModuleKey, ModuleNames, RecordedLink, shown_name,
};
use crate::timings::LinkTimings;

/// The first bytes of an Action's digest.
type ShortKey = [u8; 8];

/// Keys of a link, or of each part of a build, beside the ones before.
#[derive(Debug, Default)]
pub struct KeyPairs(Vec<KeyPair>);

#[derive(Debug)]
struct KeyPair {
    before: NamedKeys,
    now: NamedKeys,
}

/// The keys of a link, and by which its modules are known in the other.
#[derive(Debug)]
pub(super) struct NamedKeys {
    pub(super) keys: LinkKeys,
    pub(super) names: ModuleNames,
}

impl From<LinkKeys> for NamedKeys {
    fn from(keys: LinkKeys) -> Self {
        let names = keys.names();
        Self { keys, names }
    }
}

/// What the keys of one job were made of, in both links.
#[derive(Debug, Clone, Copy)]
pub(super) struct JobKeyPair<'a> {
    pub(super) before: (&'a NamedKeys, &'a KeyParts),
    pub(super) now: (&'a NamedKeys, &'a KeyParts),
}

impl KeyPairs {
    /// Those that `history` has of `link`.
    #[must_use]
    pub fn of(link: &LinkTimings, history: &History) -> Self {
        let wanted = Wanted::new(link);
        let mut open: HashMap<ModuleKey, LinkKeys> = HashMap::new();
        // The same keys may come again, as after a change that was taken back.
        let mut found: HashSet<ModuleKey> = HashSet::new();
        let mut pairs = Vec::new();
        history.visit_keys(|output, recorded: RecordedLink| {
            if let Some(now) = open.remove(&output) {
                pairs.push(KeyPair {
                    before: recorded.keys.into(),
                    now: now.into(),
                });
            } else if !found.contains(&output) && wanted.is_of(&recorded.keys) {
                found.insert(output);
                open.insert(output, recorded.keys);
            }
            // A link has one record, a build one for each of its compilers.
            link.launched || pairs.is_empty()
        });
        Self(pairs)
    }

    /// Those of jobs that have a key in both links, by the user's names for the modules in the later one.
    pub(super) fn jobs(&self) -> HashMap<&str, JobKeyPair<'_>> {
        let mut jobs = HashMap::new();
        for KeyPair { before, now } in &self.0 {
            let earlier = with_keys(&before.keys);
            let earlier = earlier.map(|(module, parts)| (before.names.stable(module), parts));
            let earlier: HashMap<Cow<'_, str>, &KeyParts> = earlier.collect();
            for (module, parts) in with_keys(&now.keys) {
                if let Some(earlier) = earlier.get(&now.names.stable(module)) {
                    let pair = JobKeyPair {
                        before: (before, earlier),
                        now: (now, parts),
                    };
                    jobs.insert(module, pair);
                }
            }
        }
        jobs
    }

    #[cfg(test)]
    pub(super) fn made_of(before: LinkKeys, now: LinkKeys) -> Self {
        let (before, now) = (before.into(), now.into());
        Self(vec![KeyPair { before, now }])
    }
}

/// The beginning of the key.
pub(super) fn short(parts: &KeyParts) -> Option<ShortKey> {
    parts.action.hash.first_chunk().copied()
}

fn with_keys(keys: &LinkKeys) -> impl Iterator<Item = (&str, &KeyParts)> {
    keys.jobs.iter().filter_map(|job| {
        let parts = job.parts.as_ref().ok()?;
        Some((shown_name(&job.module), parts))
    })
}

/// The jobs of a link, by what its record has of them.
struct Wanted<'a> {
    jobs: HashSet<(&'a str, Option<ShortKey>)>,
}

impl<'a> Wanted<'a> {
    fn new(link: &'a LinkTimings) -> Self {
        let jobs = link.jobs.iter();
        let jobs = jobs.map(|job| (shown_name(&job.module), job.key));
        Self {
            jobs: jobs.collect(),
        }
    }

    /// Whether all of these keys are those of the link's jobs.
    fn is_of(&self, keys: &LinkKeys) -> bool {
        let key = |job: &JobKey| job.parts.as_ref().ok().and_then(short);
        let mut jobs = keys.jobs.iter();
        !keys.jobs.is_empty()
            && jobs.all(|job| self.jobs.contains(&(shown_name(&job.module), key(job))))
    }
}
