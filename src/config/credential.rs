//! The user's credentials, as `relto allow` shows them and knows them again.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::environment::Environment;
use super::options::{Opt, OptionKind};
use super::source::{ConfigSource, RawValue};
use super::value::{host_and_program, located_path, refers};
use crate::digest::hex;
use crate::reapi::{Address, is_for_host};
use crate::state::Secret;

/// One that would go to a server.
#[derive(Clone, PartialEq, Eq)]
pub struct Credential {
    /// What the user knows it by.
    pub name: String,
    /// Where it comes from and what is written there, which may be the secret itself.
    origin: Vec<Vec<u8>>,
}

/// Shows nothing but the name.
impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credential({})", self.name)
    }
}

/// One that the user has allowed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AllowedCredential {
    pub name: String,
    /// Of its origin, keyed with the user's secret: whoever reads it cannot try passwords against it.
    fingerprint: String,
}

impl Credential {
    /// `value` of `option`, if it is a credential of the user that would go to one of `addresses`.
    pub(super) fn sent_to(
        addresses: &[String],
        option: &Opt,
        value: &RawValue,
        environment: &Environment,
    ) -> Option<Self> {
        let credential = Self::of(option, value, environment)?;
        let is_helper = !option.secret && option.kind() == OptionKind::List;
        let pattern = host_and_program(&value.text).0;
        // Without a host no helper is asked; what is no address is refused.
        let is_asked = |address: &String| {
            let address = address.parse::<Address>();
            address.map_or(true, |it| {
                it.host().is_none_or(|host| is_for_host(pattern, host))
            })
        };
        (!is_helper || addresses.iter().any(is_asked)).then_some(credential)
    }

    fn of(option: &Opt, value: &RawValue, environment: &Environment) -> Option<Self> {
        if !option.credential || value.source.is_tree() || value.text.is_empty() {
            return None;
        }
        let item = match option.kind() {
            OptionKind::List => option.item_name(&value.text),
            _ => String::new(),
        };
        let name = format!("{} {item}", option.name);
        let source = match &value.source {
            ConfigSource::File { path, .. } => path.as_os_str().as_encoded_bytes(),
            ConfigSource::Environment(variable) => variable.as_bytes(),
            ConfigSource::CommandLine | ConfigSource::Default => b"",
        };
        let mut origin = vec![source.to_owned()];
        if !option.secret {
            let base = value.source.base(environment.current_dir());
            origin.extend(named_file(option, &value.text, base, environment));
        } else if !is_renewed(value) {
            origin.push(value.text.as_bytes().to_owned());
        }
        Some(Self {
            name: name.trim().to_owned(),
            origin,
        })
    }

    /// The password for `host` in the `.netrc` at `path`.
    pub(super) fn of_netrc(host: &str, path: &Path) -> Self {
        Self {
            name: format!("netrc {host}"),
            origin: vec![path.as_os_str().as_encoded_bytes().to_owned()],
        }
    }

    pub(super) fn allowed(&self, secret: &Secret) -> AllowedCredential {
        let mut hasher = blake3::Hasher::new_keyed(secret.bytes());
        let origin = self.origin.iter().map(Vec::as_slice);
        for part in [self.name.as_bytes()].into_iter().chain(origin) {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
        AllowedCredential {
            name: self.name.clone(),
            fingerprint: hex(hasher.finalize().as_bytes()),
        }
    }
}

/// Whether it is usual that a script puts another token there every day.
fn is_renewed(value: &RawValue) -> bool {
    let is_file = matches!(value.source, ConfigSource::File { .. });
    let text = value.text.split_once('=').map_or("", |(_, text)| text);
    !is_file && !refers(text)
}

/// The host and the program or file that `text` names. A relative path of a variable names another one
/// in another directory; a program without a directory is found by `PATH`.
fn named_file(option: &Opt, text: &str, base: &Path, environment: &Environment) -> [Vec<u8>; 2] {
    let is_helper = option.kind() == OptionKind::List;
    let (host, path) = if is_helper {
        host_and_program(text)
    } else {
        (None, text)
    };
    let path = if is_helper && !path.contains('/') {
        PathBuf::from(path)
    } else {
        located_path(path, base, environment)
    };
    let host = host.unwrap_or_default().as_bytes().to_owned();
    [host, path.into_os_string().into_encoded_bytes()]
}
