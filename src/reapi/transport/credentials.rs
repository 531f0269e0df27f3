//! Headers from a credential helper, by Bazel's protocol (EngFlow/credential-helper-spec).
//!
//! A helper is run once, and again shortly before its headers expire. Messages never show its
//! stdout, but they do show its stderr.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::{Output, Stdio};
use std::time::{Duration, SystemTime};

use serde::Deserialize;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, Command};
use tokio::sync::Mutex;

use crate::reapi::failure::{Failure, FailureKind};
use crate::reapi::options::{ClientOptions, CredentialHelper, Header};
use crate::reapi::transport::address::Address;

/// The lifetime of credentials whose helper does not say.
const DEFAULT_LIFETIME: Duration = Duration::from_mins(30);
/// How long before their end credentials are renewed, unless a tenth of their lifetime is longer.
const MARGIN: Duration = Duration::from_mins(1);

/// Bytes that a helper may print on each of its outputs. Its headers are sent with every call.
const LARGEST_ANSWER: u64 = 1 << 20;

/// Why a helper returned no credentials.
#[derive(Debug, Clone, thiserror::Error)]
#[error("credential helper `{}` {fault}", program.display())]
pub(crate) struct CredentialError {
    program: PathBuf,
    fault: String,
}

/// The credentials of one address.
pub(crate) struct Credentials {
    helper: Option<PathBuf>,
    uri: String,
    timeout: Duration,
    environment: Option<Vec<(OsString, OsString)>>,
    dir: Option<PathBuf>,
    cached: Mutex<Option<CachedCredentials>>,
}

#[derive(Clone)]
struct CachedCredentials {
    headers: Vec<Header>,
    renew_at: SystemTime,
}

#[derive(Deserialize)]
struct HelperResponse {
    #[serde(default)]
    headers: BTreeMap<String, Vec<String>>,
    expires: Option<String>,
}

impl Credentials {
    pub(crate) fn new(address: &Address, options: &ClientOptions) -> Self {
        let helper = address
            .host()
            .and_then(|host| choose(&options.credential_helpers, host));
        Self {
            helper,
            uri: address.uri(),
            timeout: options.credential_helper_timeout,
            environment: options.credential_helper_environment.clone(),
            dir: options.credential_helper_dir.clone(),
            cached: Mutex::new(None),
        }
    }

    /// The headers to send. Concurrent calls wait for one run of the helper.
    pub(crate) async fn headers(&self) -> Result<Vec<Header>, CredentialError> {
        let Some(program) = &self.helper else {
            return Ok(Vec::new());
        };
        let mut cached = self.cached.lock().await;
        if let Some(found) = cached.as_ref()
            && SystemTime::now() < found.renew_at
        {
            return Ok(found.headers.clone());
        }
        let answer = self.ask(program).await.map_err(|fault| CredentialError {
            program: program.clone(),
            fault,
        })?;
        let fresh = answer.into_cached(SystemTime::now());
        let headers = fresh.headers.clone();
        *cached = Some(fresh);
        Ok(headers)
    }

    /// Whether another attempt has other credentials than the `used` ones, after `failure`: whether
    /// the server refused them, and running the helper again could return others.
    pub(crate) async fn renew(&self, failure: &Failure, used: &[Header]) -> bool {
        if failure.kind != FailureKind::Unauthenticated || self.helper.is_none() {
            return false;
        }
        self.refuse(used).await;
        true
    }

    /// The server refused the `used` headers: forgets them, unless another call has already done
    /// so.
    async fn refuse(&self, used: &[Header]) {
        let mut cached = self.cached.lock().await;
        if cached.as_ref().is_some_and(|found| found.headers == used) {
            *cached = None;
        }
    }

