//! Reads the declared outputs of an [`ActionResult`].
//!
//! Anything else that it names is ignored, so no server chooses where relto writes. Whether the
//! outputs are sound is for the caller to find out.

use bytes::Bytes;

use crate::digest::Digest;
use crate::pb::reapi::ActionResult;
use crate::reapi::failure::Failure;
use crate::reapi::rpc::Rpc;

/// A declared output that the result has as a regular file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeclaredOutput {
    /// As declared.
    pub path: String,
    pub digest: Digest,
    /// The contents that the server sent along, unverified.
    pub inline: Option<Bytes>,
}

/// What a compiler printed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Printed {
    pub inline: Bytes,
    /// Set if the text must be fetched.
    pub digest: Option<Digest>,
}

/// The outputs among `declared` that `result` has as files, in the order of `declared`.
///
/// # Errors
/// A digest of a declared output is malformed.
pub fn declared_outputs(
    result: &ActionResult,
    declared: &[String],
) -> Result<Vec<DeclaredOutput>, Failure> {
    let mut outputs = Vec::with_capacity(declared.len());
    for path in declared {
        let Some(file) = result
            .output_files
            .iter()
            .find(|file| same_path(&file.path, path))
        else {
            continue;
        };
        let digest = file.digest.as_ref().ok_or_else(|| {
            Failure::corrupt(Rpc::GetActionResult, format!("`{path}` has no digest"))
        })?;
        outputs.push(DeclaredOutput {
            path: path.clone(),
            digest: Digest::from_pb(digest)
                .map_err(|error| Failure::corrupt(Rpc::GetActionResult, error.to_string()))?,
            inline: Some(file.contents.clone()).filter(|contents| !contents.is_empty()),
        });
    }
    Ok(outputs)
}

/// Servers may write `./a` or `a//b` for `a` and `a/b`. A path with `..` never matches.
fn same_path(theirs: &str, ours: &str) -> bool {
    let parts = |path: &str| -> Vec<String> {
        path.split('/')
            .filter(|part| !part.is_empty() && *part != ".")
            .map(str::to_owned)
            .collect()
    };
    !theirs.starts_with('/') && parts(theirs) == parts(ours)
}

#[must_use]
pub fn stderr(result: &ActionResult) -> Printed {
    printed(&result.stderr_raw, result.stderr_digest.as_ref())
}

/// Raw bytes win. A digest that is absent, zeroed or of size zero means that nothing was printed.
fn printed(raw: &Bytes, digest: Option<&crate::pb::reapi::Digest>) -> Printed {
    let wanted = digest
        .filter(|_| raw.is_empty())
        .and_then(|digest| Digest::from_pb(digest).ok())
        .filter(|digest| !digest.is_empty());
    Printed {
        inline: raw.clone(),
        digest: wanted,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::DigestFunction;
    use crate::pb::reapi::OutputFile;

    fn file(path: &str, contents: &'static [u8]) -> OutputFile {
        OutputFile {
            path: path.to_owned(),
            digest: Some(DigestFunction::Sha256.digest(b"object").to_pb()),
            contents: Bytes::from_static(contents),
            ..OutputFile::default()
        }
    }

    #[test]
    fn only_declared_outputs_are_seen_however_they_are_spelled() {
        let result = ActionResult {
            output_files: vec![
                file("../../etc/passwd", b""),
                file("/relto/out.o", b""),
                file("relto/../relto/out.o", b""),
                file("./relto//out.o", b"object"),
                file("other", b""),
            ],
            ..ActionResult::default()
        };
        let declared = ["relto/out.o".to_owned(), "relto/out.dwo".to_owned()];
        let outputs = declared_outputs(&result, &declared).expect("good digests");
        assert_eq!(outputs.len(), 1);
        assert_eq!(outputs[0].path, "relto/out.o");
        assert_eq!(outputs[0].inline.as_deref(), Some(b"object".as_slice()));
    }

    #[test]
    fn an_output_without_a_good_digest_is_an_error() {
        let mut bad = file("a", b"");
        bad.digest = None;
        let result = ActionResult {
            output_files: vec![bad],
            ..ActionResult::default()
        };
        assert!(declared_outputs(&result, &["a".to_owned()]).is_err());
    }

    #[test]
    fn printed_output_is_raw_or_a_digest_or_absent() {
        let digest = DigestFunction::Sha256.digest(b"warning");
        let mut result = ActionResult {
            stderr_raw: Bytes::from_static(b"hello"),
            stderr_digest: Some(digest.to_pb()),
            ..ActionResult::default()
        };
        assert_eq!(stderr(&result).digest, None);
        result.stderr_raw = Bytes::new();
        assert_eq!(stderr(&result).digest, Some(digest));
        result.stderr_digest = Some(crate::pb::reapi::Digest::default());
        assert_eq!(stderr(&result), Printed::default());
    }
}
