//! Unambiguous byte strings, and their hash.

/// A 256-bit hash.
pub type Hash = [u8; 32];

/// Collects numbers, texts and hashes. Every piece delimits itself, so two different sequences of
/// pieces never give the same bytes, as long as the reader of one would know which kind comes next.
#[derive(Debug, Default, Clone)]
pub(super) struct Encoder(Vec<u8>);

impl Encoder {
    #[inline]
    pub(super) fn number(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value.to_le_bytes()[0] | 0x80);
            value >>= 7;
        }
        self.0.push(value.to_le_bytes()[0]);
    }

    pub(super) fn text(&mut self, text: &[u8]) {
        self.number(text.len() as u64);
        self.0.extend_from_slice(text);
    }

    /// Numbers preceded by their count.
    pub(super) fn numbers(&mut self, values: &[u64]) {
        self.number(values.len() as u64);
        for value in values {
            self.number(*value);
        }
    }

    pub(super) fn hash(&mut self, hash: &Hash) {
        self.0.extend_from_slice(hash);
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

/// The first eight bytes of a text's hash.
pub(super) fn short_hash(text: &[u8]) -> u64 {
    let hash: Hash = blake3::hash(text).into();
    let (words, _) = hash.as_chunks::<8>();
    u64::from_le_bytes(words[0])
}
