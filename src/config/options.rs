//! The one table of everything that can be set.
//!
//! Enters: nothing. Leaves: `OPTIONS`, from which the flags, the environment variables, the keys of
//! the TOML files, the help and the documentation are all derived, so they cannot disagree. What
//! the values mean is said in `settings`.

/// A heading of the help.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Group {
    Where,
    Farm,
    Security,
    Cache,
    Output,
}

impl Group {
    pub const ALL: [Self; 5] = [
        Self::Where,
        Self::Farm,
        Self::Security,
        Self::Cache,
        Self::Output,
    ];

    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::Where => "Where jobs run",
            Self::Farm => "Talking to the farm",
            Self::Security => "Identity and encryption",
            Self::Cache => "Cache",
            Self::Output => "Output and configuration",
        }
    }
}

/// How often an option may be given, and what a repetition means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `--name`, `--no-name`, `--name=false`; the last one counts.
    Bool,
    /// `--name=VALUE`; the last one counts.
    Value,
    /// `--name=VALUE` any number of times. All sources count, see `merge`.
    List,
    /// As `List`, but only the strongest source that sets it counts.
    Choice,
}

/// One thing that can be set. In order: what it is called, what its value is called, help, default,
/// and so on.
#[derive(Debug, Clone, Copy)]
pub struct Opt {
    /// As Bazel and the TOML file spell it, with underscores.
    pub name: &'static str,
    /// What stands for the value in the help. Empty for booleans.
    pub value: &'static str,
    /// One line, without a full stop.
    pub help: &'static str,
    /// What happens when nobody sets it, as the help shows it. Empty where the help line says it.
    pub default: &'static str,
    pub group: Group,
    pub kind: Kind,
    /// Shown by `--help`; the others by `--help-all`.
    pub common: bool,
    /// May stand in a `.relto.toml`, which comes with somebody's sources.
    pub in_project: bool,
    /// The value must never be shown.
    pub secret: bool,
}

impl Opt {
    const fn new(
        group: Group,
        name: &'static str,
        value: &'static str,
        help: &'static str,
        default: &'static str,
    ) -> Self {
        let kind = if value.is_empty() {
            Kind::Bool
        } else {
            Kind::Value
        };
        Self {
            name,
            value,
            help,
            default,
            group,
            kind,
            common: false,
            in_project: true,
            secret: false,
        }
    }

    const fn common(mut self) -> Self {
        self.common = true;
        self
    }

    const fn list(mut self) -> Self {
        self.kind = Kind::List;
        self
    }

    const fn choice(mut self) -> Self {
        self.kind = Kind::Choice;
        self
    }

    const fn secret(mut self) -> Self {
        self.secret = true;
        self
    }

    const fn user_only(mut self) -> Self {
        self.in_project = false;
        self
    }

    /// The flag without its dashes: `remote-executor`.
    #[must_use]
    pub fn flag(&self) -> String {
        self.name.replace('_', "-")
    }

    /// The environment variable: `RELTO_REMOTE_EXECUTOR`.
    #[must_use]
    pub fn variable(&self) -> String {
        format!("{}{}", super::environment::PREFIX, self.name.to_uppercase())
    }

    /// The option of that name, in Bazel's spelling.
    #[must_use]
    pub fn find(name: &str) -> Option<&'static Self> {
        OPTIONS.iter().find(|option| option.name == name)
    }

    /// The known name that `name` was probably meant to be.
    #[must_use]
    pub fn nearest(name: &str) -> Option<&'static str> {
        nearest(name, OPTIONS.iter().map(|option| option.name))
    }
}

/// The candidate that differs least from `name`, if any is near enough to be meant.
pub(crate) fn nearest<'a>(
    name: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    candidates
        .into_iter()
        .map(|candidate| {
            (
                strsim::normalized_damerau_levenshtein(name, candidate),
                candidate,
            )
        })
        .filter(|(likeness, _)| *likeness > 0.7)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}

use Group::{Cache, Farm, Output, Security, Where};

