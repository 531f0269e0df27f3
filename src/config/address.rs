//! The user's name and password in an address, which nobody else may see.

use std::borrow::Cow;

/// `address` with stars in the place of the name and password before its host.
pub(super) fn with_hidden_login(address: &str) -> Cow<'_, str> {
    match host_of(address) {
        Some((scheme, host)) => Cow::Owned(format!("{scheme}://***@{host}")),
        None => Cow::Borrowed(address),
    }
}

/// `address` without the name and password before its host.
pub(super) fn without_login(address: &str) -> Cow<'_, str> {
    match host_of(address) {
        Some((scheme, host)) => Cow::Owned(format!("{scheme}://{host}")),
        None => Cow::Borrowed(address),
    }
}

/// What stands before and after the name and password; `None` if there are none.
fn host_of(address: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = address.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let port = authority.rsplit_once(':').map(|(_, port)| port);
    let port = port.filter(|port| !port.ends_with(']'));
    // What stands where a port does may be the beginning of a password with a slash.
    let is_port = |port: &str| port.bytes().all(|byte| byte.is_ascii_digit());
    let login = match authority.rfind('@') {
        None if !port.is_none_or(is_port) => rest.rfind('@'),
        login => login,
    };
    Some((scheme, &rest[login? + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_passwords_are_hidden_or_left_out_and_nothing_else_is() {
        for (address, host) in [
            ("https://ada:secret@host:80/p.git", "host:80/p.git"),
            ("https://ada@host", "host"),
            ("https://ada:se/cr@et@host/p", "host/p"),
            ("grpc://a@b:c@[::1]:80", "[::1]:80"),
        ] {
            let (scheme, _) = address.split_once("://").expect("a scheme");
            assert_eq!(without_login(address), format!("{scheme}://{host}"));
            let hidden = format!("{scheme}://***@{host}");
            assert_eq!(with_hidden_login(address), hidden);
        }
        for address in [
            "https://host:80/@ada",
            "https://host/p?a@b",
            "https://[::1]/p@b",
            "git@host:p.git",
            "/a/b",
            "",
        ] {
            assert_eq!(without_login(address), address);
            assert_eq!(with_hidden_login(address), address);
        }
    }
}
