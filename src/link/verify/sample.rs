//! Which hits are verified: a share of them, chosen by the Action's digest and a secret of the
//! user.
//!
//! The choice is the same in every link of one user, and another one for every other user. Somebody
//! who puts a wrong result into a cache that many share cannot foresee who compares it.

use crate::digest::Digest;
use crate::link::VerifyOptions;
use crate::state::Secret;

/// Hits by slice key depend on more code of relto's own, so more of them are verified.
const SLICE_FACTOR: f64 = 4.0;

/// Possible values of what is compared with the share.
const RANGE: f64 = 4_294_967_296.0;

/// The share of the hits that this user verifies.
pub(super) struct Sample {
    secret: Secret,
    percent: f64,
}

impl std::fmt::Debug for Sample {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Sample({} %)", self.percent)
    }
}

impl Sample {
    /// Where the secret cannot be kept, one for this link alone is as hard to guess.
    pub(super) fn new(options: &VerifyOptions) -> Self {
        let dir = options.dir.as_deref();
        let kept = dir.and_then(|dir| Secret::of_user(dir).ok());
        Self {
            secret: kept.unwrap_or_else(Secret::random),
            percent: options.percent,
        }
    }

    /// Whether the result of `action` is verified.
    pub(super) fn takes(&self, action: &Digest, by_slice_key: bool) -> bool {
        let factor = if by_slice_key { SLICE_FACTOR } else { 1.0 };
        let percent = self.percent * factor;
        if percent >= 100.0 {
            return true;
        }
        let hash = blake3::keyed_hash(self.secret.bytes(), &action.hash);
        let mut first = [0; 4];
        first.copy_from_slice(&hash.as_bytes()[..4]);
        f64::from(u32::from_le_bytes(first)) / RANGE * 100.0 < percent
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::digest::DigestFunction;

    fn sample(percent: f64, dir: &Path) -> Sample {
        Sample::new(&VerifyOptions {
            percent,
            dir: Some(dir.to_owned()),
            ..VerifyOptions::default()
        })
    }

    fn actions() -> Vec<Digest> {
        let texts = (0..5000).map(|number: u32| number.to_string());
        texts
            .map(|text| DigestFunction::Sha256.digest(text.as_bytes()))
            .collect()
    }

    fn chosen(sample: &Sample, by_slice_key: bool) -> Vec<Digest> {
        let takes = |action: &Digest| sample.takes(action, by_slice_key);
        actions().into_iter().filter(takes).collect()
    }

    #[test]
    fn the_share_is_what_was_asked_for_and_four_times_that_of_slice_hits() {
        let dir = tempfile::tempdir().expect("a directory");
        let count =
            |percent, by_slice_key| chosen(&sample(percent, dir.path()), by_slice_key).len();
        assert_eq!(count(0.0, false), 0);
        assert_eq!(count(0.0, true), 0);
        assert_eq!(count(100.0, false), 5000);
        assert_eq!(count(25.0, true), 5000);
        // Six times the standard deviation on either side.
        assert!((40..160).contains(&count(2.0, false)));
        assert!((285..515).contains(&count(2.0, true)));
    }

    #[test]
    fn a_users_choice_stays_and_another_users_differs() {
        let [one, other] = [(); 2].map(|()| tempfile::tempdir().expect("a directory"));
        let first = chosen(&sample(10.0, one.path()), false);
        assert_eq!(chosen(&sample(10.0, one.path()), false), first);
        assert_ne!(chosen(&sample(10.0, other.path()), false), first);
        // More is never less.
        let more = chosen(&sample(20.0, one.path()), false);
        assert!(first.iter().all(|action| more.contains(action)));
    }

    #[test]
    fn without_a_place_for_a_secret_the_share_is_verified_all_the_same() {
        for dir in [None, Some("/proc/nowhere".into())] {
            let options = VerifyOptions {
                percent: 50.0,
                dir,
                ..VerifyOptions::default()
            };
            let count = chosen(&Sample::new(&options), false).len();
            assert!((2000..3000).contains(&count), "{count}");
        }
    }
}
