//! The build events of builds whose backends this daemon runs: one stream a build, held by the
//! connection that began it until the build has ended.

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::fs::OFlags;
use tokio::time::{Instant, sleep};

use super::state::Daemon;
use crate::bes::{BesOptions, BuildStream};
use crate::digest::{DigestFunction, is_hash};
use crate::events::{Event, Events};
use crate::fs::OwnDir;
use crate::link::Options;
use crate::process::BuildProcess;
use crate::task::lock;

/// How often a build is looked at, and how long it may pause if there is no process to look at.
const PARENT_POLL: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_mins(1);
/// Where ids are remembered that have been used: servers drop what comes under them later.
const USED: &str = "build-events";
const REMEMBERED: Duration = Duration::from_hours(24);

/// By [`key`]; `None` for those that no more events are published of.
#[derive(Debug, Default)]
pub(super) struct BuildStreams(Mutex<HashMap<String, Option<Arc<PublishedBuild>>>>);

/// A build under way.
#[derive(Debug)]
pub(super) struct PublishedBuild {
    key: String,
    stream: BuildStream,
    process: Option<BuildProcess>,
    /// Links under way, and when there was one last.
    links: Mutex<(usize, Instant)>,
}

/// A link that is part of a build, until it is dropped.
#[derive(Debug)]
pub(super) struct Membership(Arc<PublishedBuild>);

impl Membership {
    pub(super) fn stream(&self) -> &BuildStream {
        &self.0.stream
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        let mut links = lock(&self.0.links);
        *links = (links.0 - 1, Instant::now());
    }
}

impl BuildStreams {
    /// The build of a link with these options, if it is published. The second part is the build if
    /// its stream is to be held by the caller.
    pub(super) fn join(
        &self,
        options: &Options,
        process: Option<BuildProcess>,
        events: &Events,
    ) -> Option<(Membership, Option<Arc<PublishedBuild>>)> {
        let bes = options.bes.as_ref()?;
        let key = key(bes);
        let mut builds = lock(&self.0);
        let is_new = !builds.contains_key(&key);
        let build = builds
            .entry(key.clone())
            .or_insert_with(|| open(key, bes, options, process, events))
            .clone()?;
        lock(&build.links).0 += 1;
        let held = is_new.then(|| Arc::clone(&build));
        Some((Membership(build), held))
    }
}

/// Which stream: the build's, to one receiver. Directories of one build may name others, each with
/// its own credentials.
fn key(bes: &BesOptions) -> String {
    let transport = &bes.transport;
    let receiver = (
        &bes.backend,
        &bes.instance_name,
        &bes.headers,
        &transport.tls,
        &transport.credential_helpers,
    );
    let bytes = postcard::to_stdvec(&(&transport.caller.invocation_id, receiver));
    // What came out of a frame can be put into one.
    DigestFunction::Sha256
        .digest(&bytes.unwrap_or_default())
        .hex()
}

fn open(
    key: String,
    bes: &BesOptions,
    options: &Options,
    process: Option<BuildProcess>,
    events: &Events,
) -> Option<Arc<PublishedBuild>> {
    let refused = |reason: &str| {
        events.warning(format!("the build has no page: {reason}"), None);
        None
    };
    let dir = options.client_context.dir();
    let stream = match BuildStream::open(bes, &dir) {
        Ok(stream) => stream?,
        Err(error) => return refused(&error.to_string()),
    };
    // A daemon that was started in the middle of a build has no numbers to go on with.
    if let Some(state) = &options.state_dir
        && let Err(error) = mark_used(state, &key)
    {
        return refused(&match error.kind() {
            io::ErrorKind::AlreadyExists => {
                "events under its invocation id were sent before".to_owned()
            }
            _ => error.to_string(),
        });
    }
    if let Some(page) = bes.page() {
        events.send(Event::Streaming { page });
    }
    Some(Arc::new(PublishedBuild {
        key,
        stream,
        process,
        links: Mutex::new((0, Instant::now())),
    }))
}

/// Leaves a file for `key` below the directory `state`, which must not be there, and removes old
/// ones. Its name is a digest: whatever `key` is, it is no path.
fn mark_used(state: &Path, key: &str) -> io::Result<()> {
    let dir = OwnDir::make_below(state, Path::new(USED))?;
    dir.remove_older(REMEMBERED, is_hash)?;
    let name = DigestFunction::Sha256.digest(key.as_bytes()).hex();
    dir.open_file(&name, OFlags::CREATE | OFlags::EXCL)?;
    Ok(())
}

impl PublishedBuild {
    /// Publishes it until it has ended.
    pub(super) async fn hold(&self, daemon: &Daemon) {
        let over = async {
            tokio::select! {
                () = self.ended() => false,
                () = daemon.leaving.cancelled() => true,
            }
        };
        if let Err(error) = self.stream.publish(over).await {
            tracing::info!("the page of a build is not complete: {error}");
        }
        lock(&daemon.build_streams.0).insert(self.key.clone(), None);
    }

    async fn ended(&self) {
        loop {
            sleep(PARENT_POLL).await;
            let (links, since) = *lock(&self.links);
            let is_over = match self.process {
                Some(process) => !process.is_there(),
                None => since.elapsed() > LONGEST_PAUSE,
            };
            if links == 0 && is_over {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use fs_err as fs;

    use super::*;
    use crate::reapi::Header;

    #[test]
    fn a_stream_is_of_one_build_and_one_receiver() {
        let of = |change: &dyn Fn(&mut BesOptions)| {
            let mut bes = BesOptions::default();
            change(&mut bes);
            key(&bes)
        };
        let header = || Header {
            name: "x-key".to_owned(),
            value: "secret".to_owned(),
        };
        let keys = [
            of(&|_| {}),
            of(&|bes| bes.transport.caller.invocation_id = "another".to_owned()),
            of(&|bes| bes.instance_name = "another".to_owned()),
            of(&|bes| bes.headers.push(header())),
            of(&|bes| bes.transport.tls.certificate = Some("ca.pem".into())),
        ];
        let different: std::collections::BTreeSet<_> = keys.iter().collect();
        assert_eq!(different.len(), keys.len());
        assert_eq!(
            of(&|bes| bes.shown.push((String::new(), String::new()))),
            keys[0]
        );
    }

    #[test]
    fn an_invocation_id_that_is_a_path_makes_no_file_there_and_is_used_once() {
        let top = tempfile::tempdir().expect("a directory");
        let (dir, elsewhere) = (top.path().join("state"), top.path().join("elsewhere"));
        let absolute = elsewhere.display().to_string();
        for id in [&absolute, "../elsewhere", "plain"] {
            mark_used(&dir, id).expect("marked");
            assert!(!elsewhere.exists(), "{id}");
            let again = mark_used(&dir, id).expect_err("used before");
            assert_eq!(again.kind(), io::ErrorKind::AlreadyExists, "{id}");
        }
        assert_eq!(fs::read_dir(dir.join(USED)).expect("listed").count(), 3);
    }
}
