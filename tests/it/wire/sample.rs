//! Filled messages, and equality of two generated types field by field.
//!
//! A [`Sampled`] is a value unlike its neighbours; [`Same`] names the field that differs.
//! `messages` says which messages have which fields.

use std::collections::HashMap;

use bytes::Bytes;

/// Gives each field another value, so that two fields that changed places are seen.
pub(super) struct Seeds {
    round: u64,
    next: u64,
}

impl Seeds {
    pub(super) fn new(round: u64) -> Self {
        Self { round, next: 0 }
    }

    fn take(&mut self) -> u64 {
        self.next += 1;
        // Numbers of one, two and three bytes on the wire, never zero.
        self.next + self.round * 997
    }

    pub(super) fn flag(&mut self) -> bool {
        let place = self.take() - self.round * 997;
        (self.round >> (place % 4)) & 1 == 1
    }
}

pub(super) trait Sampled {
    fn sample(seeds: &mut Seeds) -> Self;
}

pub(super) trait Same<Theirs> {
    /// Panics with `at`, the name of the field, where the two differ.
    fn assert_same(&self, theirs: &Theirs, at: &str);
}

macro_rules! scalars {
    ($($scalar:ty: $seeds:ident => $value:expr),* $(,)?) => {$(
        impl Sampled for $scalar {
            fn sample($seeds: &mut Seeds) -> Self {
                $value
            }
        }

        impl Same<$scalar> for $scalar {
            fn assert_same(&self, theirs: &$scalar, at: &str) {
                assert_eq!(self, theirs, "{at}");
            }
        }
    )*};
}

scalars! {
    bool: seeds => seeds.flag(),
    i32: seeds => i32::try_from(seeds.take()).expect("a small number"),
    i64: seeds => i64::try_from(seeds.take()).expect("a small number"),
    String: seeds => format!("text {}", seeds.take()),
    Vec<u8>: seeds => format!("bytes {}", seeds.take()).into_bytes(),
}

impl Sampled for Bytes {
    fn sample(seeds: &mut Seeds) -> Self {
        Vec::sample(seeds).into()
    }
}

impl Same<Vec<u8>> for Bytes {
    fn assert_same(&self, theirs: &Vec<u8>, at: &str) {
        assert_eq!(self, theirs, "{at}");
    }
}

impl<T: Sampled> Sampled for Option<T> {
    fn sample(seeds: &mut Seeds) -> Self {
        Some(T::sample(seeds))
    }
}

impl<Ours: Same<Theirs>, Theirs> Same<Option<Theirs>> for Option<Ours> {
    fn assert_same(&self, theirs: &Option<Theirs>, at: &str) {
        match (self, theirs) {
            (Some(ours), Some(theirs)) => ours.assert_same(theirs, at),
            (ours, theirs) => assert!(ours.is_none() && theirs.is_none(), "{at}: one is unset"),
        }
    }
}

impl<T: Sampled> Sampled for Vec<T> {
    fn sample(seeds: &mut Seeds) -> Self {
        vec![T::sample(seeds), T::sample(seeds)]
    }
}

impl<Ours: Same<Theirs>, Theirs> Same<Vec<Theirs>> for Vec<Ours> {
    fn assert_same(&self, theirs: &Vec<Theirs>, at: &str) {
        assert_eq!(self.len(), theirs.len(), "{at}");
        for (ours, theirs) in self.iter().zip(theirs) {
            ours.assert_same(theirs, at);
        }
    }
}

impl<T: Sampled> Sampled for HashMap<String, T> {
    fn sample(seeds: &mut Seeds) -> Self {
        // One entry only: the order of more is not defined, and bytes are compared.
        HashMap::from([(String::sample(seeds), T::sample(seeds))])
    }
}

impl<Ours: Same<Theirs>, Theirs> Same<HashMap<String, Theirs>> for HashMap<String, Ours> {
    fn assert_same(&self, theirs: &HashMap<String, Theirs>, at: &str) {
        assert_eq!(self.len(), theirs.len(), "{at}");
        for (key, ours) in self {
            ours.assert_same(theirs.get(key).expect("the same keys"), at);
        }
    }
}
