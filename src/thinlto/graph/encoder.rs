//! Unambiguous byte strings, and their hash.

/// A 256-bit hash.
pub type Hash = [u8; 32];

/// Collects numbers, texts and hashes. Every piece delimits itself, so two different sequences of
/// pieces never give the same bytes, as long as the reader of one would know which kind comes next.
#[derive(Debug, Default, Clone)]
pub(super) struct Encoder(Vec<u8>);

impl Encoder {
    /// Says what follows, or how much of it: it makes the other pieces unambiguous and is none of
    /// the module's fields.
    #[inline]
    pub(super) fn tag(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value.to_le_bytes()[0] | 0x80);
            value >>= 7;
        }
        self.0.push(value.to_le_bytes()[0]);
    }

    #[inline]
    #[cfg_attr(test, track_caller)]
    pub(super) fn number(&mut self, value: u64) {
        if !is_left_out() {
            self.tag(value);
        }
    }

    #[cfg_attr(test, track_caller)]
    pub(super) fn text(&mut self, text: &[u8]) {
        if !is_left_out() {
            self.tag(text.len() as u64);
            self.0.extend_from_slice(text);
        }
    }

    /// Numbers preceded by their count.
    #[cfg_attr(test, track_caller)]
    pub(super) fn numbers(&mut self, values: &[u64]) {
        if !is_left_out() {
            self.tag(values.len() as u64);
            for value in values {
                self.tag(*value);
            }
        }
    }

    #[cfg_attr(test, track_caller)]
    pub(super) fn hash(&mut self, hash: &Hash) {
        if !is_left_out() {
            self.0.extend_from_slice(hash);
        }
    }

    pub(super) fn finish(&self) -> Hash {
        blake3::hash(&self.0).into()
    }

    /// The hash of this and of what follows.
    pub(super) fn finish_with(&mut self, trailer: &Self) -> Hash {
        let length = self.0.len() as u64;
        self.0.extend_from_slice(&trailer.0);
        self.0.extend_from_slice(&length.to_le_bytes());
        self.finish()
    }
}

/// Whether a test leaves out the field that the caller's caller writes.
#[cfg(test)]
#[track_caller]
pub(super) fn is_left_out() -> bool {
    super::tests::omission::is_left_out()
}

#[cfg(not(test))]
#[inline]
pub(super) const fn is_left_out() -> bool {
    false
}

/// Tells tests that what follows belongs to a record of this kind.
#[inline]
#[cfg_attr(
    not(test),
    expect(clippy::missing_const_for_fn, reason = "tests note it")
)]
pub(super) fn within(kind: u64) {
    #[cfg(test)]
    super::tests::omission::within(kind);
    let _ = kind;
}

/// Tells tests that this part of the record follows.
#[inline]
#[cfg_attr(
    not(test),
    expect(clippy::missing_const_for_fn, reason = "tests note it")
)]
pub(super) fn part(number: usize) {
    #[cfg(test)]
    super::tests::omission::part(number);
    let _ = number;
}

/// The first eight bytes of a text's hash.
pub(super) fn short_hash(text: &[u8]) -> u64 {
    let hash: Hash = blake3::hash(text).into();
    let (words, _) = hash.as_chunks::<8>();
    u64::from_le_bytes(words[0])
}
