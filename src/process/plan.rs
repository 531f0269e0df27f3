//! The messages between relto and its helper process, as bytes.
//!
//! Both travel in one unnamed file (see [`supervise`](super::supervise)). So there is no limit on
//! the number of admitted files, as in an argument list, and no pipe that could fill up. Both ends
//! are the same executable, so the form needs no version.

use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

use super::{ChildEnvironment, Confinement, ProcessError, ProcessSpec};

/// First bytes of a plan. A report never begins so.
const MAGIC: &[u8] = b"relto plan\n";

/// The invocation and the process id of the relto that asked for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Plan {
    pub parent: u32,
    pub invocation: ProcessSpec,
}

pub(super) fn encode(parent: u32, invocation: &ProcessSpec) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    number(&mut bytes, parent);
    string(&mut bytes, invocation.dir.as_os_str().as_bytes());
    list(
        &mut bytes,
        invocation
            .arguments
            .iter()
            .map(|argument| argument.as_bytes()),
    );
    match &invocation.environment {
        ChildEnvironment::Inherited => bytes.push(0),
        ChildEnvironment::Exact(variables) => {
            bytes.push(1);
            encode_variables(&mut bytes, variables);
        }
        ChildEnvironment::Another { variables, umask } => {
            bytes.push(2);
            encode_variables(&mut bytes, variables);
            number(&mut bytes, *umask);
        }
    }
    match &invocation.confinement {
        None => bytes.push(0),
        Some(confinement) => {
            bytes.push(1);
            for paths in [
                &confinement.readable,
                &confinement.executable,
                &confinement.writable,
            ] {
                list(
                    &mut bytes,
                    paths.iter().map(|path| path.as_os_str().as_bytes()),
                );
            }
        }
    }
    bytes
}

fn encode_variables(bytes: &mut Vec<u8>, variables: &[(OsString, OsString)]) {
    list(bytes, variables.iter().map(|(name, _)| name.as_bytes()));
    list(bytes, variables.iter().map(|(_, value)| value.as_bytes()));
}

fn number(bytes: &mut Vec<u8>, value: u32) {
    bytes.extend_from_slice(&value.to_le_bytes());
}

fn string(bytes: &mut Vec<u8>, value: &[u8]) {
    let length = u32::try_from(value.len()).expect("no path or argument has 4 GiB");
    number(bytes, length);
    bytes.extend_from_slice(value);
}

fn list<'a>(bytes: &mut Vec<u8>, values: impl ExactSizeIterator<Item = &'a [u8]>) {
    let length = u32::try_from(values.len()).expect("no command has 4 billion arguments");
    number(bytes, length);
    for value in values {
        string(bytes, value);
    }
}

/// `None` if the bytes are not a whole plan and nothing else.
pub(super) fn decode(bytes: &[u8]) -> Option<Plan> {
    let mut rest = Reader(bytes.strip_prefix(MAGIC)?);
    let plan = Plan {
        parent: rest.number()?,
        invocation: rest.invocation()?,
    };
    rest.0.is_empty().then_some(plan)
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn number(&mut self) -> Option<u32> {
        let (first, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u32::from_le_bytes(*first))
    }

    fn string(&mut self) -> Option<OsString> {
        let length = usize::try_from(self.number()?).ok()?;
        let (value, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(OsString::from_vec(value.to_vec()))
    }

    /// Never reserves by the number that it reads: a wrong one ends with the bytes.
    fn list<T: From<OsString>>(&mut self) -> Option<Vec<T>> {
        (0..self.number()?)
            .map(|_| self.string().map(T::from))
            .collect()
    }

    fn invocation(&mut self) -> Option<ProcessSpec> {
        Some(ProcessSpec {
            dir: self.string()?.into(),
            arguments: self.list()?,
            environment: match self.byte()? {
                0 => ChildEnvironment::Inherited,
                1 => ChildEnvironment::Exact(self.variables()?),
                _ => ChildEnvironment::Another {
                    variables: self.variables()?,
                    umask: self.number()?,
                },
            },
            confinement: match self.byte()? {
                0 => None,
                _ => Some(self.confinement()?),
            },
        })
    }

    fn variables(&mut self) -> Option<Vec<(OsString, OsString)>> {
        let names: Vec<OsString> = self.list()?;
        let values: Vec<OsString> = self.list()?;
        (names.len() == values.len()).then(|| names.into_iter().zip(values).collect())
    }

    fn confinement(&mut self) -> Option<Confinement> {
        Some(Confinement {
            readable: self.list()?,
            executable: self.list()?,
            writable: self.list()?,
        })
    }
}

/// How far the helper came. It writes this over the plan; the compiler itself cannot reach it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum HelperReport {
    /// The next call was the one that becomes the compiler.
    Started,
    /// The helper was started by a relto that no longer waits for it.
    Orphaned,
    /// No directory to run in; the system's error number.
    Dir(i32),
    /// The compiler could not be executed; the system's error number.
    Exec(i32),
    /// The sandbox could not be built, and why.
    Confinement(String),
}

