//! What caches hold under a slice key: an object as it was made, and the numbers of the modules of
//! its job, which were in its names.
//!
//! In a farm's action cache it stands under an Action of its own, which no worker can run. Its
//! outputs have other paths than those of a job, so neither a result under a slice key nor one
//! under a whole key can be taken for the other, whatever a server mixes up.

use prost::Message as _;

use super::ActionTemplate;
use super::restore::{Renumbering, RestoreError, check, check_names, restore};
use super::slice::SliceKey;
use super::tree::{Encoded, FileNode, directory};
use crate::pb::reapi;

/// Changes with the form of the record.
const FORM: &str = "relto slice record 1";
/// What no worker finds.
const PROGRAM: &str = "relto-slice-record";
/// The file that says what was digested.
const DESCRIPTION: &str = "slice";

/// The outputs of a record: the object, and one number a line.
pub const OBJECT: &str = "relto/slice/out.o";
pub const NUMBERS: &str = "relto/slice/numbers";

/// Bytes of a number with its line's end.
const LONGEST_NUMBER: usize = 21;

/// Under what a farm's action cache holds a record.
#[derive(Debug, Clone)]
pub struct RecordAction {
    pub message: Encoded,
    pub command: Encoded,
    pub root: Encoded,
    /// The only file of the input root: the message whose digest is the slice key.
    pub description: Encoded,
}

impl RecordAction {
    /// The action of the record of `slice` on a farm with this `template`.
    #[must_use]
    pub fn new(slice: &SliceKey, template: &ActionTemplate) -> Self {
        let function = template.function;
        let description = Encoded::new(function, slice.message.bytes.clone());
        let mut files = [FileNode {
            name: DESCRIPTION,
            digest: description.digest,
            executable: false,
        }];
        let root = directory(function, &mut files, &mut []);
        let outputs = vec![NUMBERS.to_owned(), OBJECT.to_owned()];
        let (output_files, output_paths) = if template.old_outputs {
            (outputs, Vec::new())
        } else {
            (Vec::new(), outputs)
        };
        let command = reapi::Command {
            arguments: vec![PROGRAM.to_owned()],
            output_files,
            output_paths,
            ..reapi::Command::default()
        };
        let command = Encoded::new(function, command.encode_to_vec());
        let message = reapi::Action {
            command_digest: Some(command.digest.to_pb()),
            input_root_digest: Some(root.digest.to_pb()),
            salt: FORM.as_bytes().into(),
            ..reapi::Action::default()
        };
        Self {
            message: Encoded::new(function, message.encode_to_vec()),
            command,
            root,
            description,
        }
    }
}

/// Why the record of a slice key is of no use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    #[error("it does not hold one number for each module of the job")]
    Numbers,
    #[error(transparent)]
    Restore(#[from] RestoreError),
}

/// The numbers as a record holds them.
#[must_use]
pub fn encode_numbers(numbers: &[u64]) -> String {
    let mut out = String::with_capacity(numbers.len() * LONGEST_NUMBER);
    for number in numbers {
        out.push_str(&number.to_string());
        out.push('\n');
    }
    out
}

/// The most bytes that the numbers of a job with this key can take.
#[must_use]
pub fn most_bytes_of_numbers(slice: &SliceKey) -> u64 {
    (slice.numbers.len() * LONGEST_NUMBER) as u64
}

/// Reads what [`encode_numbers`] writes for `count` modules, and nothing else.
fn decode_numbers(bytes: &[u8], count: usize) -> Option<Vec<u64>> {
    let lines = std::str::from_utf8(bytes).ok()?.lines();
    let numbers: Vec<u64> = lines.map(str::parse).collect::<Result<_, _>>().ok()?;
    let same = numbers.len() == count && encode_numbers(&numbers).as_bytes() == bytes;
    same.then_some(numbers)
}

/// Whether an object may go into a record that others read.
///
/// # Errors
/// Its names could not be restored.
pub fn check_record(object: &[u8], slice: &SliceKey) -> Result<(), RestoreError> {
    check(object, &slice.numbers)?;
    check_names(object, &slice.numbers)
}

/// The object of a record that anybody may have written, with the numbers of the job of `slice`.
/// What an honest writer does not store is refused.
///
/// # Errors
/// The record cannot be right.
pub fn restore_record(
    object: &[u8],
    numbers: &[u8],
    slice: &SliceKey,
) -> Result<Vec<u8>, RecordError> {
    let (then, renumbering) = renumbering(numbers, slice)?;
    check(object, &then)?;
    check_names(object, &then)?;
    Ok(restore(object, &renumbering)?)
}

/// The same of a record that this user's relto has written and checked.
///
/// # Errors
/// The record is damaged.
pub fn restore_own_record(
    object: &[u8],
    numbers: &[u8],
    slice: &SliceKey,
) -> Result<Vec<u8>, RecordError> {
    let (_, renumbering) = renumbering(numbers, slice)?;
    Ok(restore(object, &renumbering)?)
}

/// The numbers of a record, and what replaces them for the job of `slice`.
fn renumbering(numbers: &[u8], slice: &SliceKey) -> Result<(Vec<u64>, Renumbering), RecordError> {
    let then = decode_numbers(numbers, slice.numbers.len()).ok_or(RecordError::Numbers)?;
    let pairs = then.iter().copied().zip(slice.numbers.iter().copied());
    let renumbering = Renumbering::new(pairs)?;
    Ok((then, renumbering))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::DigestFunction;

    #[test]
    fn numbers_are_read_back_and_nothing_else_is() {
        let numbers = [0, 12, u64::MAX];
        let text = encode_numbers(&numbers);
        assert_eq!(decode_numbers(text.as_bytes(), 3), Some(numbers.to_vec()));
        for wrong in [
            "",
            "0\n12\n",
            "0\n12\n18446744073709551616\n",
            "0\n012\n18446744073709551615\n",
            "0\n12\n18446744073709551615",
            "0\n+12\n18446744073709551615\n",
            "0\n12\n18446744073709551615\n\n",
        ] {
            assert_eq!(decode_numbers(wrong.as_bytes(), 3), None, "{wrong:?}");
        }
    }

    #[test]
    fn a_record_has_an_action_and_outputs_that_no_job_has() {
        let function = DigestFunction::Sha256;
        let template = ActionTemplate {
            function,
            old_outputs: false,
            platform: Vec::new(),
            salt: String::new(),
            environment: Vec::new(),
        };
        let of = |text: &'static [u8]| SliceKey {
            message: Encoded::new(function, text),
            command: function.digest(b""),
            shard: None,
            equalities: function.digest(b""),
            numbers: Vec::new(),
            restorable: true,
            numbered: Encoded::new(function, text),
        };
        let [one, other] = [of(b"one"), of(b"other")];
        let action = RecordAction::new(&one, &template).message.digest;
        assert_ne!(action, one.digest());
        assert_ne!(action, RecordAction::new(&other, &template).message.digest);
        assert!(![OBJECT, NUMBERS].contains(&"relto/out.o"));
    }
}
