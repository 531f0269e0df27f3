//! The files of a link that its page names: they are in the farm's store before, and hold what the
//! farm was asked.

use std::io::Read as _;
use std::path::Path;

use bytes::Bytes;
use flate2::read::GzDecoder;
use fs_err as fs;
use prost::Message as _;
use relto::internals::digest::Digest;
use relto::internals::pb::build_event_stream::File;
use relto::internals::pb::build_event_stream::build_event::Payload;
use relto::internals::pb::build_event_stream::file::File as Contents;
use relto::internals::pb::spawn::ExecLogEntry;
use relto::internals::pb::spawn::exec_log_entry::{self, Spawn, Type};
use tempfile::TempDir;

use super::assert_complete;
use crate::support::daemon::Daemon;
use crate::support::event_server::{Acknowledges, EventRecord, EventRules, EventServer};
use crate::support::farm::{Farm, Profile};
use crate::support::http_store::{HttpAnswer, HttpStore};
use crate::support::link::{Home, Link};
use crate::support::program::{Program, generated};
use crate::support::remote::{here, lenient, strict, with};

/// A link whose files are wanted, in a directory of their own.
struct Logged {
    dir: TempDir,
    server: EventServer,
}

impl Logged {
    fn new() -> Self {
        Self {
            dir: tempfile::tempdir().expect("a directory"),
            server: EventServer::start(EventRules::new(Acknowledges::AtEnd)),
        }
    }

    fn path(&self, name: &str) -> String {
        self.dir.path().join(name).display().to_string()
    }

    fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).expect("written")
    }

    fn link<'a>(&self, link: Link<'a>) -> Link<'a> {
        link.env("RELTO_BES_BACKEND", &self.server.address())
            .env("RELTO_PROFILE", &self.path("profile.json"))
            .env("RELTO_EXECUTION_LOG_JSON_FILE", &self.path("log.json"))
            .env("RELTO_EXECUTION_LOG_COMPACT_FILE", &self.path("log.zst"))
    }

    fn logs(&self) -> Vec<File> {
        let record = self.server.record();
        assert_complete(&record);
        logs(&record)
    }
}

fn logs(record: &EventRecord) -> Vec<File> {
    let events = record.build_events().into_iter();
    let mut logs = events.filter_map(|it| match it.payload {
        Some(Payload::BuildToolLogs(logs)) => Some(logs.log),
        _ => None,
    });
    logs.next().unwrap_or_default()
}

/// What the farm serves by the URI of `log`, which begins with `place`.
fn served(farm: &Farm, log: &File, place: &str) -> Bytes {
    let Some(Contents::Uri(uri)) = &log.file else {
        panic!("{log:?}");
    };
    let expected = format!("bytestream://{place}/blobs/{}/{}", log.digest, log.length);
    assert_eq!(*uri, expected);
    let digests = farm.digests();
    let digest = digests.iter().find(|digest| digest.hex() == log.digest);
    let stored = farm.blob(digest.expect("in the store"));
    stored.expect("in the store")
}

fn entries(log: &[u8]) -> Vec<ExecLogEntry> {
    let bytes = zstd::stream::decode_all(log).expect("zstd");
    let mut rest = &bytes[..];
    let mut entries = Vec::new();
    while !rest.is_empty() {
        entries.push(ExecLogEntry::decode_length_delimited(&mut rest).expect("an entry"));
    }
    entries
}

fn spawns(log: &[u8]) -> Vec<Spawn> {
    let entries = entries(log).into_iter();
    let spawns = entries.filter_map(|entry| match entry.r#type {
        Some(Type::Spawn(spawn)) => Some(spawn),
        _ => None,
    });
    spawns.collect()
}

