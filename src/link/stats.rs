//! Leaves notes for later links: estimates for their order and a line for `relto stats`. Starts a
//! process that trims the disk cache when that has grown beyond its limit.
//!
//! None of this delays a link or makes it fail.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Instant, SystemTime};

use fs_err as fs;

use super::options::Options;
use crate::cache::record_growth;
use crate::client_context::ClientContext;
use crate::events::{self, Events, JobId, Origin, OriginCounts, Verdict, micros};
use crate::exec::{Compiled, Planned};
use crate::history::{Estimate, History, LinkKeys, LinkRecord, ModuleKey, ModuleNames};
use crate::job::{Caller, Job};
use crate::process::{Relto, detach};
use crate::state::State;
use crate::task::lock;

/// What a compiler takes before it has read its module, in microseconds.
const START: u64 = 30_000;

/// What a compiler needs before it has read its module, in bytes, and for each byte that it reads:
/// measured with clang 22 on sqlite, zstd and Crypto++ at `-O2`, where one module needed a tenth
/// more and the others down to half of it.
const COMPILER: u64 = 96 << 20;
const BYTES_PER_BYTE: u64 = 32;

/// What the running link measures.
#[derive(Debug)]
pub(super) struct LinkStats {
    started: Instant,
    history: History,
    names: Arc<ModuleNames>,
    /// What the modules of this link took before.
    known: HashMap<ModuleKey, Estimate>,
    state: Arc<State>,
    counts: Mutex<OriginCounts>,
}

impl LinkStats {
    /// Of a link of `jobs`, whose modules are known in other links by `names`.
    pub(super) fn new(state: Arc<State>, jobs: &[Job], names: Arc<ModuleNames>) -> Self {
        let history = History::new(Arc::clone(&state));
        let keys: Vec<_> = jobs
            .iter()
            .map(|job| module_key(&names, job.module()))
            .collect();
        Self {
            started: events::now(),
            known: history.estimates(&keys),
            history,
            names,
            state,
            counts: Mutex::default(),
        }
    }

    pub(super) fn finished(&self, origin: Origin) {
        lock(&self.counts).add(origin);
    }

    pub(super) fn verified(&self, verdict: Verdict) {
        lock(&self.counts).add_verdict(verdict);
    }

    pub(super) fn compiled(&self, job: &Planned, compiled: &Compiled) {
        if compiled.origin.is_cached() {
            return;
        }
        let estimate = Estimate {
            duration: compiled.elapsed,
            peak_memory: compiled.peak_memory,
        };
        self.history
            .record(module_key(&self.names, &job.module), estimate);
    }

    /// How long the compile of `module` may take, in microseconds: as long as last time, else by
    /// the bytes it reads.
    pub(super) fn cost(&self, module: &str, bytes: u64) -> u64 {
        self.last(module).unwrap_or(START + bytes)
    }

    /// The memory that the compile of `module` may need, in bytes: as much as last time, else by
    /// the bytes it reads.
    pub(super) fn memory(&self, module: &str, bytes: u64) -> u64 {
        let last = self.known.get(&module_key(&self.names, module));
        last.and_then(|last| last.peak_memory)
            .unwrap_or_else(|| COMPILER.saturating_add(bytes.saturating_mul(BYTES_PER_BYTE)))
    }

    fn last(&self, module: &str) -> Option<u64> {
        let estimate = self.known.get(&module_key(&self.names, module))?;
        Some(micros(estimate.duration))
    }

    /// The order in which jobs are best made ready: the longest are the first to be sent and
    /// executed. What is not known yet is as long as its module, without imports.
    pub(super) fn order(&self, jobs: &[Job], client_context: &ClientContext) -> Vec<JobId> {
        let size = |module: &str| {
            fs::metadata(client_context.resolve(module)).map_or(0, |found| found.len())
        };
        let cost = |module: &str| self.last(module).unwrap_or_else(|| START + size(module));
        let costs: Vec<u64> = jobs.iter().map(|job| cost(job.module())).collect();
        let mut order: Vec<JobId> = (0..jobs.len()).collect();
        order.sort_by_key(|id| std::cmp::Reverse(costs[*id]));
        order
    }

    /// Ends the record of a link that succeeded; a launched compiler is a part of what its
    /// directory's build does. `added` is what it brought into the disk cache, in bytes.
    pub(super) fn close(
        &self,
        caller: Caller,
        output: &str,
        keys: Option<(ModuleKey, LinkKeys)>,
        options: &Options,
        added: u64,
        events: &Events,
    ) {
        let origins = *lock(&self.counts);
        let record = LinkRecord {
            finished: SystemTime::now(),
            output: output.to_owned(),
            jobs: origins.total(),
            duration: self.started.elapsed(),
            origins,
        };
        match caller {
            Caller::Linker => self.history.record_link(record),
            Caller::Launcher => {
                let build = options.record.build.as_deref();
                self.history.record_job(build, record);
            }
        }
        if let Some((output, keys)) = keys {
            self.history.record_keys(output, &keys);
        }
        self.history.flush();
        if let (Some(root), Some(max_size)) = (&options.disk_cache, options.disk_cache_max_size)
            && record_growth(&self.state, root, added, max_size)
        {
            trim(root, max_size, events);
        }
    }
}

fn trim(root: &Path, max_size: u64, events: &Events) {
    let variables = [
        ("RELTO_DISK_CACHE", root.as_os_str().to_owned()),
        ("RELTO_DISK_CACHE_MAX_SIZE", max_size.to_string().into()),
    ];
    if let Err(error) = detach(&Relto::itself(), "cache", &["trim"], &variables) {
        events.note(format!("the disk cache is not trimmed: {error}"));
    }
}

/// The same in each link that has the module.
fn module_key(names: &ModuleNames, module: &str) -> ModuleKey {
    ModuleKey::of(names.stable(module).as_bytes())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn an_estimate_is_kept_when_an_earlier_member_of_the_archive_grows() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let state = Arc::new(State::at(&dir.path().join("state.db")));
        let link = |modules: [&str; 3]| {
            let jobs = modules.map(|module| Job {
                arguments: Vec::new(),
                inputs: vec![module.to_owned(), "shard".to_owned()],
                outputs: vec!["object".to_owned()],
            });
            let names = Arc::new(ModuleNames::recorded(modules));
            LinkStats::new(Arc::clone(&state), &jobs, names)
        };
        let before = [
            "x.a(f.o at 96).2.44B.o",
            "x.a(g.o at 3000).3.44B.o",
            "x.a(g.o at 5000).4.44B.o",
        ];
        let first = link(before);
        for (module, seconds) in before.into_iter().zip(1..) {
            let estimate = Estimate {
                duration: Duration::from_secs(seconds),
                peak_memory: Some(seconds << 20),
            };
            first
                .history
                .record(module_key(&first.names, module), estimate);
        }
        first.history.flush();
        let now = [
            "x.a(f.o at 96).2.1F0C.o",
            "x.a(g.o at 5000).3.1F0C.o",
            "x.a(g.o at 7000).4.1F0C.o",
        ];
        let second = link(now);
        let known = now.map(|module| (second.cost(module, 7), second.memory(module, 7) >> 20));
        assert_eq!(known, [(1_000_000, 1), (2_000_000, 2), (3_000_000, 3)]);
        assert_eq!(second.cost("x.a(h.o at 96).2.1F0C.o", 7), START + 7);
    }
}
