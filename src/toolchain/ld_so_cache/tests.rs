use std::process::Command;

use fs_err as fs;
use proptest::prelude::*;

use super::*;

/// An entry of a cache that a test writes; `level` is a subdirectory of `glibc-hwcaps`.
#[derive(Debug, Clone)]
struct Row {
    name: &'static str,
    flags: u32,
    hwcap: u64,
    level: Option<&'static str>,
    path: &'static str,
}

fn machine() -> Machine {
    Machine::host().expect("a machine that relto knows")
}

fn own_flags() -> u32 {
    machine().cache_flags().expect("flags that relto knows")
}

fn row(name: &'static str, path: &'static str) -> Row {
    Row {
        name,
        flags: own_flags(),
        hwcap: 0,
        level: None,
        path,
    }
}

/// Strings, and the offsets that they got.
struct Strings {
    bytes: Vec<u8>,
    start: usize,
}

impl Strings {
    fn add(&mut self, text: &str) -> u32 {
        let at = self.start + self.bytes.len();
        self.bytes.extend_from_slice(text.as_bytes());
        self.bytes.push(0);
        u32::try_from(at).expect("small")
    }
}

fn push(bytes: &mut Vec<u8>, numbers: &[u32]) {
    bytes.extend(numbers.iter().flat_map(|it| it.to_ne_bytes()));
}

fn sorted(mut rows: Vec<Row>) -> Vec<Row> {
    rows.sort_by(|one, other| {
        let [one, other] = [one, other].map(|row| row.name.as_bytes());
        compare_names(other, one, true)
    });
    rows
}

/// What `ldconfig` writes; the strings count from its beginning.
fn new_format(rows: Vec<Row>) -> Vec<u8> {
    let rows = sorted(rows);
    let levels: Vec<_> = rows.iter().filter_map(|row| row.level).collect();
    let mut strings = Strings {
        bytes: Vec::new(),
        start: NEW.0 + rows.len() * NEW.1,
    };
    let mut table = Vec::new();
    let mut used = 0;
    for row in &rows {
        let mut hwcap = row.hwcap;
        if row.level.is_some() {
            hwcap |= (IS_EXTENSION << 32) | used;
            used += 1;
        }
        let (key, value) = (strings.add(row.name), strings.add(row.path));
        push(&mut table, &[row.flags, key, value, 0]);
        table.extend(hwcap.to_ne_bytes());
    }
    let names: Vec<u32> = levels.iter().map(|level| strings.add(level)).collect();
    strings
        .bytes
        .resize(strings.bytes.len().next_multiple_of(4), 0);
    let extension = u32::try_from(strings.start + strings.bytes.len()).expect("small");
    let order = if cfg!(target_endian = "little") { 2 } else { 3 };

    let mut bytes = NEW_MAGIC.to_vec();
    let lengths = [rows.len(), strings.bytes.len()].map(|it| u32::try_from(it).expect("small"));
    push(&mut bytes, &lengths);
    bytes.extend([order, 0, 0, 0]);
    push(&mut bytes, &[extension, 0, 0, 0]);
    bytes.extend(table);
    bytes.extend(strings.bytes);
    let size = u32::try_from(names.len() * 4).expect("small");
    // A section with the name of the program that wrote it, then that of the levels.
    push(&mut bytes, &[EXTENSION_MAGIC, 2, 0, 0, extension, 0]);
    push(&mut bytes, &[GLIBC_HWCAPS, 0, extension + 40, size]);
    push(&mut bytes, &names);
    bytes
}

/// What old releases wrote, with the new format behind the table if it is asked for.
fn old_format(rows: Vec<Row>, with_new: bool) -> Vec<u8> {
    let new = with_new.then(|| new_format(rows.clone()));
    let rows = sorted(rows);
    let mut bytes = OLD_MAGIC.to_vec();
    bytes.push(0);
    push(&mut bytes, &[u32::try_from(rows.len()).expect("small")]);
    let mut strings = Strings {
        bytes: Vec::new(),
        start: 0,
    };
    for row in &rows {
        let key = strings.add(row.name);
        let path = if with_new { "/not/read" } else { row.path };
        let value = strings.add(path);
        push(&mut bytes, &[row.flags, key, value]);
    }
    match new {
        Some(new) => {
            bytes.resize(bytes.len().next_multiple_of(8), 0);
            bytes.extend(new);
        }
        None => bytes.extend(strings.bytes),
    }
    bytes
}

