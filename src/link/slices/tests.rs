//! What a job sees of its modules after an edit, from memory and anew.

use std::fmt::Write as _;
use std::path::PathBuf;

use relto_testing::llvm::Llvm;
use tempfile::TempDir;

use super::*;
use crate::thinlto::guid;

/// Names of variables, and of functions that return a number.
struct Text<'a>(&'a [&'a str], &'a [(&'a str, u32)]);

const OWN: Text<'_> = Text(&["shared"], &[("main", 0)]);
const ONE: Text<'_> = Text(&["shared", "once"], &[("one", 1), ("unused", 1)]);
const TWO: Text<'_> = Text(&["two_only", "twin"], &[("two", 2), ("callback", 5)]);
const THREE: Text<'_> = Text(&["twin", "once"], &[("three", 3)]);

/// Modules in files, a cache, and what a link knows.
struct Lab {
    dir: TempDir,
    cache: DiskCache,
    slices: Slices,
}

impl Lab {
    fn new() -> Self {
        let dir = TempDir::new().expect("a directory");
        Self {
            cache: DiskCache::open(&dir.path().join("cache")).expect("a cache"),
            slices: Slices::default(),
            dir,
        }
    }

    /// The module's file, and its digest.
    fn module(&self, Text(variables, functions): &Text<'_>) -> (PathBuf, Digest) {
        let mut text = String::from("target triple = \"x86_64-pc-linux-gnu\"\n");
        for name in *variables {
            writeln!(text, "@{name} = external global i32").expect("a string");
        }
        for (name, number) in *functions {
            writeln!(text, "define i32 @{name}() {{\n  ret i32 {number}\n}}").expect("a string");
        }
        let bytes = Llvm::get().assemble(&text, &[]).expect("a module");
        let digest = DigestFunction::Sha256.digest(&bytes);
        let path = self.dir.path().join(digest.hex());
        fs_err::write(&path, bytes).expect("written");
        (path, digest)
    }
}

/// The modules of a job whose own one is the first; it imports the functions `imported`.
fn job<'a>(
    files: &'a [(PathBuf, Digest)],
    imported: &'a [Option<BTreeSet<u64>>],
) -> Vec<JobModule<'a>> {
    let modules = files.iter().zip(imported);
    let modules = modules.zip(["own.o", "one.o", "two.o", "three.o"]);
    let modules = modules.map(|(((path, digest), imported), name)| JobModule {
        release: Llvm::get().major(),
        name: name_hash(name),
        path,
        digest: *digest,
        imported: imported.as_ref(),
    });
    modules.collect()
}

fn imported() -> Vec<Option<BTreeSet<u64>>> {
    let of = |name: &str| Some(BTreeSet::from([guid(name)]));
    vec![None, of("one"), of("two"), of("three")]
}

/// A name, the edited modules, and whether the others need not be looked at.
type Edit<'a> = (&'a str, [Text<'a>; 4], bool);

#[expect(clippy::too_many_lines, reason = "a table of edits")]
fn edits() -> Vec<Edit<'static>> {
    let unused = Text(ONE.0, &[("one", 1), ("unused", 9)]);
    vec![
        (
            "a body that is imported",
            [OWN, Text(ONE.0, &[("one", 7), ("unused", 1)]), TWO, THREE],
            true,
        ),
        ("a body that is not", [OWN, unused, TWO, THREE], true),
        (
            "the own module",
            [Text(OWN.0, &[("main", 4)]), ONE, TWO, THREE],
            true,
        ),
        (
            "two bodies",
            [
                OWN,
                Text(ONE.0, &[("one", 7), ("unused", 1)]),
                Text(TWO.0, &[("two", 8), ("callback", 5)]),
                THREE,
            ],
            true,
        ),
        (
            "a function more",
            [
                OWN,
                ONE,
                Text(TWO.0, &[("two", 2), ("callback", 5), ("fresh", 1)]),
                THREE,
            ],
            true,
        ),
        (
            "a variable more",
            [OWN, ONE, Text(&["two_only", "twin", "fresh"], TWO.1), THREE],
            true,
        ),
        (
            "a variable less",
            [OWN, ONE, Text(&["twin"], TWO.1), THREE],
            true,
        ),
        (
            "the same names in another order",
            [OWN, ONE, Text(&["twin", "two_only"], TWO.1), THREE],
            true,
        ),
        (
            "one new name in two modules",
            [
                OWN,
                Text(&["shared", "once", "fresh"], ONE.1),
                Text(&["fresh", "two_only", "twin"], TWO.1),
                THREE,
            ],
            true,
        ),
        (
            "a function with the name of a variable",
            [
                OWN,
                ONE,
                Text(TWO.0, &[("two", 2), ("callback", 5), ("once", 1)]),
                THREE,
            ],
            false,
        ),
        (
            "a variable that others have",
            [
                OWN,
                ONE,
                Text(&["shared", "two_only", "twin"], TWO.1),
                THREE,
            ],
            false,
        ),
        (
            "a variable that others keep",
            [OWN, ONE, Text(&["two_only"], TWO.1), THREE],
            false,
        ),
        (
            "a module with others' names",
            [OWN, ONE, TWO, Text(&["two_only"], THREE.1)],
            false,
        ),
    ]
}

#[test]
fn what_is_seen_again_is_what_is_seen_anew() {
    let lab = Lab::new();
    let imported = imported();
    let files = [OWN, ONE, TWO, THREE].map(|text| lab.module(&text));
    let before = lab.slices.seen(&job(&files, &imported), &[], &lab.cache);
    let before = before.expect("known modules");
    assert!(before.files[1..].iter().all(|file| file.view.is_some()));
    for (name, texts, is_enough) in edits() {
        let files = texts.map(|text| lab.module(&text));
        let modules = job(&files, &imported);
        let anew = lab
            .slices
            .seen(&modules, &[], &lab.cache)
            .expect("known modules");
        let again = lab.slices.seen_again(&before, &modules, &[], &lab.cache);
        assert_eq!(again.is_some(), is_enough, "{name}");
        if let Some(again) = again {
            assert_eq!(again, anew, "{name}");
        }
    }
}

#[test]
fn other_imports_of_an_unchanged_module_are_seen_too() {
    let lab = Lab::new();
    let mut imported = imported();
    let files = [OWN, ONE, TWO, THREE].map(|text| lab.module(&text));
    let seen = |imported: &[_]| lab.slices.seen(&job(&files, imported), &[], &lab.cache);
    let before = seen(&imported).expect("known modules");
    imported[2] = Some(BTreeSet::from([guid("two"), guid("callback")]));
    let again = lab
        .slices
        .seen_again(&before, &job(&files, &imported), &[], &lab.cache);
    assert_eq!(again, seen(&imported));
    assert_ne!(again.as_ref(), Some(&before));
}

#[test]
fn a_guid_that_is_new_in_the_shard_is_known_only_from_an_edited_module() {
    let lab = Lab::new();
    let imported = imported();
    let mut files = [OWN, ONE, TWO, THREE].map(|text| lab.module(&text));
    let old = [guid("three")];
    let before = lab
        .slices
        .seen(&job(&files, &imported), &old, &lab.cache)
        .expect("known modules");
    assert_eq!(before.not_local, old);
    files[1] = lab.module(&Text(ONE.0, &[("one", 7), ("unused", 1)]));
    let modules = job(&files, &imported);
    let again = |new| {
        let mut mentioned = [old[0], new];
        mentioned.sort_unstable();
        let again = lab
            .slices
            .seen_again(&before, &modules, &mentioned, &lab.cache);
        again.is_some()
    };
    assert!(again(guid("unused")));
    // It may be a local value's of any module.
    assert!(!again(guid("two")));
    assert!(!again(1));
}

#[test]
fn after_an_edit_no_module_is_read_but_the_edited_one() {
    let lab = Lab::new();
    let imported = imported();
    let files = [OWN, ONE, TWO, THREE].map(|text| lab.module(&text));
    let before = lab.slices.seen(&job(&files, &imported), &[], &lab.cache);
    let before = before.expect("known modules");

    // Another link, whose cache has nothing but the graph of what is edited.
    let mut files = files;
    let later = Lab::new();
    assert!(
        later
            .slices
            .graphs
            .of(files[1].1, &files[1].0, &later.cache)
            .is_some()
    );
    files[1] = lab.module(&Text(ONE.0, &[("one", 7), ("unused", 1)]));
    for at in [0, 2, 3] {
        fs_err::remove_file(&files[at].0).expect("removed");
    }
    let modules = job(&files, &imported);
    assert!(later.slices.seen(&modules, &[], &later.cache).is_none());
    let again = later
        .slices
        .seen_again(&before, &modules, &[], &later.cache);
    let again = again.expect("the edited module is enough");
    assert_eq!(again.changes_since(&before), [PartOfKey::File(1)]);
    assert_eq!(again.counts(), (3, 0));
}

#[test]
fn a_module_is_decoded_once_whichever_jobs_ask_for_it() {
    let lab = Lab::new();
    let (path, digest) = lab.module(&ONE);
    let of = |path: &Path| lab.slices.graphs.of(digest, path, &lab.cache);
    let asked = std::sync::Barrier::new(8);
    let graphs: Vec<_> = std::thread::scope(|scope| {
        let ask = || {
            asked.wait();
            of(&path)
        };
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(ask)).collect();
        let graphs = threads.into_iter().map(std::thread::ScopedJoinHandle::join);
        graphs.map(|graph| graph.expect("no panic")).collect()
    });
    // One graph for all of them, not eight equal ones.
    let first = graphs[0].as_ref().expect("a known module");
    let mut others = graphs.iter().flatten();
    assert!(others.all(|graph| Arc::ptr_eq(graph, first)));
    assert_eq!(graphs.iter().flatten().count(), 8);
    fs_err::remove_file(&path).expect("removed");
    assert!(of(&path).is_some(), "it is in memory");
    let later = Slices::default();
    let stored = later.graphs.of(digest, &path, &lab.cache);
    assert_eq!(stored.as_ref(), Some(first), "it is in the cache");
}

