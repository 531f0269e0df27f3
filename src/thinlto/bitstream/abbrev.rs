//! Abbreviations: how the values of a record are encoded in bits.

use super::reader::BitReader;
use super::writer::BitWriter;
use super::{BitstreamError, Result, width};

/// Maximum number of operands of an abbreviation; those of LLVM have fewer than twenty.
const MAX_OPERANDS: u64 = 64;
const CHAR6: &[u8; 64] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._";

/// Ids of the encodings in a definition.
mod encoding {
    pub(super) const FIXED: u64 = 1;
    pub(super) const VBR: u64 = 2;
    pub(super) const ARRAY: u64 = 3;
    pub(super) const CHAR6: u64 = 4;
    pub(super) const BLOB: u64 = 5;
}

/// The encoding of one value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::thinlto) enum ScalarEncoding {
    /// Not written; the definition holds the value.
    Literal(u64),
    /// Width in bits, 0 to 32.
    Fixed(u32),
    /// Width of a chunk in bits, 0 or 2 to 32.
    Vbr(u32),
    Char6,
}

/// What comes after the scalars.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::thinlto) enum Tail {
    None,
    Array(ScalarEncoding),
    Blob,
}

/// An abbreviation. The values of a record are its code and its operands; the first scalar encodes
/// the code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::thinlto) struct Abbrev {
    pub(in crate::thinlto) scalars: Vec<ScalarEncoding>,
    pub(in crate::thinlto) tail: Tail,
}

/// The index of a `char6` character, if `value` is one.
pub(in crate::thinlto) fn char6_index(value: u64) -> Option<u64> {
    let byte = u8::try_from(value).ok()?;
    let index = match byte {
        b'a'..=b'z' => byte - b'a',
        b'A'..=b'Z' => byte - b'A' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'.' => 62,
        b'_' => 63,
        _ => return None,
    };
    Some(u64::from(index))
}

impl ScalarEncoding {
    #[inline]
    fn read(self, bits: &mut BitReader<'_>) -> Result<u64> {
        match self {
            Self::Literal(value) => Ok(value),
            Self::Fixed(width) => bits.fixed(width),
            Self::Vbr(width) => bits.vbr(width),
            Self::Char6 => {
                let index = bits.fixed(width::CHAR6)?;
                Ok(u64::from(CHAR6[usize::from(index.to_le_bytes()[0] & 63)]))
            }
        }
    }

    #[inline]
    fn fits(self, value: u64) -> bool {
        match self {
            Self::Literal(literal) => literal == value,
            Self::Fixed(width) => value >> width == 0,
            Self::Vbr(width) => width != 0 || value == 0,
            Self::Char6 => char6_index(value).is_some(),
        }
    }

    #[inline]
    fn write(self, bits: &mut BitWriter, value: u64) {
        match self {
            Self::Literal(_) | Self::Vbr(0) => {}
            Self::Fixed(width) => bits.fixed(value, width),
            Self::Vbr(width) => bits.vbr(value, width),
            Self::Char6 => bits.fixed(char6_index(value).unwrap_or_default(), width::CHAR6),
        }
    }

    /// The minimum number of bits that a value takes.
    fn min_bits(self) -> usize {
        match self {
            Self::Literal(_) => 0,
            Self::Fixed(width) | Self::Vbr(width) => width as usize,
            Self::Char6 => width::CHAR6 as usize,
        }
    }

    fn write_definition(self, bits: &mut BitWriter) {
        let (encoding, data) = match self {
            Self::Literal(value) => {
                bits.fixed(1, 1);
                bits.vbr(value, width::LITERAL);
                return;
            }
            Self::Fixed(width) => (encoding::FIXED, Some(width)),
            Self::Vbr(width) => (encoding::VBR, Some(width)),
            Self::Char6 => (encoding::CHAR6, None),
        };
        write_encoding(bits, encoding);
        if let Some(data) = data {
            bits.vbr(u64::from(data), width::ENCODING_DATA);
        }
    }
}

fn write_encoding(bits: &mut BitWriter, encoding: u64) {
    bits.fixed(0, 1);
    bits.fixed(encoding, width::ENCODING);
}

/// One operand of a definition.
enum Operand {
    Scalar(ScalarEncoding),
    Array,
    Blob,
}

fn read_operand(bits: &mut BitReader<'_>) -> Result<Operand> {
    if bits.fixed(1)? == 1 {
        return Ok(Operand::Scalar(ScalarEncoding::Literal(
            bits.vbr(width::LITERAL)?,
        )));
    }
    let scalar = match bits.fixed(width::ENCODING)? {
        encoding::ARRAY => return Ok(Operand::Array),
        encoding::BLOB => return Ok(Operand::Blob),
        encoding::CHAR6 => ScalarEncoding::Char6,
        encoding @ (encoding::FIXED | encoding::VBR) => {
            let data = bits.vbr(width::ENCODING_DATA)?;
            let Ok(width @ 0..=width::MAX) = u32::try_from(data) else {
                return bits.malformed("an abbreviation with a field over 32 bits");
            };
            match (encoding, width) {
                (encoding::FIXED, width) => ScalarEncoding::Fixed(width),
                (_, 1) => return bits.malformed("an abbreviation with chunks of one bit"),
                (_, width) => ScalarEncoding::Vbr(width),
            }
        }
        _ => return bits.malformed("an abbreviation with an unknown encoding"),
    };
    Ok(Operand::Scalar(scalar))
}

