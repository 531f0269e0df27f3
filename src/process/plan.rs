//! The message to relto's helper process, and its reply.
//!
//! Both travel in one unnamed file (see [`supervise`](super::supervise)): unlike an argument list
//! it does not limit the number of admitted files, and unlike a pipe it cannot fill up. Both ends
//! are the same executable, so the format needs no versions.

use std::io;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::{ProcessError, ProcessSpec};
use crate::rlimit::open_files;

/// First bytes of a plan and of a report, so that neither is taken for the other.
const PLAN: &[u8] = b"relto plan\n";
const REPORT: &[u8] = b"relto report\n";

/// What to run, for which relto.
#[derive(Debug, PartialEq, Eq, Deserialize)]
pub(super) struct ProcessPlan {
    /// The process id of the relto that waits.
    pub(super) parent: u32,
    /// The limit of open files that the program is to have, if relto raised its own.
    pub(super) open_files: Option<u64>,
    pub(super) spec: ProcessSpec,
}

impl ProcessPlan {
    /// The plan of this process for `spec`.
    pub(super) fn encode(spec: &ProcessSpec) -> Vec<u8> {
        encode(PLAN, &(std::process::id(), open_files::inherited(), spec))
    }

    /// `None` if the bytes are not a whole plan and nothing else.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        decode(PLAN, bytes)
    }
}

/// How far the helper came. It writes this over the plan; the compiler itself cannot reach it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum HelperReport {
    /// The next call was the one that becomes the compiler.
    Started,
    /// The relto that started the helper no longer waits for it.
    Orphaned,
    /// The directory cannot be entered; the system's error number.
    Dir(i32),
    /// The compiler could not be executed; the system's error number.
    Exec(i32),
    /// The sandbox could not be built, and why.
    Confinement(String),
}

impl HelperReport {
    pub(super) fn encode(&self) -> Vec<u8> {
        encode(REPORT, self)
    }

    /// `None` for bytes that no helper has written: the plan itself above all.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        decode(REPORT, bytes)
    }

    /// The error that this report means for a caller that wanted `program` run in `dir`; `None` if
    /// it was started.
    pub(super) fn into_error(self, program: &Path, dir: &Path) -> Option<ProcessError> {
        let program = PathBuf::from(program);
        Some(match self {
            Self::Started => return None,
            Self::Orphaned => ProcessError::Cancelled,
            Self::Dir(errno) => ProcessError::Dir {
                program,
                dir: dir.to_owned(),
                source: io::Error::from_raw_os_error(errno),
            },
            Self::Exec(errno) => ProcessError::Exec {
                program,
                source: io::Error::from_raw_os_error(errno),
            },
            Self::Confinement(reason) => ProcessError::Confinement { program, reason },
        })
    }
}

fn encode(magic: &[u8], value: &impl Serialize) -> Vec<u8> {
    postcard::to_extend(value, magic.to_vec())
        .expect("memory is the only thing that encoding into a vector needs")
}

fn decode<T: DeserializeOwned>(magic: &[u8], bytes: &[u8]) -> Option<T> {
    let (value, rest) = postcard::take_from_bytes(bytes.strip_prefix(magic)?).ok()?;
    rest.is_empty().then_some(value)
}

/// Paths as the bytes that they are: serde's own form refuses those that are not UTF-8.
pub(super) mod path_bytes {
    use std::ffi::{OsStr, OsString};
    use std::path::{Path, PathBuf};

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(crate) fn serialize<S: Serializer>(path: &Path, to: S) -> Result<S::Ok, S::Error> {
        path.as_os_str().serialize(to)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<PathBuf, D::Error> {
        OsString::deserialize(from).map(PathBuf::from)
    }

    /// The same for lists.
    pub(crate) mod list {
        use super::{Deserialize, Deserializer, OsStr, OsString, PathBuf, Serializer};

        pub(crate) fn serialize<S: Serializer>(
            paths: &[PathBuf],
            to: S,
        ) -> Result<S::Ok, S::Error> {
            to.collect_seq(paths.iter().map(|path| -> &OsStr { path.as_os_str() }))
        }

        pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
            from: D,
        ) -> Result<Vec<PathBuf>, D::Error> {
            let names = Vec::<OsString>::deserialize(from)?;
            Ok(names.into_iter().map(PathBuf::from).collect())
        }
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;
    use std::os::unix::ffi::OsStringExt as _;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::fs::FileId;
    use crate::process::{ChildEnvironment, Confinement, ExpectedFile};

    fn name() -> impl Strategy<Value = OsString> {
        vec(any::<u8>(), 0..9).prop_map(OsString::from_vec)
    }

    fn paths() -> impl Strategy<Value = Vec<PathBuf>> {
        vec(name().prop_map(PathBuf::from), 0..4)
    }

    fn spec() -> impl Strategy<Value = ProcessSpec> {
        let environment = prop_oneof![
            Just(ChildEnvironment::Inherited),
            vec((name(), name()), 0..4).prop_map(ChildEnvironment::Exact),
            vec((name(), name()), 0..4).prop_map(ChildEnvironment::InheritedWith),
            (vec((name(), name()), 0..4), any::<u32>())
                .prop_map(|(variables, umask)| ChildEnvironment::Another { variables, umask }),
        ];
        let confinement =
            (paths(), paths(), paths()).prop_map(|(readable, executable, writable)| Confinement {
                readable,
                executable,
                expected: writable
                    .iter()
                    .map(|path| ExpectedFile {
                        path: path.clone(),
                        id: FileId::new(1, u64::MAX),
                    })
                    .collect(),
                writable,
            });
        (
            vec(name(), 0..5),
            environment,
            name(),
            proptest::option::of(confinement),
        )
            .prop_map(|(arguments, environment, dir, confinement)| ProcessSpec {
                arguments,
                environment,
                dir: dir.into(),
                confinement,
            })
    }

    proptest! {
        #[test]
        fn a_plan_survives_the_way_to_the_helper(spec in spec()) {
            let plan = ProcessPlan::decode(&ProcessPlan::encode(&spec)).expect("a plan");
            prop_assert_eq!((plan.parent, plan.spec), (std::process::id(), spec));
        }

        #[test]
        fn a_cut_or_lengthened_plan_is_refused(spec in spec(), cut in 1_usize..40) {
            let mut bytes = ProcessPlan::encode(&spec);
            let length = bytes.len().saturating_sub(cut);
            prop_assert_eq!(ProcessPlan::decode(&bytes[..length]), None);
            prop_assert_eq!(HelperReport::decode(&bytes), None);
            bytes.push(0);
            prop_assert_eq!(ProcessPlan::decode(&bytes), None);
        }

        #[test]
        fn arbitrary_bytes_do_not_make_the_decoder_panic(rest in vec(any::<u8>(), 0..200)) {
            let _ = ProcessPlan::decode(&[PLAN, &rest].concat());
        }
    }

    #[test]
    fn a_report_survives_the_way_back() {
        for report in [
            HelperReport::Started,
            HelperReport::Orphaned,
            HelperReport::Dir(2),
            HelperReport::Exec(13),
            HelperReport::Confinement("cannot admit `x`".to_owned()),
        ] {
            assert_eq!(HelperReport::decode(&report.encode()), Some(report));
        }
        assert_eq!(HelperReport::decode(b""), None);
    }
}
