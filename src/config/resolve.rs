//! From texts to `Settings`.
//!
//! Enters: `Values` and the environment. Leaves: `Settings`, or an error that names option, text
//! and source. Each option is read in one line here, its default beside it.

use std::path::PathBuf;
use std::time::Duration;

use super::daemon::{DaemonSettings, DaemonUse};
use super::environment::{Environment, MAKEFLAGS, RELTO_LOG, RELTO_NO_PROGRESS, TERM};
use super::error::ConfigError;
use super::merge::{Source, Text, Values, shown};
use super::options::Kind;
use super::settings::{
    DiskCacheSettings, Header, LocalSettings, OutputSettings, RemoteSettings, Settings, Strategy,
    Toolchain,
};
use super::value::{self, Wrong};
use crate::reapi::{Address, CredentialHelper, TlsOptions};

const TIMEOUT: Duration = Duration::from_mins(1);
const RETRIES: usize = 5;
const MAX_CONNECTIONS: usize = 100;
const DISK_CACHE_MAX_SIZE: u64 = 10 << 30;
const DAEMON_IDLE_TIMEOUT: Duration = Duration::from_mins(10);

/// The likeliest reason why an item of a variable is none.
const SPLIT: &str = "commas separate the items of a variable, unless there is one item a line";

/// Everything that can be set, from `values` and defaults.
///
/// # Errors
/// A value is not of its option's kind, or two options contradict each other.
pub(super) fn settings(
    values: Values,
    environment: &Environment,
    files: Vec<PathBuf>,
) -> Result<Settings, ConfigError> {
    let reader = Reader {
        values: &values,
        environment,
    };
    let remote = reader.remote()?;
    let toolchain = reader.toolchain()?;
    Ok(Settings {
        strategy: reader.strategy(&remote, &toolchain)?,
        remote,
        toolchain,
        local: LocalSettings {
            jobs: reader.get("local_jobs", value::number_or_auto)?.flatten(),
            makeflags: environment
                .get(MAKEFLAGS)
                .and_then(|flags| flags.to_str())
                .map(str::to_owned),
        },
        disk_cache: reader.disk_cache()?,
        daemon: reader.daemon()?,
        state_dir: environment.cache_dir(),
        cache_salt: reader.text("cache_salt"),
        output: reader.output()?,
        values,
        files,
    })
}

struct Reader<'a> {
    values: &'a Values,
    environment: &'a Environment,
}

