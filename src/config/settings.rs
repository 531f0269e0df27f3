//! All settings, in the types of the modules that use them.

use std::fmt;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use super::daemon::{DaemonSettings, DaemonUse};
use super::environment::{Environment, MAKEFLAGS, RELTO_LOG, RELTO_NO_PROGRESS, TERM};
use super::merge::MergedValues;
use super::table::DISK_CACHE;
use super::value::REMOTE_JOBS;
use crate::bes::BesOptions;
use crate::compiler::ToolchainSource;
use crate::link::{self, FarmOptions, VerifyOptions};
use crate::process::build_identity;
use crate::reapi::ClientOptions;
use crate::report::Style;

/// Where jobs are to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strategy {
    Local,
    Remote,
    /// Both at once; the first result wins.
    Dynamic,
}

impl fmt::Display for Strategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Local => "local",
            Self::Remote => "remote",
            Self::Dynamic => "dynamic",
        })
    }
}

/// For `relto ld`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LinkerSettings {
    /// The linker makes the links alone that relto cannot make with it; otherwise they fail.
    pub fallback: bool,
    /// `None`: the clang beside the linker.
    pub compiler: Option<PathBuf>,
}

/// All settings, defaults included.
#[derive(Clone)]
pub struct Settings {
    /// Never `Remote` or `Dynamic` without an executor.
    pub strategy: Strategy,
    /// `None`: relto chooses by what else is set.
    pub(super) chosen_strategy: Option<Strategy>,
    /// The farm that was set, whether or not it is used; `link.farm` is the one that is used.
    pub farm: FarmOptions,
    /// How to run a link. What depends on this process, as its environment, is added by the caller.
    pub link: link::Options,
    /// As the options say; `link.bes` is what is used.
    pub(super) bes: BesOptions,
    /// `None`: a new one each time.
    pub invocation_id: Option<String>,
    /// `None`: what the environment says.
    pub(super) build_request_id: Option<String>,
    /// The user's limit of compilers on this machine; `None`: one a processor.
    pub local_jobs: Option<NonZeroUsize>,
    /// Absolute paths below it reach a compiler that writes modules as relative ones.
    pub base_dir: Option<PathBuf>,
    /// Send modules when they are compiled, not when they are linked.
    pub upload_ahead: bool,
    pub daemon: DaemonSettings,
    pub linker: LinkerSettings,
    /// What to show. `progress`: a bar may be drawn if stderr is a terminal.
    pub style: Style,
    /// The file for the page of the link's timings.
    pub timings: Option<PathBuf>,
    /// The filter of log messages, if they are wanted.
    pub log: Option<String>,
    /// The flags that make passes to its recipes; they name its jobserver.
    pub makeflags: Option<String>,
    /// A source tree names an executor that the user has not allowed.
    pub(super) farm_waits: bool,
    /// The `.bazelrc` that was read.
    pub(super) bazelrc: Option<PathBuf>,
    /// Flags of it that mean nothing here.
    pub ignored_flags: Vec<String>,
    /// The `[config.NAME]` tables that were chosen.
    pub(super) configs: Vec<String>,
    /// Where each value was written.
    pub values: MergedValues,
    /// The configuration files that were read.
    pub files: Vec<PathBuf>,
}

impl Settings {
    /// What `environment` says besides options. Every default of the table is applied to it before
    /// it is used.
    pub(super) fn new(
        environment: &Environment,
        values: MergedValues,
        files: Vec<PathBuf>,
    ) -> Self {
        let text = |name| {
            let value = environment.get(name)?.to_str()?;
            (!value.is_empty()).then(|| value.to_owned())
        };
        let dumb = environment.get(TERM).is_some_and(|term| term == "dumb");
        Self {
            strategy: Strategy::Local,
            chosen_strategy: None,
            farm: unset_farm(),
            link: link::Options {
                disk_cache: environment.cache_dir(),
                state_dir: environment.cache_dir(),
                verify: VerifyOptions {
                    dir: environment.state_dir(),
                    ..VerifyOptions::default()
                },
                ..link::Options::default()
            },
            bes: BesOptions::default(),
            invocation_id: None,
            build_request_id: None,
            local_jobs: None,
            base_dir: None,
            upload_ahead: false,
            daemon: DaemonSettings {
                when: DaemonUse::Auto,
                dir: environment.runtime_dir(),
                idle_timeout: Duration::ZERO,
            },
            linker: LinkerSettings::default(),
            style: Style {
                progress: !environment.is_on(RELTO_NO_PROGRESS) && !dumb,
                ..Style::default()
            },
            timings: None,
            log: text(RELTO_LOG),
            makeflags: text(MAKEFLAGS),
            farm_waits: false,
            bazelrc: None,
            ignored_flags: Vec::new(),
            configs: Vec::new(),
            values,
            files,
        }
    }

    /// relto's own directory, for what it remembers besides the cache; `None` where the user has no
    /// home.
    #[must_use]
    pub fn state_dir(&self) -> Option<&std::path::Path> {
        self.link.state_dir.as_deref()
    }

    /// Whether there is no disk cache because the default is in a home that cannot be used.
    #[must_use]
    pub fn has_no_home(&self) -> bool {
        let cache = self.values.effective().find(|it| it.name == DISK_CACHE);
        self.link.state_dir.is_none() && cache.is_none()
    }

    /// Makes the link a part of the build that launches compilers, unless the user has named the
    /// invocation.
    pub fn join_build(&mut self) {
        if let Some(id) = &self.invocation_id {
            self.link.record.build = Some(id.clone());
            return;
        }
        let Some(build) = build_identity() else {
            return;
        };
        let hash = blake3::hash(build.as_bytes());
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&hash.as_bytes()[..16]);
        let id = uuid::Builder::from_random_bytes(bytes).into_uuid();
        self.link.record.build = Some(id.to_string());
        let of_farm = self.link.farm.as_mut().map(|farm| &mut farm.client);
        let of_events = self.link.bes.as_mut().map(|bes| &mut bes.transport);
        for client in of_farm.into_iter().chain(of_events) {
            client.caller.invocation_id = id.to_string();
        }
    }

    /// The same settings, with every job on this machine.
    #[must_use]
    pub fn without_farm(&self) -> Self {
        let mut settings = self.clone();
        settings.strategy = Strategy::Local;
        settings.link.farm = None;
        settings.link.dynamic = false;
        settings
    }
}

/// For the defaults of the table.
fn unset_farm() -> FarmOptions {
    FarmOptions {
        client: ClientOptions::default(),
        platform: Vec::new(),
        large_platform: Vec::new(),
        large_job_bytes: 0,
        jobs: REMOTE_JOBS,
        accept_cached: true,
        upload_local_results: true,
        slice_results: false,
        local_fallback: true,
        toolchain: ToolchainSource::Upload,
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("strategy", &self.strategy)
            .field("farm", &self.farm)
            .field("link", &self.link)
            .field("bes", &self.bes)
            .field("invocation_id", &self.invocation_id)
            .field("bazelrc", &self.bazelrc)
            .field("local_jobs", &self.local_jobs)
            .field("base_dir", &self.base_dir)
            .field("upload_ahead", &self.upload_ahead)
            .field("daemon", &self.daemon)
            .field("linker", &self.linker)
            .field("style", &self.style)
            .field("timings", &self.timings)
            .finish_non_exhaustive()
    }
}
