//! What the disk cache holds for slice keys: how much that is, what is left when it is trimmed, and
//! what happens to records of another version.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use fs_err as fs;
use prost::Message as _;
use relto::internals::cache::{trim, usage};
use relto::internals::digest::DigestFunction;
use relto::internals::pb::reapi::{ActionResult, OutputFile, OutputSymlink};

use crate::support::link::{Home, Link};
use crate::support::outcome::LinkOutcome;
use crate::support::program::Program;
use crate::support::saved::{files_below, result_in};

use super::links::{base, edited_unseen, link, with_number};

/// The outputs by which results are told.
const NUMBERS: &str = "relto/numbers";
const GRAPH: &str = "relto/graph";
const SEEN: &str = "relto/seen";

fn root(home: &Home) -> PathBuf {
    home.cache().join("relto")
}

/// Files with results that have an output of this name.
fn with_output(home: &Home, output: &str) -> Vec<PathBuf> {
    let mut files = files_below(&root(home).join("ac"));
    files.retain(|file| {
        let mut outputs = result_in(file).output_files.into_iter();
        outputs.any(|it| it.path == output)
    });
    files
}

/// The files with the contents of an output of these results.
fn contents(home: &Home, results: &[PathBuf], output: &str) -> Vec<PathBuf> {
    let of = |file: &PathBuf| {
        let mut outputs = result_in(file).output_files.into_iter();
        let found = outputs.find(|it| it.path == output).expect("the output");
        blob(home, &found.digest.expect("a digest").hash)
    };
    results.iter().map(of).collect()
}

fn blob(home: &Home, hex: &str) -> PathBuf {
    root(home).join("cas").join(&hex[..2]).join(hex)
}

fn is_unused_for_days(file: &PathBuf) {
    let opened = std::fs::OpenOptions::new().append(true).open(file);
    let time = SystemTime::now() - Duration::from_hours(240);
    opened.expect("opened").set_modified(time).expect("set");
}

fn works(program: &Program, home: &Home) -> LinkOutcome {
    let link = link(program, "on").env("RELTO_LOG", "info");
    let outcome = link.run_at(home).expect_works();
    let warnings = outcome.stderr.matches("relto: warning:").count();
    assert_eq!(warnings, 0, "{}", outcome.stderr);
    let reference = Link::reference(program).keep_objects().run();
    assert_eq!(outcome.objects(), reference.objects());
    outcome
}

/// How many modules a link has read to find out what its jobs see.
fn decoded(outcome: &LinkOutcome) -> usize {
    let mut lines = outcome.stderr.lines();
    let mark = "modules read for slice keys: ";
    let count = lines.find_map(|line| Some(line.split_once(mark)?.1));
    count.map_or(0, |count| count.trim().parse().expect("a number"))
}

#[test]
fn each_module_is_read_once_and_after_an_edit_the_edited_one_alone() {
    let home = Home::new();
    let ((before, _kept), (after, _too)) = (base(), edited_unseen());
    // All three jobs look at `shared.o`.
    assert_eq!(decoded(&works(&before, &home)), 3);
    assert_eq!(decoded(&works(&after, &home)), 1);
    assert_eq!(decoded(&works(&before, &home)), 0);
}