/// Every option there is. Names are Bazel's where Bazel has one.
#[rustfmt::skip] // one option, one entry: a table reads best as a table
pub const OPTIONS: &[Opt] = &[
    Opt::new(Where, "remote_executor", "ADDRESS", "farm: grpc://, grpcs:// or unix:", "this machine").common(),
    Opt::new(Where, "remote_cache", "ADDRESS", "farm's cache, if elsewhere", "executor").common(),
    Opt::new(Where, "strategy", "WHERE", "local, remote, dynamic: both at once", "auto").common(),
    Opt::new(Where, "remote_local_fallback", "", "run here what the farm fails to run", "on").common(),
    Opt::new(Where, "toolchain", "FROM", "upload, worker, or a DIR to upload", "upload").common(),
    Opt::new(Where, "jobs", "N", "most executions under way at the farm", "auto").common(),
    Opt::new(Where, "local_jobs", "N", "most compilers at once here", "processors").common(),
    Opt::new(Where, "daemon", "WHEN", "keep connections in a daemon: auto, on, off; auto starts one for `relto cc` only", "auto"),
    Opt::new(Where, "daemon_idle_timeout", "TIME", "how long a daemon stays without work", "10m"),

    Opt::new(Farm, "remote_instance_name", "NAME", "instance of the farm", "").common(),
    Opt::new(Farm, "remote_default_exec_properties", "KEY=VALUE", "property that workers must have; repeatable", "").list().common(),
    Opt::new(Farm, "remote_header", "NAME=VALUE", "header to send, @FILE for a secret; repeatable", "").list().secret().common(),
    Opt::new(Farm, "remote_cache_header", "NAME=VALUE", "the same, to the cache only", "").list().secret(),
    Opt::new(Farm, "remote_exec_header", "NAME=VALUE", "the same, to the executor only", "").list().secret(),
    Opt::new(Farm, "remote_accept_cached", "", "take results from the farm's action cache", "on"),
    Opt::new(Farm, "remote_upload_local_results", "", "give local results to the farm's action cache", "on"),
    Opt::new(Farm, "remote_upload_ahead", "", "cc: send the modules of -flto=thin compiles at once, in the background", "off"),
    Opt::new(Farm, "remote_cache_compression", "", "compress what travels, if the farm can", "on"),
    Opt::new(Farm, "remote_timeout", "TIME", "longest that one call may take", "60s"),
    Opt::new(Farm, "remote_retries", "N", "attempts after a call that failed for a passing reason", "5"),
    Opt::new(Farm, "remote_deadline", "TIME", "longest that a link waits for the farm", "no limit"),
    Opt::new(Farm, "remote_max_connections", "N", "most connections to one server", "100"),
    Opt::new(Farm, "grpc_keepalive_time", "TIME", "ping a connection that was silent so long; 0: never", "0"),
    Opt::new(Farm, "digest_function", "NAME", "sha256 or blake3", "what the farm offers, sha256 first"),

    Opt::new(Security, "credential_helper", "[HOST=]PROGRAM", "program that says which headers to send; repeatable", "").list().user_only(),
    Opt::new(Security, "tls_certificate", "FILE", "PEM file of authorities that may sign the farm's certificate", "the system's"),
    Opt::new(Security, "tls_client_certificate", "FILE", "PEM file of the certificate that names us to the farm", ""),
    Opt::new(Security, "tls_client_key", "FILE", "PEM file of its private key", ""),

    Opt::new(Cache, "disk_cache", "DIR", "cache here; `off` for none", "~/.cache/relto").common(),
    Opt::new(Cache, "disk_cache_max_size", "SIZE", "500M, 20G; 0 for no limit", "10G").common(),
    Opt::new(Cache, "cache_salt", "TEXT", "results are shared only by links with the same salt", ""),

    Opt::new(Output, "quiet", "", "no progress bar, no summary", "off").common(),
    Opt::new(Output, "profile", "FILE", "write a trace for ui.perfetto.dev", ""),
    Opt::new(Output, "execution_log_json_file", "FILE", "write one line of JSON a job", ""),
    Opt::new(Output, "config", "NAME", "take the table [config.NAME] too; repeatable", "").choice().common(),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_that_users_were_promised_is_there() {
        let promised = "remote_executor remote_cache remote_instance_name remote_header remote_cache_header \
            remote_exec_header remote_default_exec_properties remote_timeout remote_retries remote_max_connections \
            remote_cache_compression remote_accept_cached remote_upload_local_results remote_local_fallback \
            tls_certificate tls_client_certificate tls_client_key credential_helper digest_function \
            grpc_keepalive_time disk_cache jobs local_jobs strategy profile execution_log_json_file";
        for name in promised.split_whitespace() {
            assert!(Opt::find(name).is_some(), "`{name}` is missing");
        }
    }

    #[test]
    fn names_are_unique_and_help_lines_are_fragments() {
        for (index, option) in OPTIONS.iter().enumerate() {
            assert!(
                OPTIONS[..index]
                    .iter()
                    .all(|other| other.name != option.name),
                "{}",
                option.name
            );
            assert!(!option.help.ends_with('.'), "{}", option.name);
            assert!(
                !option.name.starts_with("no"),
                "{} looks negated",
                option.name
            );
        }
    }

    #[test]
    fn a_near_miss_finds_its_name_and_noise_finds_none() {
        assert_eq!(Opt::nearest("remote_executr"), Some("remote_executor"));
        assert_eq!(Opt::nearest("disk_cahce"), Some("disk_cache"));
        assert_eq!(Opt::nearest("frobnicate"), None);
    }
}
