//! Summaries made by hand: what is put in order, and what is refused.

use super::{Obstacle, canonical};
use crate::thinlto::bitstream::{Abbrev, Records, ScalarEncoding, Tail, UNABBREVIATED};

const VERSION: [u64; 2] = [10, 12];
const FLAGS: [u64; 2] = [20, 1];

fn records(rows: &[&[u64]]) -> Records {
    let mut records = Records::with(4, Vec::new());
    for row in rows {
        records.push(row.iter().copied(), UNABBREVIATED);
    }
    records
}

fn rows(records: &Records) -> Vec<Vec<u64>> {
    let row = |record: crate::thinlto::bitstream::Record<'_>| {
        let mut row = vec![record.code];
        row.extend(record.operands);
        row
    };
    records.iter().map(row).collect()
}

fn canonical_rows(input: &[&[u64]]) -> Result<Vec<Vec<u64>>, Obstacle> {
    canonical(&records(input)).map(|records| rows(&records))
}

/// Two modules; GUIDs 1:10, 1:20, 2:0 and 3:0 have the ids 3, 1, 4 and 2.
fn guids() -> Vec<&'static [u64]> {
    vec![
        &[16, 3, 1, 10],
        &[16, 1, 1, 20],
        &[16, 4, 2, 0],
        &[16, 2, 3, 0],
    ]
}

fn with_guids<'a>(rest: &[&'a [u64]]) -> Vec<&'a [u64]> {
    let mut all: Vec<&[u64]> = vec![&VERSION, &FLAGS];
    all.extend(guids());
    all.extend(rest);
    all
}

#[test]
fn values_are_numbered_and_summaries_sorted_by_guid() {
    let input = with_guids(&[
        // Function 1 of module 0: one reference (2), calls 4 with hotness 8 and an unknown callee
        // with hotness 3.
        &[5, 1, 0, 70, 9, 64, 0, 1, 0, 0, 2, 4, 8, 0, 3],
        &[6, 3, 0, 71, 4, 2, 1],
        // Type tests stay before function 4 of module 1.
        &[11, 777, 3],
        &[25, 0, 1, 2, 2, 0, 1, 5, 6, 0, 2, 7, 8, 1, 1, 2, 0],
        &[5, 4, 1, 70, 9, 64, 0, 0, 0, 0],
        &[5, 2, 1, 70, 9, 64, 0, 0, 0, 0],
        &[8, 2, 0, 70, 0],
        &[8, 1, 1, 70, 3],
        &[21, 3, 2, 1],
        &[24, 4],
    ]);
    let expected: Vec<&[u64]> = vec![
        &VERSION,
        &FLAGS,
        &[16, 1, 1, 10],
        &[16, 2, 1, 20],
        &[16, 3, 2, 0],
        &[16, 4, 3, 0],
        &[6, 1, 0, 71, 4, 4, 2],
        &[5, 2, 0, 70, 9, 64, 0, 1, 0, 0, 4, 3, 8, 0, 3],
        &[11, 777, 3],
        &[25, 0, 1, 2, 2, 0, 2, 5, 6, 0, 4, 7, 8, 1, 1, 2, 0],
        &[5, 3, 1, 70, 9, 64, 0, 0, 0, 0],
        &[5, 4, 1, 70, 9, 64, 0, 0, 0, 0],
        &[8, 4, 0, 70, 0],
        &[8, 2, 1, 70, 1],
        &[21, 3, 2, 1],
        &[24, 4],
    ];
    assert_eq!(canonical_rows(&input).expect("in order"), expected);
    assert_eq!(canonical_rows(&expected).expect("in order"), expected);
}

#[test]
fn guids_in_one_operand_stay_in_one_operand() {
    let function: &[u64] = &[5, 2, 0, 70, 9, 64, 0, 0, 0, 0, 1, 0];
    let old = canonical_rows(&[&[10, 9], &[16, 2, 1 << 40], &[16, 1, 1 << 50], function]);
    let expected: [&[u64]; 4] = [
        &[10, 9],
        &[16, 1, 1 << 40],
        &[16, 2, 1 << 50],
        &[5, 1, 0, 70, 9, 64, 0, 0, 0, 0, 2, 0],
    ];
    assert_eq!(old.expect("in order"), expected);
}

#[test]
fn a_value_of_two_modules_keeps_the_order_of_its_modules() {
    let in_module = |module| [6, 1, module, 71, 4];
    let ascending = with_guids(&[&[6, 1, 0, 71, 4], &[6, 1, 1, 71, 4]]);
    assert!(canonical_rows(&ascending).is_ok());
    let (first, second) = (in_module(1), in_module(0));
    assert_eq!(
        canonical_rows(&with_guids(&[&first, &second])),
        Err(Obstacle::ModuleOrder)
    );
    let alias_first = with_guids(&[&[8, 1, 0, 70, 0], &[6, 1, 0, 71, 4]]);
    assert_eq!(canonical_rows(&alias_first), Err(Obstacle::ModuleOrder));
}

#[test]
fn an_unknown_record_or_version_is_reported() {
    for code in [1, 7, 9, 19, 22, 23, 26, 28, 29, 30, 32, 33, 34, 1000] {
        let record = [code, 1, 0];
        assert_eq!(
            canonical_rows(&with_guids(&[&record])),
            Err(Obstacle::UnknownCode { code })
        );
    }
    for version in [0, 8, 15] {
        let obstacle = Err(Obstacle::UnknownVersion { version });
        assert_eq!(canonical_rows(&[&[10, version]]), obstacle);
    }
}