/// What a link needs, as the files of the cache that hold it; and what the link after an edit finds
/// without it: objects, and modules that it must read.
type Kind = (&'static str, fn(&Home) -> Vec<PathBuf>, usize, usize);

const KINDS: [Kind; 6] = [
    ("records", |home| with_output(home, NUMBERS), 0, 1),
    (
        "objects",
        |home| contents(home, &with_output(home, NUMBERS), "relto/out.o"),
        0,
        1,
    ),
    (
        "what was digested",
        |home| {
            let name = |file: &PathBuf| file.file_name()?.to_str().map(str::to_owned);
            let records = with_output(home, NUMBERS).into_iter();
            let keys = records.filter_map(|file| name(&file));
            keys.map(|key| blob(home, &key)).collect()
        },
        2,
        1,
    ),
    ("entries of graphs", |home| with_output(home, GRAPH), 2, 3),
    (
        "graphs",
        |home| contents(home, &with_output(home, GRAPH), GRAPH),
        2,
        3,
    ),
    ("what jobs saw", |home| with_output(home, SEEN), 2, 1),
];

#[test]
fn what_slice_keys_need_is_trimmed_like_everything_else_and_links_stay_right() {
    let ((before, _kept), (after, _too)) = (base(), edited_unseen());
    for (name, files, cached, read) in KINDS {
        let home = Home::new();
        works(&before, &home);
        let files = files(&home);
        assert_eq!(files.len(), 3, "{name}: {files:?}");
        files.iter().for_each(is_unused_for_days);
        let bytes = usage(&root(&home)).expect("counted").bytes;
        trim(&root(&home), bytes - 1).expect("trimmed");
        assert!(files.iter().all(|file| !file.exists()), "{name}");
        let outcome = works(&after, &home);
        assert_eq!(outcome.counts().cached, cached, "{name}");
        assert_eq!(decoded(&outcome), read, "{name}");
        assert_eq!(works(&after, &home).counts().cached, 3, "{name}");
    }
}

#[test]
fn links_remember_a_graph_of_each_module_and_one_record_of_each_job() {
    let home = Home::new();
    let counts = || [GRAPH, SEEN, NUMBERS].map(|output| with_output(&home, output).len());
    let (program, _kept) = base();
    works(&program, &home);
    assert_eq!(counts(), [3, 3, 3]);
    for number in 10..14 {
        let (edited, _kept) = with_number(number);
        works(&edited, &home);
    }
    // The edited module has had five texts, and the others have seen all of them.
    assert_eq!(counts(), [3 + 4, 3, 3 + 4]);
    trim(&root(&home), 0).expect("trimmed");
    assert_eq!(files_below(&root(&home).join("cas")), [] as [PathBuf; 0]);
    assert_eq!(counts(), [0, 0, 0]);
    let outcome = works(&program, &home);
    assert_eq!((outcome.counts().cached, decoded(&outcome)), (0, 3));
}

/// What a later relto may make of a record.
type Change = fn(&mut ActionResult);

fn output(path: &str) -> OutputFile {
    let digest = DigestFunction::Sha256.digest(b"");
    OutputFile {
        path: path.to_owned(),
        digest: Some(digest.to_pb()),
        ..OutputFile::default()
    }
}

const CHANGES: [(&str, Change); 5] = [
    ("a condition", |record| {
        record.output_files.push(output("relto/conditions"));
    }),
    ("a condition before all else", |record| {
        record.output_files.insert(0, output("relto/conditions"));
    }),
    ("another form of the numbers", |record| {
        let numbers = record.output_files.iter_mut();
        let numbers = numbers.filter(|it| it.path == NUMBERS);
        numbers.for_each(|it| it.path.push('2'));
    }),
    ("another kind of output", |record| {
        record.output_symlinks.push(OutputSymlink::default());
    }),
    ("something to say", |record| {
        record.stderr_raw = (&b"only if nothing is said of `shared.c`"[..]).into();
    }),
];

#[test]
fn a_record_with_anything_that_this_version_does_not_know_is_a_miss() {
    let ((before, _kept), (after, _too)) = (base(), edited_unseen());
    for (name, change) in CHANGES {
        let home = Home::new();
        works(&before, &home);
        for file in with_output(&home, NUMBERS) {
            let mut record = result_in(&file);
            change(&mut record);
            fs::write(&file, record.encode_to_vec()).expect("written");
        }
        assert_eq!(works(&after, &home).counts().cached, 0, "{name}");
        // It is replaced.
        let (third, _kept) = with_number(11);
        assert_eq!(works(&third, &home).counts().cached, 2, "{name}");
    }
}
