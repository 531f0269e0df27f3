//! The user's name and password in an address, which nobody else may see.

use std::borrow::Cow;

use crate::reapi::Address;

/// The address of a server as it may be shown. What is no address may hold secrets in a query, or before
/// an `@`, wherever that stands.
pub(super) fn shown_address(text: &str) -> Cow<'_, str> {
    if text.parse::<Address>().is_ok() {
        return Cow::Borrowed(text);
    }
    let is_scheme = |scheme: &str| scheme.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let (scheme, rest) = match text.split_once("://") {
        Some((scheme, rest)) if is_scheme(scheme) => (&text[..scheme.len() + 3], rest),
        _ => ("", text),
    };
    let (login, rest) = match rest.rsplit_once('@') {
        Some((_, rest)) => ("***@", rest),
        None => ("", rest),
    };
    let (rest, query) = match rest.find(['?', '#']) {
        Some(at) => (&rest[..=at], "***"),
        None => (rest, ""),
    };
    Cow::Owned([scheme, login, rest, query].concat())
}

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
    fn an_address_is_shown_without_what_may_be_a_secret() {
        for (text, shown) in [
            ("grpcs://h:1/?key=SECRET", "grpcs://h:1/?***"),
            ("grpcs://h:1#SECRET", "grpcs://h:1#***"),
            ("h:1?key=SECRET", "h:1?***"),
            ("https://h/p?key=SECRET#x", "https://h/p?***"),
            ("grpcs://ada:SECRET@h:1/?key=SECRET", "grpcs://***@h:1/?***"),
            ("ada:SECRET@h:1", "***@h:1"),
            ("grpcs://ada:1#SECRET@h", "grpcs://***@h"),
            ("ada:SECRET@grpcs://h", "***@grpcs://h"),
            ("grpcs:/ada:SECRET@h", "***@h"),
            ("dns:///x", "dns:///x"),
        ] {
            assert_eq!(shown_address(text), shown);
        }
        for text in ["https://h/p@q", "grpcs://h:1", "h:1", "unix:/a?b@c", ""] {
            assert_eq!(shown_address(text), text);
        }
    }

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
