//! The client of the daemon: a process that lets the daemon do its work.
//!
//! An [`Unavailable`] means that the caller does the work itself. Finding out takes two system
//! calls where there is no daemon, and never long where there is one that does not answer.

use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use tokio::net::UnixStream;
use tokio::time::{Instant, sleep, timeout};

use super::build::Build;
use super::frames::Frames;
use super::link_request::BEAT;
use super::protocol::{
    ClientHello, ClientMessage, Purpose, Request, ServerHello, ServerMessage, Status,
};
use super::runtime_dir::{RuntimeDir, RuntimeDirError};
use super::start::start;
use crate::events::Events;
use crate::link::LinkFailure;
use crate::process::Relto;

/// How long a daemon may take to answer at all.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long one that is being started may take, how often it is looked for, and how many may end at
/// once.
const START: Duration = Duration::from_secs(2);
const LOOK: Duration = Duration::from_millis(5);
const STARTS: usize = 2;
/// After so much silence a daemon is taken for lost.
const SILENCE: Duration = BEAT.saturating_mul(6);
/// How long it may take to tell a daemon so that reads nothing.
const LAST_WORD: Duration = Duration::from_millis(100);
/// How long a link that was given up may take to end.
const FAREWELL: Duration = Duration::from_secs(10);

/// Why there is no daemon for this caller.
#[derive(Debug, thiserror::Error)]
pub enum Unavailable {
    #[error("there is no daemon")]
    None,
    /// It has been told to leave.
    #[error("the daemon is of an older relto")]
    Older,
    #[error("the daemon is of another relto")]
    Other,
    #[error(transparent)]
    RuntimeDir(#[from] RuntimeDirError),
    #[error("the daemon cannot be started")]
    NotStarted(#[source] io::Error),
    #[error("the daemon's socket is another user's")]
    Foreign,
    /// It was there; what it has done counts for nothing.
    #[error("the daemon was lost")]
    Lost(#[source] io::Error),
    #[error("the daemon declines: {0}")]
    Declined(String),
}

impl Unavailable {
    /// Whether a new daemon can be had.
    fn can_be_mended(&self) -> bool {
        matches!(self, Self::None | Self::Older | Self::Lost(_)) && !self.is_silence()
    }

    /// Whether waiting was in vain, and will be for others.
    #[must_use]
    pub fn is_silence(&self) -> bool {
        match self {
            Self::NotStarted(_) => true,
            Self::Lost(error) => error.kind() == io::ErrorKind::TimedOut,
            _ => false,
        }
    }
}

/// A process that may have a daemon.
#[derive(Debug)]
pub struct DaemonClient {
    pub place: RuntimeDir,
    pub build: Build,
    /// Whether it starts one if there is none: the executable, and how long it is to stay idle.
    pub starts: Option<(Relto, Duration)>,
}

impl DaemonClient {
    /// Has a link run. Its events go to `events`. When `given_up` comes, so is the link.
    ///
    /// # Errors
    /// There is no daemon, or no longer: nothing has been done that must not be done again.
    pub async fn link(
        &self,
        request: &Request,
        events: &Events,
        given_up: impl Future<Output = ()>,
    ) -> Result<Result<(), LinkFailure>, Unavailable> {
        let mut frames = self.connect().await?;
        frames.send(request).await.map_err(Unavailable::Lost)?;
        tokio::pin!(given_up);
        let mut wait = SILENCE;
        loop {
            tokio::select! {
                reply = next(&mut frames, wait) => match reply {
                    Ok(ServerMessage::Event(event)) => events.send(event),
                    Ok(ServerMessage::Alive) => {}
                    Ok(ServerMessage::Ended(ended)) => return Ok(ended),
                    Ok(ServerMessage::Declined(reason)) => return Err(Unavailable::Declined(reason)),
                    Err(_) if wait == FAREWELL => return Ok(Err(LinkFailure::Cancelled)),
                    Err(error) => {
                        // One that was frozen must not take away what this process makes meanwhile.
                        let _ = timeout(LAST_WORD, frames.send(&ClientMessage::Abandon)).await;
                        return Err(Unavailable::Lost(error));
                    }
                },
                () = &mut given_up, if wait != FAREWELL => {
                    wait = FAREWELL;
                    // A daemon that is lost has ended the link, too.
                    let _ = frames.send(&ClientMessage::Cancel).await;
                }
            }
        }
    }

    /// Has something done when this process, and the program that it becomes, has ended: when what
    /// is given back is closed.
    ///
    /// # Errors
    /// There is no daemon that will do it.
    pub async fn follow(&self, request: &Request) -> Result<OwnedFd, Unavailable> {
        let mut frames = self.connect().await?;
        frames.send(request).await.map_err(Unavailable::Lost)?;
        match next(&mut frames, PATIENCE).await {
            Ok(ServerMessage::Declined(reason)) => Err(Unavailable::Declined(reason)),
            Ok(_) => frames.into_descriptor().map_err(Unavailable::Lost),
            Err(error) => Err(Unavailable::Lost(error)),
        }
    }

    /// A daemon that takes requests.
    async fn connect(&self) -> Result<Frames, Unavailable> {
        self.place.check()?;
        let answered = self.connect_to_running().await;
        let mended = answered
            .as_ref()
            .err()
            .is_some_and(Unavailable::can_be_mended);
        let Some((relto, idle_timeout)) = self.starts.as_ref().filter(|_| mended) else {
            return answered;
        };
        self.place.prepare()?;
        let (began, mut started) = (Instant::now(), 0);
        loop {
            // Again and again: one that was about to leave may have held the lock.
            let start =
                start(&self.place, relto, *idle_timeout).map_err(Unavailable::NotStarted)?;
            started += usize::from(start);
            sleep(LOOK).await;
            match self.connect_to_running().await {
                Err(unavailable) if unavailable.can_be_mended() => {}
                answered => return answered,
            }
            if began.elapsed() > START || started > STARTS {
                let silent = io::Error::new(io::ErrorKind::TimedOut, "it does not answer");
                return Err(Unavailable::NotStarted(silent));
            }
        }
    }

    async fn connect_to_running(&self) -> Result<Frames, Unavailable> {
        let (frames, answer) = handshake(&self.place, &self.build, Purpose::Work).await?;
        if answer.welcome {
            Ok(frames)
        } else if self.build.is_newer_than(&answer.build) {
            Err(Unavailable::Older)
        } else {
            Err(Unavailable::Other)
        }
    }
}

/// Asks the daemon, of whatever build, for its status, or makes it leave.
///
/// # Errors
/// There is none.
pub async fn control(
    place: &RuntimeDir,
    build: &Build,
    purpose: Purpose,
) -> Result<Option<Status>, Unavailable> {
    place.check()?;
    let (_, answer) = handshake(place, build, purpose).await?;
    Ok(answer.status)
}

async fn handshake(
    place: &RuntimeDir,
    build: &Build,
    purpose: Purpose,
) -> Result<(Frames, ServerHello), Unavailable> {
    let Ok(stream) = UnixStream::connect(place.socket()).await else {
        return Err(Unavailable::None);
    };
    let frames = Frames::with_peer_of_this_user(stream).map_err(Unavailable::Lost)?;
    let mut frames = frames.ok_or(Unavailable::Foreign)?;
    let hello = ClientHello {
        build: build.clone(),
        purpose,
    };
    let answer = async {
        frames.send_first(&hello).await?;
        frames.receive_first().await
    };
    let answer = timeout(PATIENCE, answer).await.map_err(io::Error::from);
    let answer = answer.flatten().map_err(Unavailable::Lost)?;
    Ok((frames, answer))
}

async fn next(frames: &mut Frames, wait: Duration) -> io::Result<ServerMessage> {
    timeout(wait, frames.receive()).await?
}