fn found(bytes: &[u8], name: &str) -> Result<CachedLibrary, CacheError> {
    let cache = LdSoCache::parse(bytes.to_vec())?.expect("a cache");
    cache.lookup(name.as_bytes(), machine())
}

fn plain(path: &str) -> CachedLibrary {
    CachedLibrary {
        plain: Some(path.into()),
        ..CachedLibrary::default()
    }
}

fn rows() -> Vec<Row> {
    let other = Row {
        flags: 0x7703,
        ..row("libx.so.1", "/other/libx.so.1")
    };
    let level = |level, path| Row {
        level: Some(level),
        ..row("libv.so", path)
    };
    vec![
        row("libx.so.10", "/ten/libx.so.10"),
        row("libx.so.9", "/nine/libx.so.9"),
        other,
        row("libx.so.1", "/one/libx.so.1"),
        row("libx.so.1", "/later/libx.so.1"),
        level("b", "/v/b/libv.so"),
        level("a", "/v/a/libv.so"),
        row("libv.so", "/v/libv.so"),
        row("a.so", "/a.so"),
        row("z.so", "/z.so"),
    ]
}

#[test]
fn a_name_has_the_first_file_for_this_machine() {
    for bytes in [
        new_format(rows()),
        old_format(rows()[..5].to_vec(), false),
        old_format(rows()[..4].to_vec(), true),
        old_format(rows()[..5].to_vec(), true),
    ] {
        assert_eq!(found(&bytes, "libx.so.1"), Ok(plain("/one/libx.so.1")));
        assert_eq!(found(&bytes, "libx.so.9"), Ok(plain("/nine/libx.so.9")));
        assert_eq!(found(&bytes, "libx.so.10"), Ok(plain("/ten/libx.so.10")));
        for none in ["libx.so", "libx.so.2", "", "zz", &"a".repeat(5000)] {
            assert_eq!(found(&bytes, none), Ok(CachedLibrary::default()), "{none}");
        }
    }
}

#[test]
fn variants_are_named_by_their_directories_and_old_ones_are_doubtful() {
    let bytes = new_format(rows());
    let variants = [("b", "/v/b/libv.so"), ("a", "/v/a/libv.so")];
    let variants = variants.map(|(level, path)| (level.into(), path.into()));
    let wanted = CachedLibrary {
        variants: variants.to_vec(),
        ..plain("/v/libv.so")
    };
    assert_eq!(found(&bytes, "libv.so"), Ok(wanted));

    for doubtful in [(own_flags(), 1 << 63), (own_flags(), 4), (ANY_LIBC, 0)] {
        let (flags, hwcap) = doubtful;
        let old = Row {
            flags,
            hwcap,
            ..row("libo.so", "/tls/libo.so")
        };
        let bytes = new_format(vec![old, row("libo.so", "/libo.so")]);
        let wanted = CachedLibrary {
            doubtful: Some("/tls/libo.so".into()),
            ..plain("/libo.so")
        };
        assert_eq!(found(&bytes, "libo.so"), Ok(wanted));
    }
}

/// Every name in the cache of this machine, as `ldconfig` lists it.
#[test]
fn the_cache_of_this_machine_is_read_as_ldconfig_reads_it() {
    let listed = Command::new("/sbin/ldconfig").arg("-p").output();
    let (Ok(bytes), Ok(listed)) = (fs::read("/etc/ld.so.cache"), listed) else {
        return;
    };
    if machine().platform() != "x86_64" {
        return;
    }
    let cache = LdSoCache::parse(bytes).expect("sound").expect("a cache");
    let text = String::from_utf8(listed.stdout).expect("UTF-8");
    let mut known = std::collections::HashSet::new();
    for line in text.lines() {
        let Some((name, rest)) = line.trim().split_once(" (libc6,x86-64") else {
            continue;
        };
        if rest.contains("hwcap") || !known.insert(name) {
            continue;
        }
        let (_, path) = rest.split_once(" => ").expect("a path");
        let library = cache.lookup(name.as_bytes(), machine()).expect("sound");
        assert_eq!(library.plain, Some(path.into()), "{line}");
    }
    assert!(!known.is_empty(), "{text}");
}

#[test]
fn a_file_that_the_loader_ignores_is_no_cache_and_an_unknown_version_is_an_error() {
    let mut swapped = new_format(rows());
    swapped[28] ^= 1;
    for bytes in [b"".as_slice(), b"\x7fELF", b"glibc", &swapped] {
        let parsed = LdSoCache::parse(bytes.to_vec()).expect("no cache");
        assert!(parsed.is_none(), "{bytes:?}");
    }
    let mut newer = new_format(rows());
    newer[19] = b'2';
    let mut newer_behind = old_format(rows(), true);
    let at = newer_behind.windows(3).position(|it| it == b"1.1");
    newer_behind[at.expect("its version") + 2] = b'2';
    for bytes in [newer, newer_behind] {
        LdSoCache::parse(bytes).expect_err("a version that relto does not know");
    }
}