impl Abbrev {
    /// Reads a definition, after its `DEFINE_ABBREV`.
    pub(super) fn read(bits: &mut BitReader<'_>) -> Result<Self> {
        let count = bits.vbr(width::ABBREV_OPS)?;
        if count > MAX_OPERANDS {
            return bits.malformed("an abbreviation with too many operands");
        }
        let mut scalars = Vec::new();
        let mut tail = Tail::None;
        for left in (0..count).rev() {
            match (read_operand(bits)?, left) {
                (Operand::Scalar(scalar), _) => scalars.push(scalar),
                (Operand::Array, 1) => match read_operand(bits)? {
                    Operand::Scalar(ScalarEncoding::Literal(_))
                    | Operand::Array
                    | Operand::Blob => {
                        return bits.malformed("an array of an invalid element");
                    }
                    Operand::Scalar(scalar) => {
                        tail = Tail::Array(scalar);
                        break;
                    }
                },
                (Operand::Blob, 0) => tail = Tail::Blob,
                (Operand::Array | Operand::Blob, _) => {
                    return bits.malformed("an array or blob that is not the last operand");
                }
            }
        }
        if scalars.is_empty() {
            return bits.malformed("an abbreviation without a record code");
        }
        Ok(Self { scalars, tail })
    }

    /// Appends the values of a record; the reader is just after the abbreviation id.
    #[inline]
    pub(super) fn read_record(
        &self,
        bits: &mut BitReader<'_>,
        values: &mut Vec<u64>,
    ) -> Result<()> {
        for scalar in &self.scalars {
            values.push(scalar.read(bits)?);
        }
        match self.tail {
            Tail::None => Ok(()),
            Tail::Array(element) => {
                let count = read_count(bits, element.min_bits())?;
                values.reserve(count);
                if let ScalarEncoding::Vbr(width) = element {
                    return bits.vbr_array(width, count, values);
                }
                for _ in 0..count {
                    values.push(element.read(bits)?);
                }
                Ok(())
            }
            Tail::Blob => {
                let count = read_count(bits, 8)?;
                bits.align()?;
                values.extend(bits.bytes(count)?.iter().copied().map(u64::from));
                bits.align()
            }
        }
    }

    /// Whether a record with these values can be written with this abbreviation.
    #[inline]
    pub(in crate::thinlto) fn fits(&self, values: &[u64]) -> bool {
        let Some((head, rest)) = values.split_at_checked(self.scalars.len()) else {
            return false;
        };
        let head_fits = self
            .scalars
            .iter()
            .zip(head)
            .all(|(s, value)| s.fits(*value));
        head_fits
            && match self.tail {
                Tail::None => rest.is_empty(),
                Tail::Array(ScalarEncoding::Vbr(2..)) => true,
                Tail::Array(element) => rest.iter().all(|value| element.fits(*value)),
                Tail::Blob => rest.iter().all(|value| *value <= 255),
            }
    }

    /// Writes a record that fits, after its abbreviation id.
    #[inline]
    pub(super) fn write_record(&self, bits: &mut BitWriter, values: &[u64]) {
        let (head, rest) = values.split_at(self.scalars.len());
        for (scalar, value) in self.scalars.iter().zip(head) {
            scalar.write(bits, *value);
        }
        match self.tail {
            Tail::None => {}
            Tail::Array(element) => {
                bits.vbr(rest.len() as u64, width::LENGTH);
                match element {
                    ScalarEncoding::Vbr(width @ 2..) => {
                        for value in rest {
                            bits.vbr(*value, width);
                        }
                    }
                    element => rest.iter().for_each(|v| element.write(bits, *v)),
                }
            }
            Tail::Blob => {
                bits.vbr(rest.len() as u64, width::LENGTH);
                bits.align();
                for value in rest {
                    bits.fixed(*value, 8);
                }
                bits.align();
            }
        }
    }

    /// Writes the definition, after its `DEFINE_ABBREV`.
    pub(super) fn write_definition(&self, bits: &mut BitWriter) {
        let tail_operands = match self.tail {
            Tail::None => 0,
            Tail::Array(_) => 2,
            Tail::Blob => 1,
        };
        bits.vbr(self.scalars.len() as u64 + tail_operands, width::ABBREV_OPS);
        for scalar in &self.scalars {
            scalar.write_definition(bits);
        }
        match self.tail {
            Tail::None => {}
            Tail::Array(element) => {
                write_encoding(bits, encoding::ARRAY);
                element.write_definition(bits);
            }
            Tail::Blob => write_encoding(bits, encoding::BLOB),
        }
    }
}

/// Reads the length of an array or blob, which the remaining bits must be able to hold.
fn read_count(bits: &mut BitReader<'_>, min_bits: usize) -> Result<usize> {
    let count = bits.vbr(width::LENGTH)?;
    let most = bits.bits_left() / min_bits.max(1);
    match usize::try_from(count) {
        Ok(count) if count <= most => Ok(count),
        _ => Err(BitstreamError::Truncated {
            at: bits.position(),
        }),
    }
}
