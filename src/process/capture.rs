//! Captures what a program prints, within bounds.
//!
//! Of a compiler's output the first and the last MiB are kept, with a line between them that says
//! how many bytes are missing. The whole stream is read, because a full pipe would block the
//! program.

use tokio::io::{AsyncRead, AsyncReadExt as _};

/// Of a compiler's output.
pub(super) const KEPT_AT_EACH_END: usize = 1 << 20;
/// For programs whose output is a result.
pub(super) const ALL: usize = usize::MAX;
const READ_SIZE: usize = 64 * 1024;

/// The two ends of a stream.
#[derive(Debug)]
pub(super) struct Captured {
    limit: usize,
    head: Vec<u8>,
    /// The end of the stream; older bytes are dropped when it holds twice the limit, so each byte
    /// moves once at most.
    tail: Vec<u8>,
    dropped: u64,
}

impl Captured {
    /// Keeps `limit` bytes at each end.
    pub(super) fn with_limit(limit: usize) -> Self {
        Self {
            limit,
            head: Vec::new(),
            tail: Vec::new(),
            dropped: 0,
        }
    }

    /// Reads until the stream ends or breaks. What has come so far stays here if the future is
    /// dropped.
    pub(super) async fn fill(&mut self, mut stream: impl AsyncRead + Unpin) {
        let mut buffer = Vec::new();
        loop {
            buffer.clear();
            buffer.reserve(READ_SIZE);
            match stream.read_buf(&mut buffer).await {
                Ok(0) | Err(_) => return,
                Ok(_) => self.push(&buffer),
            }
        }
    }

    fn push(&mut self, bytes: &[u8]) {
        let room = self.limit - self.head.len();
        let (first, rest) = bytes.split_at(room.min(bytes.len()));
        self.head.extend_from_slice(first);
        self.tail.extend_from_slice(rest);
        if self.tail.len() >= self.limit.saturating_mul(2) {
            self.drop_old();
        }
    }

    fn drop_old(&mut self) {
        let excess = self.tail.len().saturating_sub(self.limit);
        self.tail.drain(..excess);
        self.dropped += excess as u64;
    }

    pub(super) fn finish(mut self) -> Vec<u8> {
        self.drop_old();
        let mut all = self.head;
        if self.dropped > 0 {
            let marker = format!("\n[{} bytes left out]\n", self.dropped);
            all.extend_from_slice(marker.as_bytes());
        }
        all.append(&mut self.tail);
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn captured(text: &[u8], limit: usize) -> String {
        let mut captured = Captured::with_limit(limit);
        captured.fill(text).await;
        String::from_utf8(captured.finish()).expect("text")
    }

    #[tokio::test]
    async fn a_short_stream_is_kept_whole() {
        assert_eq!(captured(b"", 4).await, "");
        assert_eq!(captured(b"abc", 4).await, "abc");
        assert_eq!(captured(b"abcdefgh", 4).await, "abcdefgh");
        let long = vec![b'x'; 5 * KEPT_AT_EACH_END];
        assert_eq!(captured(&long, ALL).await.len(), long.len());
    }

    #[tokio::test]
    async fn both_ends_of_a_long_stream_are_kept_and_the_gap_is_counted() {
        assert_eq!(
            captured(b"abcdefghi", 4).await,
            "abcd\n[1 bytes left out]\nfghi"
        );
        let long = vec![b'x'; 1000];
        let shown = captured(&long, 10).await;
        assert!(shown.contains("[980 bytes left out]"), "{shown}");
        assert_eq!(shown.matches('x').count(), 20);
    }

    #[test]
    fn memory_is_bounded_while_a_stream_runs() {
        let mut captured = Captured::with_limit(100);
        for _ in 0..1000 {
            captured.push(&[b'x'; 70]);
            assert!(captured.head.len() + captured.tail.len() <= 100 + 2 * 100 + 70);
        }
    }
}
