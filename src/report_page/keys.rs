//! Finds what the keys of a link and of the one before it were made of, where both are recorded.

use std::collections::{HashMap, HashSet};

use crate::history::{History, JobKey, KeyParts, LinkKeys, ModuleKey, RecordedLink, stable_name};
use crate::timings::LinkTimings;

/// The first bytes of an Action's digest.
type ShortKey = [u8; 8];

/// Keys of a link, or of each part of a build, beside the ones before.
#[derive(Debug, Default)]
pub struct KeyPairs(Vec<KeyPair>);

#[derive(Debug)]
struct KeyPair {
    before: LinkKeys,
    now: LinkKeys,
}

/// What the keys of one job were made of, in both links.
#[derive(Debug, Clone, Copy)]
pub(super) struct JobKeyPair<'a> {
    pub(super) before: (&'a LinkKeys, &'a KeyParts),
    pub(super) now: (&'a LinkKeys, &'a KeyParts),
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
                let before = recorded.keys;
                pairs.push(KeyPair { before, now });
            } else if !found.contains(&output) && wanted.is_of(&recorded.keys) {
                found.insert(output);
                open.insert(output, recorded.keys);
            }
            // A link has one record, a build one for each of its compilers.
            link.launched || pairs.is_empty()
        });
        Self(pairs)
    }

    /// By module, those of jobs that have a key in both links.
    pub(super) fn jobs(&self) -> HashMap<&str, JobKeyPair<'_>> {
        let mut jobs = HashMap::new();
        for KeyPair { before, now } in &self.0 {
            let earlier: HashMap<&str, &KeyParts> = with_keys(before).collect();
            for (module, parts) in with_keys(now) {
                if let Some(earlier) = earlier.get(module) {
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
        Some((stable_name(&job.module), parts))
    })
}

/// The jobs of a link, by what its record has of them.
struct Wanted<'a> {
    jobs: HashSet<(&'a str, Option<ShortKey>)>,
}

impl<'a> Wanted<'a> {
    fn new(link: &'a LinkTimings) -> Self {
        let jobs = link.jobs.iter();
        let jobs = jobs.map(|job| (stable_name(&job.module), job.key));
        Self {
            jobs: jobs.collect(),
        }
    }

    /// Whether all of these keys are those of the link's jobs.
    fn is_of(&self, keys: &LinkKeys) -> bool {
        let key = |job: &JobKey| job.parts.as_ref().ok().and_then(short);
        let mut jobs = keys.jobs.iter();
        !keys.jobs.is_empty()
            && jobs.all(|job| self.jobs.contains(&(stable_name(&job.module), key(job))))
    }
}
