//! Frames on a socket: a length of four bytes, and that many bytes.
//!
//! They carry values in one of two forms (see [`protocol`](super::protocol)). A frame that cannot
//! be decoded ends the connection.

use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use fs_err as fs;
use futures_util::StreamExt as _;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::AsyncWriteExt as _;
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::time::timeout;
use tokio_util::codec::{FramedRead, LengthDelimitedCodec};

use super::protocol::SILENCE;

/// The job file of a link of a hundred thousand modules is smaller.
const LARGEST_FRAME: usize = 512 << 20;

/// A first frame holds a build and a key. Memory for a frame is taken when its length is known, and
/// who has no key, as a confined compiler, must not take more.
const LARGEST_FIRST_FRAME: usize = 64 << 10;

/// What is written at a time: an end that takes that much within [`SILENCE`] is not stopped.
const CHUNK: usize = 64 << 10;

/// How long a process that closed its socket may take to end, and how often it is checked.
const END: Duration = Duration::from_secs(2);
const END_POLL: Duration = Duration::from_millis(10);

/// One end of a connection.
#[derive(Debug)]
pub(super) struct Frames {
    incoming: FramedRead<OwnedReadHalf, LengthDelimitedCodec>,
    outgoing: OwnedWriteHalf,
    /// Encoded frames that are not written yet.
    queued: Vec<u8>,
    peer: Peer,
}

/// The process at the other end; `None` if it cannot be seen from here.
#[derive(Debug, Clone, Copy)]
pub(super) struct Peer(Option<i32>);

impl Peer {
    /// Whether it ends soon. A process that closed its socket and lives on is not gone.
    pub(super) async fn is_gone(self) -> bool {
        let Some(process) = self.0 else { return false };
        let look = async {
            while lives(process) {
                tokio::time::sleep(END_POLL).await;
            }
        };
        timeout(END, look).await.is_ok()
    }
}

/// A process that has ended stays visible until its parent reaps it.
fn lives(process: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    let state = stat.rsplit_once(") ").map(|(_, rest)| rest.as_bytes()[0]);
    !matches!(state, None | Some(b'Z' | b'X'))
}

impl Frames {
    /// `None` if the other end belongs to another user.
    pub(super) fn with_peer_of_this_user(stream: UnixStream) -> io::Result<Option<Self>> {
        let peer = stream.peer_cred()?;
        if peer.uid() != rustix::process::geteuid().as_raw() {
            return Ok(None);
        }
        let (incoming, outgoing) = stream.into_split();
        let codec = LengthDelimitedCodec::builder()
            .max_frame_length(LARGEST_FIRST_FRAME)
            .new_codec();
        Ok(Some(Self {
            incoming: FramedRead::new(incoming, codec),
            outgoing,
            queued: Vec::new(),
            peer: Peer(peer.pid().filter(|process| *process > 0)),
        }))
    }

    /// The socket itself; what was received and not read is lost.
    pub(super) fn into_descriptor(self) -> io::Result<OwnedFd> {
        let stream = self.incoming.into_inner().reunite(self.outgoing);
        Ok(stream.map_err(io::Error::other)?.into_std()?.into())
    }

    pub(super) fn peer(&self) -> Peer {
        self.peer
    }

    /// This end's first frame.
    pub(super) async fn send_first(&mut self, value: &impl Serialize) -> io::Result<()> {
        self.queue_frame(&serde_json::to_vec(value)?)?;
        self.flush().await
    }

    pub(super) async fn send(&mut self, value: &impl Serialize) -> io::Result<()> {
        self.queue(value)?;
        self.flush().await
    }

    /// Sends with the next `send` or `flush`.
    pub(super) fn queue(&mut self, value: &impl Serialize) -> io::Result<()> {
        self.queue_frame(&postcard::to_stdvec(value).map_err(io::Error::other)?)
    }

    fn queue_frame(&mut self, frame: &[u8]) -> io::Result<()> {
        let length = u32::try_from(frame.len()).map_err(io::Error::other)?;
        self.queued.extend_from_slice(&length.to_be_bytes());
        self.queued.extend_from_slice(frame);
        Ok(())
    }

    /// Once this has failed, or was dropped, the other end may have a part of a frame: nothing can
    /// be sent after it.
    pub(super) async fn flush(&mut self) -> io::Result<()> {
        let queued = std::mem::take(&mut self.queued);
        for chunk in queued.chunks(CHUNK) {
            timeout(SILENCE, self.outgoing.write_all(chunk)).await??;
        }
        Ok(())
    }

    /// The other end's first frame.
    pub(super) async fn receive_first<T: DeserializeOwned>(&mut self) -> io::Result<T> {
        let frame = self.next().await?;
        self.incoming
            .decoder_mut()
            .set_max_frame_length(LARGEST_FRAME);
        Ok(serde_json::from_slice(&frame)?)
    }

    /// May be dropped and called again.
    pub(super) async fn receive<T: DeserializeOwned>(&mut self) -> io::Result<T> {
        let frame = self.next().await?;
        postcard::from_bytes(&frame).map_err(io::Error::other)
    }

    async fn next(&mut self) -> io::Result<bytes::BytesMut> {
        match self.incoming.next().await {
            Some(frame) => frame,
            None => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_first_frame_that_claims_to_be_long_is_refused_before_it_arrives() {
        let (ours, mut theirs) = UnixStream::pair().expect("a pair");
        let frames = Frames::with_peer_of_this_user(ours).expect("a peer");
        let mut frames = frames.expect("of this user");
        theirs.write_u32(1 << 20).await.expect("sent");
        let refused = frames.receive_first::<String>().await;
        assert_eq!(
            refused.expect_err("too long").kind(),
            io::ErrorKind::InvalidData
        );
    }

    #[tokio::test]
    async fn later_frames_may_be_long() {
        let pair = UnixStream::pair().expect("a pair");
        let frames = [pair.0, pair.1].map(Frames::with_peer_of_this_user);
        let [mut ours, mut theirs] = frames.map(|it| it.expect("a peer").expect("of this user"));
        let long = "x".repeat(1 << 20);
        let sending = async {
            theirs.send_first(&"hello").await.expect("sent");
            theirs.send(&long).await.expect("sent");
        };
        let receiving = async {
            let first: String = ours.receive_first().await.expect("received");
            assert_eq!(first, "hello");
            let second: String = ours.receive().await.expect("received");
            assert_eq!(second, long);
        };
        tokio::join!(sending, receiving);
    }
}