/// The files that `spawn` reads, or writes: path and hash.
fn files(log: &[u8], spawn: &Spawn, written: bool) -> Vec<(String, String)> {
    let entries = entries(log);
    let of = |id: u32| {
        let found = entries.iter().find(|entry| entry.id == id);
        found.and_then(|entry| entry.r#type.clone()).expect("known")
    };
    let mut open = vec![spawn.input_set_id];
    if written {
        let outputs = spawn.outputs.iter().map(|output| match output.r#type {
            Some(exec_log_entry::output::Type::OutputId(id)) => id,
            None => panic!("{output:?}"),
        });
        open = outputs.collect();
    }
    let mut files = Vec::new();
    while let Some(id) = open.pop() {
        match of(id) {
            Type::File(file) => {
                let hash = file.digest.map(|digest| digest.hash).unwrap_or_default();
                files.push((file.path, hash));
            }
            Type::InputSet(set) => {
                open.extend(set.input_ids);
                open.extend(set.transitive_set_ids);
            }
            other => panic!("{other:?}"),
        }
    }
    files.sort();
    files
}

#[test]
fn profile_and_logs_are_in_the_store_before_they_are_named_and_have_bazels_names() {
    let farm = Farm::start(Profile::plain());
    let logged = Logged::new();
    let program = generated(3);
    logged
        .link(strict(&program, &farm.environment()))
        .run_at(here())
        .expect_works();
    let logs = logged.logs();
    let names: Vec<_> = logs.iter().map(|log| log.name.as_str()).collect();
    let expected = [
        "command.profile.gz",
        "execution_log.json",
        "execution_log.binpb.zst",
    ];
    assert_eq!(names, expected);
    let place = format!("127.0.0.1:{}", farm.port());
    let mut profile = String::new();
    let packed = served(&farm, &logs[0], &place);
    let mut unpacked = GzDecoder::new(&packed[..]);
    unpacked.read_to_string(&mut profile).expect("gzip");
    assert_eq!(profile.into_bytes(), logged.read("profile.json"));
    assert_eq!(served(&farm, &logs[1], &place), logged.read("log.json"));
    assert_eq!(served(&farm, &logs[2], &place), logged.read("log.zst"));
}

#[test]
fn viewers_of_a_farm_at_a_socket_get_the_address_that_the_user_names() {
    let farm = Farm::start(Profile::plain());
    let program = generated(3);
    let mut environment = farm.environment();
    for (name, value) in &mut environment {
        if *name == "RELTO_REMOTE_EXECUTOR" {
            *value = farm.unix_address();
        }
    }
    let logged = Logged::new();
    logged
        .link(strict(&program, &environment))
        .run_at(here())
        .expect_works();
    assert_eq!(logged.logs(), []);
    let logged = Logged::new();
    logged
        .link(strict(&program, &environment))
        .env(
            "RELTO_REMOTE_BYTESTREAM_URI_PREFIX",
            "farm.example.com/main/",
        )
        .run_at(here())
        .expect_works();
    let logs = logged.logs();
    assert_eq!(logs.len(), 3);
    for log in &logs {
        served(&farm, log, "farm.example.com/main");
    }
}

#[test]
fn a_farm_that_only_caches_has_the_logs_too_and_a_cache_of_http_has_none() {
    let farm = Farm::start(Profile::plain());
    let program = generated(3);
    let logged = Logged::new();
    logged
        .link(Link::new(&program))
        .env("RELTO_REMOTE_CACHE", &farm.address())
        .run_at(here())
        .expect_works();
    assert_eq!(logged.logs().len(), 3);
    let store = HttpStore::new(|_| HttpAnswer::Right);
    let logged = Logged::new();
    logged
        .link(lenient(&program, &[]))
        .env("RELTO_REMOTE_CACHE", &store.address())
        .run_at(here())
        .expect_works();
    assert_eq!(logged.logs(), []);
}

/// The program linked with this home, and the log of that.
fn compact_log(
    program: &Program,
    home: &Home,
    environment: &[(&str, String)],
) -> (Vec<u8>, TempDir) {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("log.zst");
    let link = Link::new(program).env(
        "RELTO_EXECUTION_LOG_COMPACT_FILE",
        &path.display().to_string(),
    );
    with(link, environment).run_at(home).expect_works();
    (fs::read(path).expect("written"), dir)
}