#[test]
fn a_record_that_is_damaged_is_no_record() {
    let lab = Lab::new();
    let module = ModuleKey::of(b"app\0a.o");
    let seen = SeenModules {
        release: 22,
        files: Vec::new(),
        namesakes: vec![1, 2],
        not_local: vec![3],
        others: OtherParts::default(),
    };
    seen.store(&lab.cache, module).expect("stored");
    assert_eq!(SeenModules::last(&lab.cache, module), Some(seen));
    assert_eq!(SeenModules::last(&lab.cache, ModuleKey::of(b"b")), None);
    let mut damaged = false;
    for dir in fs_err::read_dir(lab.cache.root().join("ac")).expect("a cache") {
        for entry in fs_err::read_dir(dir.expect("an entry").path()).expect("a directory") {
            let path = entry.expect("an entry").path();
            let mut bytes = fs_err::read(&path).expect("read");
            *bytes.last_mut().expect("a byte") ^= 1;
            fs_err::write(&path, bytes).expect("written");
            damaged = true;
        }
    }
    assert!(damaged);
    assert_eq!(SeenModules::last(&lab.cache, module), None);
}

#[test]
fn a_module_of_another_release_than_the_compiler_is_not_looked_into() {
    let lab = Lab::new();
    let imported = imported();
    let files = [OWN, ONE, TWO, THREE].map(|text| lab.module(&text));
    let mut modules = job(&files, &imported);
    let counts = |modules: &[JobModule<'_>]| {
        let seen = lab.slices.seen(modules, &[], &lab.cache);
        seen.map(|seen| seen.counts())
    };
    assert_eq!(counts(&modules), Some((3, 0)));
    modules[1].release += 1;
    assert_eq!(counts(&modules), Some((2, 1)));
    modules[0].release += 1;
    assert_eq!(counts(&modules), None);
}