#[test]
fn a_cache_that_is_cut_off_says_nothing_wrong() {
    let without_variants = || {
        let rows = rows().into_iter().filter(|row| row.level.is_none());
        rows.collect()
    };
    for bytes in [
        new_format(rows()),
        old_format(without_variants(), false),
        old_format(without_variants(), true),
    ] {
        let names = ["libx.so.1", "libx.so.10", "libv.so", "a.so", "z.so"];
        let whole = names.map(|name| found(&bytes, name).expect("sound"));
        for length in 0..bytes.len() {
            let Ok(Some(cache)) = LdSoCache::parse(bytes[..length].to_vec()) else {
                continue;
            };
            for (name, whole) in names.iter().zip(&whole) {
                if let Ok(part) = cache.lookup(name.as_bytes(), machine()) {
                    assert_eq!(&part, whole, "{name} in {length} bytes");
                }
            }
        }
    }
}

#[test]
fn endless_entries_and_strings_end_a_search() {
    let many = vec![row("libx.so", "/libx.so"); 3 * MAX_SAME_NAME];
    let foreign = |row: Row| Row { flags: 7, ..row };
    let foreign = many.into_iter().map(foreign).collect();
    found(&new_format(foreign), "libx.so").expect_err("too many");

    let mut endless = new_format(vec![row("libx.so", "/libx.so")]);
    // The extensions move behind what has no end.
    endless[32..36].fill(0);
    endless.extend(std::iter::repeat_n(b'1', 1 << 20));
    let key = u32::try_from(endless.len() - (1 << 20)).expect("small");
    endless[NEW.0 + 4..NEW.0 + 8].copy_from_slice(&key.to_ne_bytes());
    found(&endless, "libx.so").expect_err("no end");
}

/// No loader is known that reads these as they were meant.
#[test]
fn variants_behind_the_table_of_the_old_format_are_an_error() {
    let bytes = old_format(rows(), true);
    found(&bytes, "libv.so").expect_err("no names of variants");
    assert_eq!(found(&bytes, "a.so"), Ok(plain("/a.so")));
}

#[test]
fn names_are_in_the_order_of_their_numbers() {
    for (one, other, wanted) in [
        ("libx.so.9", "libx.so.10", Ordering::Less),
        ("libx.so.01", "libx.so.1", Ordering::Equal),
        ("libx1", "libxa", Ordering::Greater),
        ("libxa", "libx1", Ordering::Less),
        ("libx", "libx.so", Ordering::Less),
        ("libx.so", "libx", Ordering::Greater),
        ("lib99999999999", "lib1", Ordering::Greater),
        ("", "", Ordering::Equal),
    ] {
        let compared = compare_names(one.as_bytes(), other.as_bytes(), true);
        assert_eq!(compared, wanted, "{one} {other}");
    }
    assert_eq!(compare_names(b"\xc3", b"a", true), Ordering::Less);
    assert_eq!(compare_names(b"\xc3", b"a", false), Ordering::Greater);
}

fn look_everything_up(bytes: Vec<u8>) {
    if let Ok(Some(cache)) = LdSoCache::parse(bytes) {
        for name in ["libx.so.1", "libx.so.9", "libv.so", "a.so", "z.so", "", "1"] {
            let _ = cache.lookup(name.as_bytes(), machine());
        }
    }
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic_the_reader(
        magic in 0_usize..4,
        bytes in proptest::collection::vec(any::<u8>(), 0..512),
    ) {
        let magic = [NEW_MAGIC, OLD_MAGIC, ANY_NEW_MAGIC, b""][magic];
        look_everything_up([magic, &bytes].concat());
    }

    #[test]
    fn a_damaged_cache_never_panics_the_reader(
        format in 0_usize..3,
        changes in proptest::collection::vec((0_usize..1024, any::<u8>()), 1..20),
        length in 0_usize..1024,
    ) {
        let mut bytes = match format {
            0 => new_format(rows()),
            with_new => old_format(rows(), with_new == 1),
        };
        for (at, value) in changes {
            if let Some(byte) = bytes.get_mut(at) {
                *byte = value;
            }
        }
        bytes.truncate(length.max(64));
        look_everything_up(bytes);
    }
}
