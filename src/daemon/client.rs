//! The client of the daemon: a process that lets the daemon do its work.
//!
//! Without a daemon, two system calls show that there is none, and a daemon that does not answer
//! costs little time. If the daemon is [`Unavailable`], the caller does the work itself.

use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use tokio::net::UnixStream;
use tokio::time::{Instant, sleep, timeout};

use super::build::Build;
use super::frames::Frames;
use super::protocol::{
    ClientHello, ClientMessage, DaemonRequest, Purpose, SILENCE, ServerHello, ServerMessage, Status,
};
use super::runtime_dir::{RuntimeDir, RuntimeDirError};
use super::start::start;
use crate::events::Events;
use crate::link::LinkFailure;
use crate::process::Relto;

/// How long a daemon may take to answer at all.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a daemon that is being started may take, how often it is polled, and how many that end
/// at once are replaced.
const START: Duration = Duration::from_secs(2);
const LOOK: Duration = Duration::from_millis(5);
const STARTS: usize = 2;
/// How long sending that may take with a daemon that reads nothing.
const LAST_WORD: Duration = Duration::from_millis(100);
/// How long a cancelled link may take to end.
const CANCEL_TIMEOUT: Duration = Duration::from_secs(10);

/// Why there is no daemon for this caller.
#[derive(Debug, thiserror::Error)]
pub enum Unavailable {
    #[error("there is no daemon")]
    None,
    /// It is shutting down.
    #[error("the daemon runs an older relto")]
    Older,
    #[error("the daemon runs another relto")]
    Other,
    #[error(transparent)]
    RuntimeDir(#[from] RuntimeDirError),
    #[error("the daemon cannot be started")]
    NotStarted(#[source] io::Error),
    #[error("the daemon's socket belongs to another user")]
    Foreign,
    #[error("cannot read the daemon's key")]
    NoKey(#[source] io::Error),
    /// It was there; what it did is not used.
    #[error("the connection to the daemon was lost")]
    Lost(#[source] io::Error),
    #[error("the daemon declines: {0}")]
    Declined(String),
}

impl Unavailable {
    /// Whether starting a daemon can help.
    fn can_be_replaced(&self) -> bool {
        matches!(self, Self::None | Self::Older | Self::Lost(_)) && !self.is_timeout()
    }

    /// Whether the daemon did not answer in time, and will not answer others.
    #[must_use]
    pub fn is_timeout(&self) -> bool {
        match self {
            Self::NotStarted(_) => true,
            Self::Lost(error) => error.kind() == io::ErrorKind::TimedOut,
            _ => false,
        }
    }
}

/// A process that may use a daemon.
#[derive(Debug)]
pub struct DaemonClient {
    pub runtime_dir: RuntimeDir,
    pub build: Build,
    /// Whether it starts one if there is none: the executable, and how long the daemon stays idle.
    pub starts: Option<(Relto, Duration)>,
}

impl DaemonClient {
    /// Has a link run, with its events sent to `events`. The link is cancelled when `cancelled`
    /// resolves.
    ///
    /// # Errors
    /// There is no daemon, or the connection was lost: the work can be done again.
    pub async fn link(
        &self,
        request: &DaemonRequest,
        events: &Events,
        cancelled: impl Future<Output = ()>,
    ) -> Result<Result<(), LinkFailure>, Unavailable> {
        tokio::pin!(cancelled);
        let mut frames = tokio::select! {
            asked = self.asked(request) => asked?,
            // A daemon that has only a part of the request drops it.
            () = &mut cancelled => return Ok(Err(LinkFailure::Cancelled)),
        };
        let mut limit = SILENCE;
        loop {
            tokio::select! {
                reply = next(&mut frames, limit) => match reply {
                    Ok(ServerMessage::Event(event)) => events.send(event),
                    Ok(ServerMessage::Alive) => {}
                    Ok(ServerMessage::Ended(ended)) => return Ok(ended),
                    Ok(ServerMessage::Declined(reason)) => return Err(Unavailable::Declined(reason)),
                    Err(_) if limit == CANCEL_TIMEOUT => return Ok(Err(LinkFailure::Cancelled)),
                    Err(error) => {
                        // A daemon that was frozen must not remove what this process writes
                        // meanwhile.
                        let _ = timeout(LAST_WORD, frames.send(&ClientMessage::Abandon)).await;
                        return Err(Unavailable::Lost(error));
                    }
                },
                () = &mut cancelled, if limit != CANCEL_TIMEOUT => {
                    limit = CANCEL_TIMEOUT;
                    // If the daemon is lost, so is the link.
                    let _ = timeout(LAST_WORD, frames.send(&ClientMessage::Cancel)).await;
                }
            }
        }
    }

    /// Has a request served when this process, and the program that it becomes, has ended: when the
    /// returned descriptor is closed.
    ///
    /// # Errors
    /// No daemon accepts the request.
    pub async fn run_at_exit(&self, request: &DaemonRequest) -> Result<OwnedFd, Unavailable> {
        let accepted = self.accepted(request, ANSWER_TIMEOUT).await?;
        accepted.into_descriptor().map_err(Unavailable::Lost)
    }

    /// Has a request served after this process, within `limit` of asking.
    ///
    /// # Errors
    /// No daemon accepts the request.
    pub async fn leave(&self, request: &DaemonRequest, limit: Duration) -> Result<(), Unavailable> {
        self.accepted(request, limit).await?;
        Ok(())
    }

    /// The connection to a daemon that has `request`.
    async fn asked(&self, request: &DaemonRequest) -> Result<Frames, Unavailable> {
        let mut frames = self.connect_or_start().await?;
        frames.send(request).await.map_err(Unavailable::Lost)?;
        Ok(frames)
    }

    /// The connection to a daemon that has accepted `request` within `limit` of asking.
    async fn accepted(
        &self,
        request: &DaemonRequest,
        limit: Duration,
    ) -> Result<Frames, Unavailable> {
        let mut frames = self.connect_or_start().await?;
        let answer = async {
            frames.send(request).await?;
            frames.receive().await
        };
        let answer = timeout(limit, answer).await.map_err(io::Error::from);
        match answer.flatten() {
            Ok(ServerMessage::Declined(reason)) => Err(Unavailable::Declined(reason)),
            Ok(_) => Ok(frames),
            Err(error) => Err(Unavailable::Lost(error)),
        }
    }

    /// A daemon that accepts requests, started if need be.
    async fn connect_or_start(&self) -> Result<Frames, Unavailable> {
        self.runtime_dir.check()?;
        let answered = self.connect().await;
        let replaceable = answered
            .as_ref()
            .err()
            .is_some_and(Unavailable::can_be_replaced);
        let Some((relto, idle_timeout)) = self.starts.as_ref().filter(|_| replaceable) else {
            return answered;
        };
        self.runtime_dir.prepare()?;
        let (began, mut started) = (Instant::now(), 0);
        loop {
            // In each round: a daemon that was about to end may have held the lock.
            let start =
                start(&self.runtime_dir, relto, *idle_timeout).map_err(Unavailable::NotStarted)?;
            started += usize::from(start);
            sleep(LOOK).await;
            match self.connect().await {
                Err(unavailable) if unavailable.can_be_replaced() => {}
                answered => return answered,
            }
            if began.elapsed() > START || started > STARTS {
                let timed_out = io::Error::new(io::ErrorKind::TimedOut, "it does not answer");
                return Err(Unavailable::NotStarted(timed_out));
            }
        }
    }

    async fn connect(&self) -> Result<Frames, Unavailable> {
        let (frames, answer) = handshake(&self.runtime_dir, &self.build, Purpose::Work).await?;
        if answer.welcome {
            Ok(frames)
        } else if self.build.is_newer_than(&answer.build) {
            Err(Unavailable::Older)
        } else {
            Err(Unavailable::Other)
        }
    }
}

/// Asks the daemon, of whatever build, for its status, or shuts it down.
///
/// # Errors
/// There is none.
pub async fn control(
    runtime_dir: &RuntimeDir,
    build: &Build,
    purpose: Purpose,
) -> Result<Option<Status>, Unavailable> {
    runtime_dir.check()?;
    let (_, answer) = handshake(runtime_dir, build, purpose).await?;
    Ok(answer.status)
}

async fn handshake(
    runtime_dir: &RuntimeDir,
    build: &Build,
    purpose: Purpose,
) -> Result<(Frames, ServerHello), Unavailable> {
    let Ok(stream) = UnixStream::connect(runtime_dir.socket()).await else {
        return Err(Unavailable::None);
    };
    let frames = Frames::with_peer_of_this_user(stream).map_err(Unavailable::Lost)?;
    let mut frames = frames.ok_or(Unavailable::Foreign)?;
    let hello = ClientHello {
        build: build.clone(),
        purpose,
        key: runtime_dir.key().map_err(Unavailable::NoKey)?,
    };
    let answer = async {
        frames.send_first(&hello).await?;
        frames.receive_first().await
    };
    let answer = timeout(ANSWER_TIMEOUT, answer)
        .await
        .map_err(io::Error::from);
    let answer = answer.flatten().map_err(Unavailable::Lost)?;
    Ok((frames, answer))
}

async fn next(frames: &mut Frames, limit: Duration) -> io::Result<ServerMessage> {
    timeout(limit, frames.receive()).await?
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use tokio::net::UnixListener;

    use super::*;
    use crate::daemon::protocol::LinkRequest;
    use crate::link::Options;
    use crate::prefetch::no_jobs;
    use crate::task::{Task, spawn};

    /// A daemon that welcomes a caller and reads no more of what it sends.
    struct DeafDaemon {
        client: DaemonClient,
        serving: Task<Frames>,
        _parent: tempfile::TempDir,
    }

    impl DeafDaemon {
        fn new() -> Self {
            let parent = tempfile::tempdir().expect("a directory");
            let runtime_dir = RuntimeDir::new(parent.path().join("relto"));
            runtime_dir.prepare().expect("made");
            runtime_dir.new_key().expect("written");
            let listener = UnixListener::bind(runtime_dir.socket()).expect("bound");
            let build = Build::of_process().expect("an executable");
            let answer = ServerHello {
                build: build.clone(),
                welcome: true,
                status: None,
            };
            let serving = spawn(async move {
                let (stream, _) = listener.accept().await.expect("a caller");
                let frames = Frames::with_peer_of_this_user(stream).expect("a peer");
                let mut frames = frames.expect("of this user");
                let _: ClientHello = frames.receive_first().await.expect("a hello");
                frames.send_first(&answer).await.expect("sent");
                // From now on only timers are waited for.
                tokio::time::pause();
                frames
            });
            Self {
                client: DaemonClient {
                    runtime_dir,
                    build,
                    starts: None,
                },
                serving,
                _parent: parent,
            }
        }

        /// Ends the connection of a caller that is done.
        async fn end(self) {
            drop(self.serving.await);
        }
    }

    /// More than the buffers of a socket hold.
    fn long_request() -> DaemonRequest {
        let mut file = no_jobs("clang".to_owned());
        file.common_arguments.push("x".repeat(64 << 20));
        let link = LinkRequest::of_process(&file, &Options::default());
        DaemonRequest::Link(Box::new(link.expect("a directory")))
    }

    #[tokio::test]
    async fn a_daemon_that_reads_no_request_is_given_up() {
        let daemon = DeafDaemon::new();
        let (request, events) = (long_request(), Events::discarded());
        let ended = daemon.client.link(&request, &events, pending()).await;
        let unavailable = ended.expect_err("no daemon has the request");
        assert!(unavailable.is_timeout(), "{unavailable}");
        daemon.end().await;
    }

    #[tokio::test]
    async fn a_request_that_no_daemon_reads_is_not_left_to_one() {
        let daemon = DeafDaemon::new();
        let left = daemon.client.leave(&long_request(), ANSWER_TIMEOUT).await;
        assert!(left.expect_err("no daemon has the request").is_timeout());
        daemon.end().await;
    }

    #[tokio::test]
    async fn a_signal_ends_the_sending_of_a_request() {
        let daemon = DeafDaemon::new();
        let (request, events) = (long_request(), Events::discarded());
        let signal = sleep(SILENCE / 2);
        let ended = daemon.client.link(&request, &events, signal).await;
        assert!(matches!(ended, Ok(Err(LinkFailure::Cancelled))));
        daemon.end().await;
    }
}
