//! Makes one HTML page of the timings of a link: what ran where, when and why.
//!
//! The page is a single file that loads nothing. Its style and script are files beside this one; a
//! content security policy allows them by their digests and nothing else. What a source tree has
//! named, as modules, is data: JSON in which no character can end the element, which the script
//! shows as text only.

mod causes;
mod columns;
mod critical_path;
mod keys;
#[cfg(test)]
mod tests;

use std::fmt::Write as _;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::timings::LinkTimings;

pub use keys::KeyPairs;

const SKELETON: &str = include_str!("page.html");
const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// The page of `link`. `earlier` is the link of the same output before it, and `keys` what their
/// keys were made of, as far as that is known.
#[must_use]
pub fn page(link: &LinkTimings, earlier: Option<&LinkTimings>, keys: &KeyPairs) -> String {
    let causes = causes::causes(link, earlier, keys);
    let data = columns::columns(link, earlier, &causes);
    filled(&embedded(&data))
}

/// Replaces each mark of the skeleton once, so that what is put in is never searched.
fn filled(data: &str) -> String {
    let policy = format!(
        "default-src 'none'; script-src '{}'; style-src '{}'; base-uri 'none'; form-action 'none'",
        source(SCRIPT),
        source(STYLE)
    );
    let parts = [
        ("{policy}", policy.as_str()),
        ("{style}", STYLE),
        ("{data}", data),
        ("{script}", SCRIPT),
    ];
    let mut page = String::with_capacity(SKELETON.len() + STYLE.len() + SCRIPT.len() + data.len());
    let mut rest = SKELETON;
    for (mark, text) in parts {
        let (before, after) = rest.split_once(mark).expect("the skeleton has all marks");
        page.push_str(before);
        page.push_str(text);
        rest = after;
    }
    page.push_str(rest);
    page
}

/// How a policy names an inline script or style.
fn source(text: &str) -> String {
    let digest = Sha256::digest(text.as_bytes());
    format!("sha256-{}", BASE64_STANDARD.encode(digest))
}

/// JSON without any character that HTML or an older JavaScript could take for something else.
fn embedded(data: &Value) -> String {
    let json = data.to_string();
    let mut text = String::with_capacity(json.len());
    for character in json.chars() {
        match character {
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                let _ = write!(text, "\\u{:04x}", u32::from(character));
            }
            other => text.push(other),
        }
    }
    text
}
