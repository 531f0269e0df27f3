//! `ByteStream` resource names, and the subjects of MISSING violations, which look like them.
//!
//! `remote_execution.proto` defines both. The name of the digest function is an infix only for
//! functions newer than the first seven: servers reject it elsewhere.

use uuid::Uuid;

use crate::digest::{Digest, DigestFunction};

/// The form in which a blob travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoding {
    Identity,
    Zstd,
}

impl Encoding {
    fn dir(self) -> &'static str {
        match self {
            Self::Identity => "blobs/",
            Self::Zstd => "compressed-blobs/zstd/",
        }
    }
}

/// `[INSTANCE/]blobs/[FUNCTION/]HASH/SIZE`
pub(crate) fn read_name(
    instance: &str,
    function: DigestFunction,
    digest: &Digest,
    encoding: Encoding,
) -> String {
    let (dir, infix) = (encoding.dir(), function.resource_infix());
    format!("{}{dir}{infix}{digest}", prefix(instance))
}

/// `[INSTANCE/]uploads/UUID/blobs/[FUNCTION/]HASH/SIZE`; the size is that of the blob, not of its
/// compressed form.
pub(crate) fn write_name(
    instance: &str,
    upload: Uuid,
    function: DigestFunction,
    digest: &Digest,
    encoding: Encoding,
) -> String {
    let (dir, infix) = (encoding.dir(), function.resource_infix());
    format!("{}uploads/{upload}/{dir}{infix}{digest}", prefix(instance))
}

fn prefix(instance: &str) -> String {
    if instance.is_empty() {
        String::new()
    } else {
        format!("{instance}/")
    }
}

/// Reads `[INSTANCE/]blobs/[FUNCTION/]HASH/SIZE[/...]`, with or without a leading slash.
pub(crate) fn parse_subject(subject: &str) -> Option<Digest> {
    let segments: Vec<&str> = subject.trim_matches('/').split('/').collect();
    let after_blobs = segments.iter().rposition(|segment| *segment == "blobs")? + 1;
    let named = &segments[after_blobs..];
    // A function's name in between is skipped; a hash is the only segment of its length.
    let hash = named.iter().take(2).position(|s| s.len() == 64)?;
    let size = named.get(hash + 1)?.parse().ok()?;
    Digest::from_pb(&crate::pb::reapi::Digest {
        hash: named[hash].to_owned(),
        size_bytes: size,
    })
    .ok()
}

/// Why resource names with this instance name would not parse, if so.
pub(crate) fn instance_name_fault(instance: &str) -> Option<&'static str> {
    const RESERVED: [&str; 7] = [
        "blobs",
        "uploads",
        "actions",
        "actionResults",
        "operations",
        "capabilities",
        "compressed-blobs",
    ];
    if instance.is_empty() {
        return None;
    }
    if instance.split('/').any(str::is_empty) {
        return Some("it starts or ends with `/`, or holds `//`");
    }
    if instance.split('/').any(|part| RESERVED.contains(&part)) {
        return Some("one of its parts is a word that resource names use");
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn digest(function: DigestFunction) -> Digest {
        function.digest(b"relto")
    }

    #[test]
    fn names_have_the_infix_only_for_blake3_and_no_leading_slash() {
        let (sha, blake) = (DigestFunction::Sha256, DigestFunction::Blake3);
        let (a, b) = (digest(sha), digest(blake));
        assert_eq!(
            read_name("", sha, &a, Encoding::Identity),
            format!("blobs/{}/5", a.hex())
        );
        assert_eq!(
            read_name("a/b", blake, &b, Encoding::Zstd),
            format!("a/b/compressed-blobs/zstd/blake3/{}/5", b.hex())
        );
        assert_eq!(
            write_name("", Uuid::nil(), blake, &b, Encoding::Identity),
            format!(
                "uploads/00000000-0000-0000-0000-000000000000/blobs/blake3/{}/5",
                b.hex()
            )
        );
        assert_eq!(
            write_name("i", Uuid::nil(), sha, &a, Encoding::Zstd),
            format!(
                "i/uploads/00000000-0000-0000-0000-000000000000/compressed-blobs/zstd/{}/5",
                a.hex()
            )
        );
    }

    #[test]
    fn instance_names_that_would_not_parse_are_refused() {
        for good in ["", "main", "projects/p/instances/i"] {
            assert_eq!(instance_name_fault(good), None, "{good}");
        }
        for bad in ["/a", "a/", "a//b", "a/blobs", "uploads"] {
            assert!(instance_name_fault(bad).is_some(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn every_spelling_of_a_subject_gives_its_digest(
            hash in any::<[u8; 32]>(), size in 0..=i64::MAX.cast_unsigned(),
            instance in "([a-z]{1,8}(/[a-z]{1,8}){0,2}/)?", slash in any::<bool>(),
            function in prop_oneof![Just(""), Just("sha256/"), Just("blake3/")],
        ) {
            let digest = Digest { hash, size };
            let slash = if slash { "/" } else { "" };
            let subject = format!("{slash}{instance}blobs/{function}{digest}");
            prop_assert_eq!(parse_subject(&subject), Some(digest));
        }

        #[test]
        fn a_read_name_is_also_a_subject(hash in any::<[u8; 32]>(), size in 0..1_u64 << 40, instance in "[a-z]{0,5}") {
            let digest = Digest { hash, size };
            for function in [DigestFunction::Sha256, DigestFunction::Blake3] {
                let name = read_name(&instance, function, &digest, Encoding::Identity);
                prop_assert_eq!(parse_subject(&name), Some(digest));
            }
        }

        #[test]
        fn no_text_makes_the_parser_panic(text in ".{0,200}") {
            let _ = parse_subject(&text);
        }
    }
}