impl Reader<'_> {
    fn remote(&self) -> Result<RemoteSettings, ConfigError> {
        let executor = self.address("remote_executor")?;
        let cache = self.address("remote_cache")?;
        let keepalive_time = self.get("grpc_keepalive_time", value::duration)?;
        Ok(RemoteSettings {
            cache: cache.or_else(|| executor.clone()),
            executor,
            instance_name: self.text("remote_instance_name"),
            headers: self.headers("remote_header")?,
            cache_headers: self.headers("remote_cache_header")?,
            exec_headers: self.headers("remote_exec_header")?,
            exec_properties: self.exec_properties()?,
            timeout: self.get("remote_timeout", positive)?.unwrap_or(TIMEOUT),
            retries: self
                .get("remote_retries", |text| value::number(text, 0))?
                .unwrap_or(RETRIES),
            deadline: self.get("remote_deadline", positive)?,
            max_connections: self
                .get("remote_max_connections", |text| value::number(text, 1))?
                .unwrap_or(MAX_CONNECTIONS),
            compression: self.flag("remote_cache_compression", true)?,
            accept_cached: self.flag("remote_accept_cached", true)?,
            upload_local_results: self.flag("remote_upload_local_results", true)?,
            upload_ahead: self.flag("remote_upload_ahead", false)?,
            local_fallback: self.flag("remote_local_fallback", true)?,
            tls: self.tls()?,
            credential_helpers: self.credential_helpers()?,
            digest_function: self.get("digest_function", value::digest_function)?,
            keepalive_time: keepalive_time.filter(|time| !time.is_zero()),
            jobs: self.get("jobs", value::number_or_auto)?.flatten(),
        })
    }

    /// A socket's relative path starts from where it is written.
    fn address(&self, name: &str) -> Result<Option<Address>, ConfigError> {
        let address = self.get(name, value::address)?;
        Ok(match (address, self.values.one(name)) {
            (Some(Address::Unix(path)), Some(text)) => {
                let base = text.source.base(self.environment.current_dir());
                Some(Address::Unix(base.join(path)))
            }
            (address, _) => address,
        })
    }

    /// With a farm both places work, as `docs/performance.md` tells, unless the user wants no
    /// results of this machine, or the workers have another compiler: objects of two compilers do
    /// not belong into one program.
    fn strategy(
        &self,
        remote: &RemoteSettings,
        toolchain: &Toolchain,
    ) -> Result<Strategy, ConfigError> {
        let words = [
            ("auto", None),
            ("local", Some(Strategy::Local)),
            ("remote", Some(Strategy::Remote)),
            ("dynamic", Some(Strategy::Dynamic)),
        ];
        let two_compilers = *toolchain == Toolchain::Worker;
        let chosen = self.get("strategy", |text| value::word(text, &words))?;
        match (chosen.flatten(), &remote.executor) {
            (Some(Strategy::Dynamic), _) if two_compilers => Err(ConfigError::Contradiction {
                one: "strategy=dynamic",
                other: "toolchain=worker",
                hint: "one link would mix objects of two compilers; `strategy=remote` does not",
            }),
            (None, Some(_)) if two_compilers || !remote.local_fallback => Ok(Strategy::Remote),
            (None, Some(_)) => Ok(Strategy::Dynamic),
            (None | Some(Strategy::Local), _) => Ok(Strategy::Local),
            (Some(strategy), Some(_)) => Ok(strategy),
            (Some(_), None) => Err(ConfigError::Missing {
                name: "strategy",
                needs: "remote_executor",
            }),
        }
    }

    fn toolchain(&self) -> Result<Toolchain, ConfigError> {
        let (_, texts) = self.values.all("toolchain");
        match texts.last() {
            None => Ok(Toolchain::Upload),
            Some(text) => match text.text.as_str() {
                "upload" | "" => Ok(Toolchain::Upload),
                "worker" => Ok(Toolchain::Worker),
                _ if text.source.is_project() => {
                    Err(not_for_projects(text, "a directory of programs"))
                }
                _ => Ok(Toolchain::Dir(self.located(text))),
            },
        }
    }

    fn tls(&self) -> Result<TlsOptions, ConfigError> {
        let tls = TlsOptions {
            certificate: self.path("tls_certificate"),
            client_certificate: self.path("tls_client_certificate"),
            client_key: self.path("tls_client_key"),
        };
        let (certificate, key) = ("tls_client_certificate", "tls_client_key");
        let (name, needs) = match (&tls.client_certificate, &tls.client_key) {
            (Some(_), None) => (certificate, key),
            (None, Some(_)) => (key, certificate),
            _ => return Ok(tls),
        };
        Err(ConfigError::Missing { name, needs })
    }

    fn disk_cache(&self) -> Result<DiskCacheSettings, ConfigError> {
        let max_size = self
            .get("disk_cache_max_size", value::size)?
            .unwrap_or(DISK_CACHE_MAX_SIZE);
        let dir = match self.values.one("disk_cache") {
            None => self.environment.cache_dir(),
            Some(text) if matches!(text.text.as_str(), "" | "off") => None,
            Some(text) => Some(self.located(text)),
        };
        Ok(DiskCacheSettings {
            dir,
            max_size: (max_size > 0).then_some(max_size),
        })
    }

    fn daemon(&self) -> Result<DaemonSettings, ConfigError> {
        let patience = self.get("daemon_idle_timeout", positive)?;
        Ok(DaemonSettings {
            when: self
                .get("daemon", DaemonUse::parse)?
                .unwrap_or(DaemonUse::Auto),
            dir: self.environment.runtime_dir(),
            patience: patience.unwrap_or(DAEMON_IDLE_TIMEOUT),
        })
    }

    fn output(&self) -> Result<OutputSettings, ConfigError> {
        let log = self.environment.get(RELTO_LOG);
        Ok(OutputSettings {
            quiet: self.flag("quiet", false)?,
            profile: self.path("profile"),
            execution_log_json_file: self.path("execution_log_json_file"),
            log: log
                .and_then(|filter| filter.to_str())
                .filter(|filter| !filter.is_empty())
                .map(str::to_owned),
            progress: !self.environment.is_on(RELTO_NO_PROGRESS)
                && self.environment.get(TERM).is_none_or(|term| term != "dumb"),
        })
    }

    fn exec_properties(&self) -> Result<Vec<(String, String)>, ConfigError> {
        let mut properties = self.list("remote_default_exec_properties", |text| {
            value::pair(&text.text)
        })?;
        properties.sort();
        Ok(properties)
    }

    fn headers(&self, name: &str) -> Result<Vec<Header>, ConfigError> {
        self.list(name, |text| {
            let (name, value) = value::pair(&text.text)?;
            let name = http::HeaderName::from_bytes(name.as_bytes())
                .map_err(|_| Wrong::new("headers cannot have that name"))?;
            let base = text.source.base(self.environment.current_dir());
            let project = text.source.is_project();
            let value = value::secret(&value, base, self.environment, project)?;
            Ok(Header {
                name: name.to_string(),
                value,
            })
        })
    }

    /// A program without a slash is looked up in `PATH` when it is needed.
    fn credential_helpers(&self) -> Result<Vec<CredentialHelper>, ConfigError> {
        self.list("credential_helper", |text| {
            let (host, program) = match text.text.split_once('=') {
                Some((host, program)) => (Some(host.to_owned()), program),
                None => (None, text.text.as_str()),
            };
            let program = if program.contains('/') {
                let base = text.source.base(self.environment.current_dir());
                value::path(program, base, self.environment)
            } else {
                PathBuf::from(program)
            };
            Ok(CredentialHelper { host, program })
        })
    }

    /// The value of a scalar option; `None` if nobody sets it, or sets it to nothing, which takes
    /// back what a weaker source says.
    fn get<T>(
        &self,
        name: &str,
        parse: impl FnOnce(&str) -> Result<T, Wrong>,
    ) -> Result<Option<T>, ConfigError> {
        match self.values.one(name) {
            Some(text) if !text.text.is_empty() => {
                let parsed = parse(&text.text);
                parsed
                    .map(Some)
                    .map_err(|wrong| self.bad(name, text, wrong))
            }
            _ => Ok(None),
        }
    }

    fn list<T>(
        &self,
        name: &str,
        parse: impl Fn(&Text) -> Result<T, Wrong>,
    ) -> Result<Vec<T>, ConfigError> {
        let (_, texts) = self.values.all(name);
        texts
            .iter()
            .map(|text| parse(text).map_err(|wrong| self.bad(name, text, wrong)))
            .collect()
    }

    fn flag(&self, name: &str, default: bool) -> Result<bool, ConfigError> {
        Ok(self.get(name, value::boolean)?.unwrap_or(default))
    }

    fn text(&self, name: &str) -> String {
        let text = self.values.one(name);
        text.map(|text| text.text.clone()).unwrap_or_default()
    }

    fn path(&self, name: &str) -> Option<PathBuf> {
        let text = self.values.one(name)?;
        (!text.text.is_empty()).then(|| self.located(text))
    }

    fn located(&self, text: &Text) -> PathBuf {
        let base = text.source.base(self.environment.current_dir());
        value::path(&text.text, base, self.environment)
    }

    fn bad(&self, name: &str, text: &Text, wrong: Wrong) -> ConfigError {
        let (option, _) = self.values.all(name);
        let from_variable = matches!(text.source, Source::Environment(_));
        let split = from_variable && option.kind == Kind::List && wrong.hint.is_none();
        ConfigError::BadValue {
            name: option.name,
            value: shown(option, &text.text),
            source_of_value: text.source.to_string(),
            reason: wrong.reason,
            hint: if split {
                Some(SPLIT.to_owned())
            } else {
                wrong.hint
            },
        }
    }
}

fn positive(text: &str) -> Result<Duration, Wrong> {
    let duration = value::duration(text)?;
    if duration.is_zero() {
        return Err(Wrong::new("nothing can be that short"));
    }
    Ok(duration)
}

fn not_for_projects(text: &Text, what: &str) -> ConfigError {
    let (path, line) = match &text.source {
        Source::File { path, line, .. } => (path.clone(), *line),
        _ => (PathBuf::new(), 0),
    };
    ConfigError::NotForProjects {
        path,
        line,
        what: what.to_owned(),
    }
}