#[test]
fn the_compact_log_says_what_each_job_read_and_wrote_as_the_farm_has_it() {
    let farm = Farm::start(Profile::plain());
    let program = generated(4);
    let environment = farm.environment();
    let home = Home::new();
    let (first, _dir) = compact_log(&program, &home, &environment);
    let jobs = spawns(&first);
    assert_eq!(jobs.len(), program.modules.len());
    let actions = farm.results();
    let blobs: Vec<String> = farm.digests().iter().map(Digest::hex).collect();
    for job in &jobs {
        assert_eq!((&*job.mnemonic, &*job.runner), ("ThinLTOBackend", "remote"));
        assert!(job.cacheable && !job.cache_hit && job.status.is_empty());
        let digest = job.digest.as_ref().expect("an Action");
        assert!(actions.keys().any(|action| action.hex() == digest.hash));
        let inputs = files(&first, job, false);
        for (path, hash) in &inputs {
            assert!(blobs.contains(hash), "{path} is not in the farm's store");
        }
        let named = |word: &str| inputs.iter().any(|(path, _)| word.ends_with(path));
        assert!(job.args.iter().any(|word| named(word)), "{:?}", job.args);
        for (path, hash) in files(&first, job, true) {
            assert!(blobs.contains(&hash), "{path} is not in the farm's store");
        }
        let metrics = job.metrics.as_ref().expect("metrics");
        assert!(metrics.execution_wall_time.is_some() && metrics.input_files > 0);
    }
    // Another link has the same names and contents: only where results come from differs.
    let (second, _dir) = compact_log(&program, &home, &environment);
    let read_and_written = |log: &[u8]| {
        let mut all: Vec<_> = spawns(log)
            .iter()
            .map(|job| {
                (
                    job.args.clone(),
                    files(log, job, false),
                    files(log, job, true),
                )
            })
            .collect();
        all.sort();
        all
    };
    assert_eq!(read_and_written(&first), read_and_written(&second));
    assert!(spawns(&second).iter().all(|job| job.cache_hit));
}

#[test]
fn a_daemon_that_runs_the_link_makes_the_same_log() {
    let program = generated(3);
    let daemon = Daemon::new();
    let on = [("RELTO_DAEMON", "on".to_owned())];
    let (by_daemon, _dir) = compact_log(&program, &daemon.home, &on);
    assert!(daemon.process().is_some());
    let (here, _dir) = compact_log(&program, &Home::new(), &[]);
    let told = |log: &[u8]| {
        let mut all: Vec<_> = spawns(log)
            .iter()
            .map(|job| {
                (
                    job.target_label.clone(),
                    files(log, job, false),
                    job.runner.clone(),
                )
            })
            .collect();
        all.sort();
        all
    };
    assert_eq!(told(&by_daemon), told(&here));
}

#[test]
fn a_profile_whose_name_ends_in_gz_is_compressed() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = |name: &str| dir.path().join(name);
    for name in ["p.json", "p.gz"] {
        Link::new(&generated(3))
            .env("RELTO_PROFILE", &path(name).display().to_string())
            .run_at(here())
            .expect_works();
    }
    let text = |name: &str| -> serde_json::Value {
        let bytes = fs::read(path(name)).expect("written");
        if Path::new(name).extension().is_some_and(|it| it == "gz") {
            let mut text = String::new();
            let mut unpacked = GzDecoder::new(&bytes[..]);
            unpacked.read_to_string(&mut text).expect("gzip");
            return serde_json::from_str(&text).expect("JSON");
        }
        serde_json::from_slice(&bytes).expect("JSON")
    };
    for name in ["p.json", "p.gz"] {
        assert!(text(name)["traceEvents"].is_array(), "{name}");
    }
}
