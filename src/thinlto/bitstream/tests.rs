//! Round trips of bits, abbreviations and records.

use proptest::collection::vec;
use proptest::prelude::*;

use super::reader::{BitReader, BlockHeader};
use super::writer::BitWriter;
use super::{Abbrev, BitstreamError, Records, ScalarEncoding, Tail, UNABBREVIATED};

fn bytes_of(write: impl FnOnce(&mut BitWriter)) -> Vec<u8> {
    let mut bits = BitWriter::default();
    write(&mut bits);
    bits.finish()
}

#[test]
fn bits_fill_each_byte_from_the_low_end() {
    let bytes = bytes_of(|bits| {
        bits.fixed(1, 1);
        bits.fixed(0b10, 2);
        bits.fixed(0x1FF, 9);
    });
    assert_eq!(bytes, [0xFD, 0x0F, 0, 0]);
}

#[test]
fn a_variable_width_number_takes_as_few_chunks_as_possible() {
    // The example of the format's documentation: 27 in pieces of four bits is 1011, 0011.
    assert_eq!(bytes_of(|bits| bits.vbr(27, 4)), [0x3B, 0, 0, 0]);
    let bytes = bytes_of(|bits| bits.vbr(u64::MAX, 6));
    assert_eq!(BitReader::new(&bytes, 0).vbr(6), Ok(u64::MAX));
}

#[test]
fn a_number_of_more_than_64_bits_is_malformed() {
    let bytes = [0xFF; 32];
    for width in [2, 6, 8, 32] {
        let read = BitReader::new(&bytes, 0).vbr(width);
        assert!(
            matches!(read, Err(BitstreamError::Malformed { .. })),
            "{width}: {read:?}"
        );
    }
}

#[test]
fn reading_stops_at_the_last_bit() {
    let mut bits = BitReader::new(&[0xFF, 0xFF, 0xFF], 3);
    assert_eq!(bits.fixed(21), Ok(0x1F_FFFF));
    assert_eq!(bits.fixed(0), Ok(0));
    assert_eq!(bits.fixed(1), Err(BitstreamError::Truncated { at: 24 }));
}

#[test]
fn an_array_longer_than_its_block_is_refused_before_allocation() {
    let abbrev = Abbrev {
        scalars: vec![ScalarEncoding::Literal(1)],
        tail: Tail::Array(ScalarEncoding::Fixed(0)),
    };
    let bytes = bytes_of(|bits| bits.vbr(1 << 40, 6));
    let mut values = Vec::new();
    let read = abbrev.read_record(&mut BitReader::new(&bytes, 0), &mut values);
    assert!(
        matches!(read, Err(BitstreamError::Truncated { .. })),
        "{read:?}"
    );
    assert!(values.capacity() < 100);
}

#[test]
fn a_block_of_literals_cannot_expand_without_limit() {
    let swelling = Abbrev {
        scalars: vec![ScalarEncoding::Literal(1); 60],
        tail: Tail::None,
    };
    let mut records = Records::with(4, vec![swelling]);
    for _ in 0..10_000 {
        records.push([1; 60], 4);
    }
    let read = reread(&records);
    assert!(matches!(read, Err(BitstreamError::Malformed { .. })));
}

#[test]
fn malformed_definitions_are_refused() {
    let definitions: [&dyn Fn(&mut BitWriter); 5] = [
        // No operand at all.
        &|bits| bits.vbr(0, 5),
        // A blob before the code.
        &|bits| {
            bits.vbr(1, 5);
            bits.fixed(5 << 1, 4);
        },
        // An encoding that does not exist.
        &|bits| {
            bits.vbr(1, 5);
            bits.fixed(7 << 1, 4);
        },
        // A field of 33 bits.
        &|bits| {
            bits.vbr(1, 5);
            bits.fixed(1 << 1, 4);
            bits.vbr(33, 5);
        },
        // An array of arrays.
        &|bits| {
            bits.vbr(3, 5);
            bits.fixed(4 << 1, 4);
            bits.fixed(3 << 1, 4);
            bits.fixed(3 << 1, 4);
        },
    ];
    for (number, definition) in definitions.iter().enumerate() {
        let bytes = bytes_of(|bits| definition(bits));
        let read = Abbrev::read(&mut BitReader::new(&bytes, 0));
        assert!(
            matches!(read, Err(BitstreamError::Malformed { .. })),
            "{number}: {read:?}"
        );
    }
}

/// Writes the records and reads them again.
fn reread(records: &Records) -> super::Result<Records> {
    let body = records.body();
    let header = BlockHeader {
        id: 20,
        width: records.width(),
        length_at: 0,
        body: 0..body.len(),
    };
    Records::read(&body, &header, Vec::new())
}

