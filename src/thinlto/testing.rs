//! Shards for unit tests: real ones from `testdata`, and ones assembled from records.

use super::bitcode::{MAGIC, block};
use super::bitstream::{Abbrev, BitWriter, Records, ScalarEncoding, Tail, UNABBREVIATED};

/// Has aliases, virtual calls and type ids; eight modules.
pub(super) const DEVIRTUALIZED: &[u8] = include_bytes!("testdata/devirtualized.thinlto.bc");
/// Has type tests and CFI functions.
pub(super) const CFI: &[u8] = include_bytes!("testdata/cfi.thinlto.bc");

/// Width of an abbreviation id in a module block and among its paths.
pub(super) const MODULE_WIDTH: u32 = 3;
const TOP_LEVEL_WIDTH: u32 = 2;
const END_OF_MODULE: [u8; 4] = [0; 4];

/// The abbreviations of LLVM's writer: 8 bits, 7 bits, char6.
pub(super) fn entry_abbrevs() -> Vec<Abbrev> {
    let elements = [
        ScalarEncoding::Fixed(8),
        ScalarEncoding::Fixed(7),
        ScalarEncoding::Char6,
    ];
    let abbrevs = elements.map(|element| Abbrev {
        scalars: vec![ScalarEncoding::Literal(1), ScalarEncoding::Vbr(8)],
        tail: Tail::Array(element),
    });
    abbrevs.to_vec()
}

/// Records without abbreviations.
pub(super) fn records(width: u32, rows: &[&[u64]]) -> Records {
    let mut records = Records::with(width, Vec::new());
    for row in rows {
        records.push(row.iter().copied(), UNABBREVIATED);
    }
    records
}

/// The smallest valid summary.
pub(super) fn summary() -> Records {
    records(4, &[&[10, 12], &[20, 0]])
}

/// A stream with one module block that contains these blocks: id, abbreviation width, body.
pub(super) fn stream(blocks: &[(u64, u32, Vec<u8>)]) -> Vec<u8> {
    let mut module = BitWriter::default();
    for (id, width, body) in blocks {
        module.block(MODULE_WIDTH, *id, *width, body);
    }
    let mut body = module.finish();
    body.extend(END_OF_MODULE);
    let mut top = BitWriter::default();
    top.block(TOP_LEVEL_WIDTH, block::MODULE, MODULE_WIDTH, &body);
    let mut stream = MAGIC.to_vec();
    stream.extend(top.finish());
    stream
}

/// A shard with these module paths and this summary.
pub(super) fn shard(strtab: &Records, summary: &Records) -> Vec<u8> {
    stream(&[
        (block::MODULE_STRTAB, MODULE_WIDTH, strtab.body()),
        (block::GLOBALVAL_SUMMARY, 4, summary.body()),
    ])
}

/// `stream` in the wrapper of Darwin's tools.
pub(super) fn wrapped(stream: &[u8]) -> Vec<u8> {
    let size = u32::try_from(stream.len()).expect("small");
    let words = [0x0B17_C0DE, 0, 20, size, 7];
    let mut file: Vec<u8> = words.into_iter().flat_map(u32::to_le_bytes).collect();
    file.extend(stream);
    file.extend([0; 12]);
    file
}
