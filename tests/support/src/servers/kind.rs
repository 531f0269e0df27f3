//! The servers that tests know, and how each is found.

use std::path::PathBuf;
use std::sync::OnceLock;

use super::{Server, Setup, programs};
use crate::skip::skip;

/// A kind of server that relto is tested with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Buildbarn,
    /// `buildbox-casd`.
    Casd,
    /// A cache that executes nothing.
    BazelRemote,
    Buildgrid,
    /// `just execute`.
    Just,
    /// Serves the instance `main`, as its basic configuration does.
    Nativelink,
}

impl Kind {
    pub const ALL: [Self; 6] = [
        Self::Buildbarn,
        Self::Casd,
        Self::BazelRemote,
        Self::Buildgrid,
        Self::Just,
        Self::Nativelink,
    ];

    /// The name in `RELTO_TEST_REQUIRE`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Buildbarn => "buildbarn",
            Self::Casd => "casd",
            Self::BazelRemote => "bazel_remote",
            Self::Buildgrid => "buildgrid",
            Self::Just => "just",
            Self::Nativelink => "nativelink",
        }
    }

    /// The variable that holds the path of the start script.
    pub fn variable(self) -> String {
        format!("RELTO_TEST_{}", self.name().to_uppercase())
    }

    pub fn executes(self) -> bool {
        self != Self::BazelRemote
    }

    /// Whether actions that differ in their salt are different actions to it.
    fn heeds_salts(self) -> bool {
        self != Self::Just
    }

    /// `remote_instance_name`.
    pub fn instance(self) -> Option<&'static str> {
        (self == Self::Nativelink).then_some("main")
    }

    /// `remote_default_exec_properties` that its workers demand.
    pub fn platform(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Buildbarn => &[("OSFamily", "linux")],
            _ => &[],
        }
    }

    /// Returns the one instance that all tests of this process share, or `None` after recording the
    /// test as skipped.
    #[track_caller]
    pub fn shared(self) -> Option<&'static Server> {
        static SHARED: [OnceLock<Result<Server, String>>; Kind::ALL.len()] =
            [const { OnceLock::new() }; Kind::ALL.len()];
        let script = self.script()?;
        let start = || Server::start(self, &script, &Setup::default());
        let started = SHARED[self as usize].get_or_init(start);
        started
            .as_ref()
            .map_err(|complaint| self.excuse(complaint))
            .ok()
    }

    /// Calls `check` with a server on which no other test has left what it would find; without one
    /// the test is recorded as skipped.
    #[track_caller]
    pub fn with(self, check: impl FnOnce(&Server)) {
        if self.heeds_salts() {
            if let Some(server) = self.shared() {
                check(server);
            }
        } else if let Some(server) = self.private(&Setup::default()) {
            check(&server);
        }
    }

    /// Returns an instance of the test's own, to be killed or configured, or `None` after recording
    /// the test as skipped.
    #[track_caller]
    pub fn private(self, setup: &Setup) -> Option<Server> {
        let started = Server::start(self, &self.script()?, setup);
        started.map_err(|complaint| self.excuse(&complaint)).ok()
    }

    /// Records the test as skipped, where a server that does not start is an excuse: the program of
    /// `just` comes out of a suite that is not always installable.
    #[track_caller]
    fn excuse(self, complaint: &str) {
        assert!(self == Self::Just && !self.is_required(), "{complaint}");
        skip(complaint.lines().next().unwrap_or_default());
    }

    #[track_caller]
    fn script(self) -> Option<PathBuf> {
        let found = self.find_script();
        if found.is_none() {
            let variable = self.variable();
            assert!(
                !self.is_required(),
                "RELTO_TEST_REQUIRE names `{}`, but `{variable}` names no start script, or its worker has no `buildbox-run`",
                self.name()
            );
            skip(&format!("`{variable}` names no program that starts one"));
        }
        found
    }

    fn find_script(self) -> Option<PathBuf> {
        let script = std::env::var_os(self.variable()).filter(|script| !script.is_empty())?;
        programs::are_there(self).then(|| script.into())
    }

    /// Whether a test that does more than use a server should use one.
    pub fn is_there(self) -> bool {
        self.is_required() || self.find_script().is_some()
    }

    fn is_required(self) -> bool {
        let required = std::env::var("RELTO_TEST_REQUIRE").unwrap_or_default();
        let mut required = required.split(',').map(str::trim);
        required.any(|name| name == self.name() || name == "all")
    }
}

/// Makes a test for each kind of server, named after it, out of a function that takes a
/// [`Server`]: where one is missing, that test alone is skipped.
#[macro_export]
macro_rules! on_each_server {
    ($test:ident => $check:ident) => {
        $crate::on_kinds!($test => $check: buildbarn Buildbarn, casd Casd,
            bazel_remote BazelRemote, buildgrid Buildgrid, just Just, nativelink Nativelink);
    };
}

/// The same for the kinds that execute.
#[macro_export]
macro_rules! on_each_farm {
    ($test:ident => $check:ident) => {
        $crate::on_kinds!($test => $check: buildbarn Buildbarn, casd Casd,
            buildgrid Buildgrid, just Just, nativelink Nativelink);
    };
}

#[macro_export]
macro_rules! on_kinds {
    ($test:ident => $check:ident: $($name:ident $kind:ident),+) => {
        mod $test {
            use $crate::servers::Kind;
            $(
                #[test]
                fn $name() {
                    Kind::$kind.with(super::$check);
                }
            )+
        }
    };
}

pub use {on_each_farm, on_each_server, on_kinds};
