//! The user's passwords in `.netrc`, for an HTTP cache that nothing else authorizes the user at.
//!
//! As Bazel does, relto takes the file that `NETRC` names, else `~/.netrc`, and only where neither
//! a header nor a credential helper says who the user is. Nobody has named such a password for this
//! cache, so it goes to no address in the clear, and to one that a source tree names only if the
//! user has allowed that ([`trust`](super::trust)).

mod entries;

use std::net::IpAddr;
use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use self::entries::{NetrcEntry, entries};
use super::credential::Credential;
use super::environment::{Environment, NETRC};
use super::error::Warning;
use super::find;
use super::merge::MergedValues;
use super::value::host_and_program;
use crate::reapi::{Address, Header, is_for_host};

/// What identifies the user at an HTTP cache.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NetrcLogin {
    pub(super) credential: Credential,
    pub(super) header: Header,
}

/// The login for the cache that `values` name, if it needs one and there is one.
pub(super) fn login(
    values: &MergedValues,
    environment: &Environment,
    warnings: &mut Vec<Warning>,
) -> Option<NetrcLogin> {
    let Address::Http { tls, host, .. } = last(values, "remote_cache")?.parse().ok()? else {
        return None;
    };
    if is_authorized(values, &host) {
        return None;
    }
    let path = path(environment)?;
    let shown = path.display().to_string();
    let text = match find::text_of(&path, warnings, false) {
        Ok(text) => text?,
        Err(error) => {
            warnings.push(ignored(&shown, &error.to_string()));
            return None;
        }
    };
    // No message quotes the file.
    let Some(entries) = entries(&text) else {
        warnings.push(ignored(&shown, "it is not in the form of a `.netrc`"));
        return None;
    };
    let entry = entry(&entries, &host)?;
    if !tls && !is_this_machine(&host) {
        if entry.machine.is_some() {
            warnings.push(Warning {
                text: format!("the password of `{shown}` is not sent to `{host}` without TLS"),
                hint: Some("`remote_cache=https://`; or set `remote_cache_header`".to_owned()),
            });
        }
        return None;
    }
    let user = STANDARD.encode(format!("{}:{}", entry.login, entry.password));
    Some(NetrcLogin {
        credential: Credential::of_netrc(&host, &path),
        header: Header {
            name: "authorization".to_owned(),
            value: format!("Basic {user}"),
        },
    })
}

/// The value of an option that has one.
fn last<'v>(values: &'v MergedValues, name: &str) -> Option<&'v str> {
    let (_, values) = values.iter().find(|(option, _)| option.name == name)?;
    values.last().map(|value| value.text.as_str())
}

/// Whether a header or a credential helper says who the user is.
fn is_authorized(values: &MergedValues, host: &str) -> bool {
    values.iter().any(|(option, values)| match option.name {
        "remote_header" | "remote_cache_header" => values
            .iter()
            .any(|value| option.item_name(&value.text) == "authorization"),
        "credential_helper" => {
            let texts = values.iter().filter(|value| !value.text.is_empty());
            let mut hosts = texts.map(|value| host_and_program(&value.text).0);
            hosts.any(|helper| is_for_host(helper, host))
        }
        _ => false,
    })
}

/// `None` where `NETRC` is a relative path, which would be a part of whatever source tree relto
/// runs in.
fn path(environment: &Environment) -> Option<PathBuf> {
    let named = environment.get(NETRC).filter(|path| !path.is_empty());
    match named {
        Some(path) => Some(PathBuf::from(path)).filter(|path| path.is_absolute()),
        None => environment.home().map(|home| home.join(".netrc")),
    }
}

fn ignored(path: &str, reason: &str) -> Warning {
    Warning {
        text: format!("ignored `{path}`: {reason}"),
        hint: None,
    }
}

/// The entry for `host`, or the one for all others.
fn entry<'e>(entries: &'e [NetrcEntry], host: &str) -> Option<&'e NetrcEntry> {
    let host = host.trim_matches(['[', ']']);
    let is_own = |machine: &String| machine.eq_ignore_ascii_case(host);
    let own = entries
        .iter()
        .find(|it| it.machine.as_ref().is_some_and(is_own));
    let found = own.or_else(|| entries.iter().find(|it| it.machine.is_none()));
    found.filter(|it| !(it.login.is_empty() && it.password.is_empty()))
}

fn is_this_machine(host: &str) -> bool {
    let address = host.trim_matches(['[', ']']).parse::<IpAddr>();
    host.eq_ignore_ascii_case("localhost") || address.is_ok_and(|it| it.is_loopback())
}