fn scalar() -> impl Strategy<Value = ScalarEncoding> {
    prop_oneof![
        any::<u64>().prop_map(ScalarEncoding::Literal),
        (0..=32_u32).prop_map(ScalarEncoding::Fixed),
        prop_oneof![Just(0), 2..=32_u32].prop_map(ScalarEncoding::Vbr),
        Just(ScalarEncoding::Char6),
    ]
}

fn abbrev() -> impl Strategy<Value = Abbrev> {
    let element = scalar().prop_filter("a literal cannot repeat", |scalar| {
        !matches!(scalar, ScalarEncoding::Literal(_))
    });
    let tail = prop_oneof![
        Just(Tail::None),
        element.prop_map(Tail::Array),
        Just(Tail::Blob)
    ];
    (vec(scalar(), 1..6), tail).prop_map(|(scalars, tail)| Abbrev { scalars, tail })
}

/// Numbers of all lengths, short ones as often as long ones.
fn number() -> impl Strategy<Value = u64> {
    (any::<u64>(), 0..64_u32).prop_map(|(number, shift)| number >> shift)
}

/// Values for each scalar of `abbrev`, mostly ones that fit.
fn fitting(abbrev: &Abbrev, seed: &[u64]) -> Vec<u64> {
    let value = |scalar: ScalarEncoding, seed: u64| match scalar {
        ScalarEncoding::Literal(value) => value,
        ScalarEncoding::Fixed(width) => seed & ((1 << width) - 1),
        ScalarEncoding::Vbr(0) => 0,
        ScalarEncoding::Vbr(_) => seed,
        ScalarEncoding::Char6 => u64::from(b"aZ0._"[usize::try_from(seed % 5).expect("small")]),
    };
    let mut seeds = seed.iter().copied().cycle();
    let mut next = || seeds.next().unwrap_or_default();
    let mut values: Vec<u64> = abbrev.scalars.iter().map(|s| value(*s, next())).collect();
    match abbrev.tail {
        Tail::None => {}
        Tail::Array(element) => values.extend(seed.iter().map(|seed| value(element, *seed))),
        Tail::Blob => values.extend(seed.iter().map(|seed| seed & 0xFF)),
    }
    values
}

proptest! {
    #[test]
    fn numbers_are_read_back(numbers in vec((number(), 2..=32_u32), 0..50)) {
        let bytes = bytes_of(|bits| numbers.iter().for_each(|(n, width)| bits.vbr(*n, *width)));
        let mut bits = BitReader::new(&bytes, 0);
        for (number, width) in numbers {
            prop_assert_eq!(bits.vbr(width), Ok(number));
        }
    }

    #[test]
    fn records_are_read_back_with_any_abbreviation(
        width in 4..9_u32,
        abbrevs in vec(abbrev(), 0..6),
        seeds in vec((vec(number(), 1..8), any::<bool>(), 0..9_usize), 0..30),
    ) {
        let mut records = Records::with(width, abbrevs.clone());
        for (seed, fits, choice) in seeds {
            let id = u32::try_from(choice).expect("small") + UNABBREVIATED;
            let values = match choice.checked_sub(1).and_then(|choice| abbrevs.get(choice)) {
                Some(abbrev) if fits => fitting(abbrev, &seed),
                _ => seed,
            };
            // Elements of an array without bits take no space, which the reader refuses.
            let empty = abbrevs.iter().any(|abbrev| matches!(
                abbrev.tail, Tail::Array(ScalarEncoding::Fixed(0) | ScalarEncoding::Vbr(0))
            ));
            prop_assume!(!empty);
            records.push(values, id);
        }
        let Ok(read) = reread(&records) else {
            // Only literals can make a block of more values than bits.
            let literals = abbrevs.iter().any(|abbrev| abbrev.scalars.iter().any(|scalar| {
                matches!(scalar, ScalarEncoding::Literal(_) | ScalarEncoding::Fixed(0) | ScalarEncoding::Vbr(0))
            }));
            prop_assert!(literals);
            return Ok(());
        };
        prop_assert_eq!(read.len(), records.len());
        for (read, written) in read.iter().zip(records.iter()) {
            prop_assert_eq!((read.code, read.operands), (written.code, written.operands));
        }
        prop_assert_eq!(read.body(), records.body());
    }

    #[test]
    fn arbitrary_bytes_never_panic_the_reader(bytes in vec(any::<u8>(), 0..400), width in 2..33_u32) {
        let header = BlockHeader { id: 20, width, length_at: 0, body: 0..bytes.len() };
        let _ = Records::read(&bytes, &header, Vec::new());
    }
}