    async fn ask(&self, program: &PathBuf) -> Result<HelperResponse, String> {
        let run = async {
            let mut command = Command::new(program);
            if let Some(environment) = &self.environment {
                let variables = environment.iter().map(|(name, value)| (name, value));
                command.env_clear().envs(variables);
            }
            if let Some(dir) = &self.dir {
                command.current_dir(dir);
            }
            let mut child = command
                .arg("get")
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .kill_on_drop(true)
                .spawn()
                .map_err(|error| format!("cannot be started: {error}"))?;
            if let Some(mut stdin) = child.stdin.take() {
                let question = serde_json::json!({ "uri": self.uri }).to_string();
                // A helper that does not read its question may still answer it.
                let _ = stdin.write_all(question.as_bytes()).await;
            }
            output_of(child).await
        };
        let output = tokio::time::timeout(self.timeout, run)
            .await
            .map_err(|_| format!("did not answer within {} s", self.timeout.as_secs()))??;
        if !output.status.success() {
            let stderr = String::from_utf8_lossy(&output.stderr);
            return Err(format!("failed ({}): {}", output.status, stderr.trim()));
        }
        // The parser's own message would quote the answer, which is a secret.
        serde_json::from_slice(&output.stdout)
            .map_err(|_| "printed something other than the JSON of the protocol".to_owned())
    }
}

/// What `child` prints before it ends.
async fn output_of(mut child: Child) -> Result<Output, String> {
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let (stdout, stderr) = tokio::try_join!(read_whole(stdout), read_whole(stderr))?;
    let status = child.wait().await;
    let status = status.map_err(|error| format!("cannot be waited for: {error}"))?;
    Ok(Output {
        status,
        stdout,
        stderr,
    })
}

async fn read_whole(from: Option<impl AsyncRead + Unpin>) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    if let Some(from) = from {
        let read = from.take(LARGEST_ANSWER + 1).read_to_end(&mut bytes).await;
        read.map_err(|error| format!("cannot be read: {error}"))?;
    }
    if bytes.len() as u64 > LARGEST_ANSWER {
        return Err("printed more than 1 MiB".to_owned());
    }
    Ok(bytes)
}

impl HelperResponse {
    fn into_cached(self, now: SystemTime) -> CachedCredentials {
        let expires = self
            .expires
            .and_then(|text| text.parse::<prost_types::Timestamp>().ok())
            .and_then(|stamp| SystemTime::try_from(stamp).ok());
        let life = expires.map_or(DEFAULT_LIFETIME, |end| {
            end.duration_since(now).unwrap_or_default()
        });
        let headers = self.headers.into_iter().flat_map(|(name, values)| {
            values.into_iter().map(move |value| Header {
                name: name.to_ascii_lowercase(),
                value,
            })
        });
        CachedCredentials {
            headers: headers.collect(),
            renew_at: now + life.saturating_sub(MARGIN.max(life / 10)),
        }
    }
}

/// An exact host wins over the longest `*.` pattern, which wins over a helper for all hosts. Among
/// equals the last one given wins.
fn choose(helpers: &[CredentialHelper], host: &str) -> Option<PathBuf> {
    helpers
        .iter()
        .filter_map(|helper| Some((strength(helper.host.as_deref(), host)?, helper)))
        .max_by_key(|(strength, _)| *strength)
        .map(|(_, helper)| helper.program.clone())
}

/// How well a helper's pattern fits `host`; `None` if it does not.
fn strength(pattern: Option<&str>, host: &str) -> Option<usize> {
    match pattern {
        None => Some(0),
        Some(pattern) if pattern == host => Some(usize::MAX),
        Some(pattern) => {
            let suffix = pattern.strip_prefix('*')?;
            (suffix.starts_with('.') && host.ends_with(suffix)).then_some(suffix.len())
        }
    }
}

/// Whether a credential helper with this pattern, or without one, is for `host`.
#[must_use]
pub fn is_for_host(pattern: Option<&str>, host: &str) -> bool {
    strength(pattern, host).is_some()
}

#[cfg(test)]
mod tests;