impl HelperReport {
    pub(super) fn encode(&self) -> Vec<u8> {
        match self {
            Self::Started => b"S".to_vec(),
            Self::Orphaned => b"O".to_vec(),
            Self::Dir(errno) => format!("F{errno}").into_bytes(),
            Self::Exec(errno) => format!("X{errno}").into_bytes(),
            Self::Confinement(reason) => format!("C{reason}").into_bytes(),
        }
    }

    /// `None` for bytes that no helper of ours has written: the plan itself above all.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let (kind, rest) = bytes.split_first()?;
        let text = str::from_utf8(rest).ok()?;
        Some(match kind {
            b'S' => Self::Started,
            b'O' => Self::Orphaned,
            b'F' => Self::Dir(text.parse().ok()?),
            b'X' => Self::Exec(text.parse().ok()?),
            b'C' => Self::Confinement(text.to_owned()),
            _ => return None,
        })
    }

    /// The error that this report means for the one who asked for `program` in `dir`; none if it
    /// was started.
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

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn name() -> impl Strategy<Value = OsString> {
        vec(any::<u8>(), 0..9).prop_map(OsString::from_vec)
    }

    fn paths() -> impl Strategy<Value = Vec<PathBuf>> {
        vec(name().prop_map(PathBuf::from), 0..4)
    }

    fn invocation() -> impl Strategy<Value = ProcessSpec> {
        let environment = prop_oneof![
            Just(ChildEnvironment::Inherited),
            vec((name(), name()), 0..4).prop_map(ChildEnvironment::Exact),
            (vec((name(), name()), 0..4), any::<u32>())
                .prop_map(|(variables, umask)| ChildEnvironment::Another { variables, umask }),
        ];
        let confinement =
            (paths(), paths(), paths()).prop_map(|(readable, executable, writable)| Confinement {
                readable,
                executable,
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
        fn a_plan_comes_back_as_it_went(invocation in invocation(), parent: u32) {
            let bytes = encode(parent, &invocation);
            prop_assert_eq!(decode(&bytes), Some(Plan { parent, invocation }));
        }

        #[test]
        fn a_cut_or_lengthened_plan_is_none(invocation in invocation(), cut in 1_usize..40) {
            let mut bytes = encode(1, &invocation);
            let length = bytes.len().saturating_sub(cut);
            prop_assert_eq!(decode(&bytes[..length]), None);
            prop_assert_eq!(HelperReport::decode(&bytes), None);
            bytes.push(0);
            prop_assert_eq!(decode(&bytes), None);
        }

        #[test]
        fn wrong_bytes_are_no_plan_and_no_panic(rest in vec(any::<u8>(), 0..200)) {
            let _ = decode(&[MAGIC, &rest].concat());
        }
    }

    #[test]
    fn a_report_comes_back_as_it_went() {
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
        assert_eq!(HelperReport::decode(b"Xtwo"), None);
    }
}
