//! Decodes messages only after counting their fields.
//!
//! An empty nested message takes two bytes on the wire and more than a hundred in memory, so a
//! limit on a message's bytes does not bound the memory that it decodes to. The number of fields
//! does: [`MOST_FIELDS`] is several times what relto asks for in one call.

use std::marker::PhantomData;

use bytes::{Buf, Bytes};
use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};
use prost::{DecodeError, Message, Name};
use tonic::Status;
use tonic::codec::{Codec, DecodeBuf, Decoder};
use tonic_prost::ProstEncoder;

/// The largest question is that about 10,000 digests: its answer has three fields for each.
pub const MOST_FIELDS: usize = 100_000;

/// Names of messages in order, each with its fields that are messages: number and position here.
static SHAPES: &[(&str, &[(u32, usize)])] = include!(concat!(env!("OUT_DIR"), "/shapes.rs"));

/// Why bytes do not become a message.
#[derive(Debug, thiserror::Error)]
pub enum BoundedError {
    #[error("the message is too large: it has more than {MOST_FIELDS} fields")]
    TooManyFields,
    #[error(transparent)]
    Malformed(#[from] DecodeError),
}

/// Decodes a message of at most [`MOST_FIELDS`] fields, nested ones included.
///
/// # Errors
/// The message has more fields, or is malformed.
pub fn decode<M: Message + Default + Name>(bytes: Bytes) -> Result<M, BoundedError> {
    let shape = SHAPES.binary_search_by(|(name, _)| (*name).cmp(M::full_name().as_str()));
    let nested = shape.map_or(&[][..], |position| SHAPES[position].1);
    let mut left = MOST_FIELDS;
    if count(nested, &bytes, &mut left) == Counted::TooMany {
        return Err(BoundedError::TooManyFields);
    }
    Ok(M::decode(bytes)?)
}

#[derive(Debug, PartialEq, Eq)]
enum Counted {
    Complete,
    TooMany,
    /// prost will say how.
    Malformed,
}

fn count(nested: &[(u32, usize)], mut bytes: &[u8], left: &mut usize) -> Counted {
    while !bytes.is_empty() {
        let Some(fewer) = left.checked_sub(1) else {
            return Counted::TooMany;
        };
        *left = fewer;
        let counted = match decode_key(&mut bytes) {
            Ok((number, WireType::LengthDelimited)) => {
                let child = nested.iter().find(|(field, _)| *field == number);
                count_inside(child.map(|(_, at)| SHAPES[*at].1), &mut bytes, left)
            }
            Ok((number, kind)) => {
                match skip_field(kind, number, &mut bytes, DecodeContext::default()) {
                    Ok(()) => Counted::Complete,
                    Err(_) => Counted::Malformed,
                }
            }
            Err(_) => Counted::Malformed,
        };
        if counted != Counted::Complete {
            return counted;
        }
    }
    Counted::Complete
}

/// Counts a field that starts with its length; `nested` is `None` unless it holds a message.
fn count_inside(nested: Option<&[(u32, usize)]>, bytes: &mut &[u8], left: &mut usize) -> Counted {
    let length = decode_varint(bytes).ok();
    let Some((body, rest)) = length
        .and_then(|length| usize::try_from(length).ok())
        .and_then(|length| bytes.split_at_checked(length))
    else {
        return Counted::Malformed;
    };
    *bytes = rest;
    nested.map_or(Counted::Complete, |nested| count(nested, body, left))
}

/// The codec of all generated clients and servers.
#[derive(Debug)]
pub struct BoundedCodec<T, U>(PhantomData<(T, U)>);

impl<T, U> Default for BoundedCodec<T, U> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<T, U> Codec for BoundedCodec<T, U>
where
    T: Message + Send + 'static,
    U: Message + Default + Name + Send + 'static,
{
    type Encode = T;
    type Decode = U;
    type Encoder = ProstEncoder<T>;
    type Decoder = BoundedDecoder<U>;

    fn encoder(&mut self) -> Self::Encoder {
        ProstEncoder::default()
    }

    fn decoder(&mut self) -> Self::Decoder {
        BoundedDecoder(PhantomData)
    }
}

#[derive(Debug)]
pub struct BoundedDecoder<U>(PhantomData<U>);

impl<U: Message + Default + Name> Decoder for BoundedDecoder<U> {
    type Item = U;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<U>, Status> {
        let bytes = buffer.copy_to_bytes(buffer.remaining());
        match decode(bytes) {
            Ok(message) => Ok(Some(message)),
            Err(error @ BoundedError::TooManyFields) => {
                Err(Status::out_of_range(error.to_string()))
            }
            Err(BoundedError::Malformed(error)) => Err(Status::internal(error.to_string())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pb::reapi::{
        ActionResult, Digest, ExecuteResponse, FindMissingBlobsResponse, OutputFile,
    };

    fn result(files: usize) -> ActionResult {
        ActionResult {
            output_files: vec![OutputFile::default(); files],
            ..ActionResult::default()
        }
    }

    fn decoded<M: Message + Default + Name>(message: &M) -> Result<M, BoundedError> {
        decode(message.encode_to_vec().into())
    }

    #[test]
    fn empty_entries_are_counted_wherever_they_are_nested() {
        assert!(decoded(&result(MOST_FIELDS)).is_ok());
        let too_many = |error| matches!(error, Err(BoundedError::TooManyFields));
        assert!(too_many(decoded(&result(MOST_FIELDS + 1)).map(drop)));
        let nested = ExecuteResponse {
            result: Some(result(MOST_FIELDS)),
            ..ExecuteResponse::default()
        };
        assert!(too_many(decoded(&nested).map(drop)));
        let text = [0x12, 0].repeat(MOST_FIELDS + 1);
        assert!(too_many(decode::<ActionResult>(text.into()).map(drop)));
    }

    #[test]
    fn the_largest_answer_is_read_and_contents_do_not_count_as_fields() {
        let digest = Digest {
            hash: "0".repeat(64),
            size_bytes: i64::MAX,
        };
        let answer = FindMissingBlobsResponse {
            missing_blob_digests: vec![digest; 10_000],
        };
        assert_eq!(decoded(&answer).expect("small enough"), answer);
        let contents = ActionResult {
            stdout_raw: vec![8; MOST_FIELDS * 2].into(),
            ..ActionResult::default()
        };
        assert_eq!(decoded(&contents).expect("one field"), contents);
    }

    #[test]
    fn a_malformed_message_is_an_error() {
        for bytes in [
            &[0x12, 9][..],
            &[0xff; 12],
            &[0x12, 0xff, 0xff, 0xff, 0xff, 0xf],
        ] {
            let decoded = decode::<ActionResult>(Bytes::copy_from_slice(bytes));
            assert!(
                matches!(decoded, Err(BoundedError::Malformed(_))),
                "{bytes:?}"
            );
        }
    }
}