#[test]
fn a_record_of_another_layout_is_an_obstacle() {
    for record in [
        // Too short, an odd number of call operands, more references than operands, an id without a
        // GUID.
        &[5, 1, 0, 70, 9, 64, 0, 0, 0][..],
        &[5, 1, 0, 70, 9, 64, 0, 0, 0, 0, 4],
        &[5, 1, 0, 70, 9, 64, 0, 2, 0, 0, 4],
        &[5, 1, 0, 70, 9, 64, 0, u64::MAX, 0, 0, 4],
        &[5, 9, 0, 70, 9, 64, 0, 0, 0, 0],
        &[5, 1, 0, 70, 9, 64, 0, 1, 0, 0, 99],
        &[5],
        &[4],
        &[4, 1, 0, 70, 9, 64, 0, 0, 0, 0, 99],
        &[4, 1, 0, 70, 9, 64, 0, 2, 0, 0, 4],
        &[6, 1, 0, 71],
        &[6, 1, 0, 71, 4, 5],
        &[6, 0, 0, 71, 4],
        &[8, 1, 0, 70],
        &[8, 1, 0, 70, 2, 2],
        &[8, 1, 0, 70, 77],
    ] {
        assert_eq!(
            canonical_rows(&with_guids(&[record])),
            Err(Obstacle::Shape { code: record[0] }),
            "{record:?}"
        );
    }
    for access in [
        &[25, 0, 1, 2][..],
        &[25, 0, 1, 2, 1, 0, 1, 5],
        &[25, 0, 1, 2, u64::MAX],
        &[25, 0, 1, 2, 1, 0, 50, 5, 6],
    ] {
        let input = with_guids(&[access, &[5, 1, 0, 70, 9, 64, 0, 0, 0, 0]]);
        assert_eq!(
            canonical_rows(&input),
            Err(Obstacle::Shape { code: 25 }),
            "{access:?}"
        );
    }
}

#[test]
fn a_record_in_another_place_is_an_obstacle() {
    let function: &[u64] = &[5, 1, 0, 70, 9, 64, 0, 0, 0, 0];
    for (rest, code) in [
        (vec![&[11, 5][..], &[6, 1, 0, 71, 4]], 6),
        (vec![function, &[11, 5]], 11),
        (vec![&[11, 5][..], &[24, 1]], 11),
        (vec![function, &[16, 9, 9, 9]], 16),
        (vec![&[24, 1][..], function], 5),
        (vec![function, &[20, 1]], 20),
    ] {
        assert_eq!(
            canonical_rows(&with_guids(&rest)),
            Err(Obstacle::Place { code }),
            "{rest:?}"
        );
    }
}

#[test]
fn ids_that_are_not_one_to_one_are_an_obstacle() {
    for (guids, obstacle) in [
        (
            vec![&[16, 1, 0, 5][..], &[16, 2, 0, 5]],
            Obstacle::AmbiguousValue,
        ),
        (
            vec![&[16, 1, 0, 5], &[16, 1, 0, 6]],
            Obstacle::AmbiguousValue,
        ),
        (
            vec![&[16, 1, 0, 5], &[16, 2, 6]],
            Obstacle::Shape { code: 16 },
        ),
        (vec![&[16, 0, 0, 5]], Obstacle::Shape { code: 16 }),
        (vec![&[16, 1, 0, 1 << 32]], Obstacle::Shape { code: 16 }),
        (vec![&[16, u64::MAX, 0, 5]], Obstacle::Shape { code: 16 }),
        (vec![&[16]], Obstacle::Shape { code: 16 }),
    ] {
        let mut input: Vec<&[u64]> = vec![&VERSION];
        input.extend(&guids);
        assert_eq!(canonical_rows(&input), Err(obstacle), "{guids:?}");
    }
}

#[test]
fn an_abbreviation_too_narrow_for_the_new_id_is_not_used() {
    // Ids of two bits: 5 becomes 1 and fits now, 1 becomes 5 and does not.
    let narrow = Abbrev {
        scalars: vec![ScalarEncoding::Literal(6), ScalarEncoding::Fixed(2)],
        tail: Tail::Array(ScalarEncoding::Vbr(6)),
    };
    let mut input = Records::with(4, vec![narrow]);
    input.push(VERSION, UNABBREVIATED);
    for (id, guid) in [(5, 10), (2, 20), (3, 30), (4, 40), (1, 50)] {
        input.push([16, id, 0, guid], UNABBREVIATED);
    }
    input.push([6, 1, 0, 71, 4], 4);
    input.push([6, 2, 0, 71, 4], 4);
    let output = canonical(&input).expect("in order");
    let body = output.body();
    let header = crate::thinlto::bitstream::BlockHeader {
        id: 20,
        width: 4,
        length_at: 0,
        body: 0..body.len(),
    };
    let read = Records::read(&body, &header, Vec::new()).expect("well-formed");
    assert_eq!(rows(&read), rows(&output));
    let written: Vec<u32> = read.iter().map(|record| record.abbrev).collect();
    assert_eq!(written[6..], [4, UNABBREVIATED]);
}
