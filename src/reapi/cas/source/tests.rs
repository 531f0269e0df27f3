use fs_err as fs;
use rustix::fs::{CWD, Mode, mkfifoat};

use super::*;

const SHA: DigestFunction = DigestFunction::Sha256;

/// The pieces of `blob` put together, and the sizes of the pieces.
fn poured(blob: &Blob, encoding: Encoding) -> Result<(Vec<u8>, Vec<usize>), Failure> {
    let (out, mut pieces) = mpsc::channel(1000);
    read_chunks(blob, SHA, encoding, &out);
    drop(out);
    let (mut whole, mut sizes) = (Vec::new(), Vec::new());
    let mut ended = false;
    while let Ok(piece) = pieces.try_recv() {
        let piece = piece?;
        assert!(!ended, "nothing comes after the last piece");
        ended = piece.last;
        sizes.push(piece.data.len());
        whole.extend_from_slice(&piece.data);
    }
    assert!(ended, "the last piece is marked");
    Ok((whole, sizes))
}

fn on_disk(contents: &[u8]) -> (tempfile::TempDir, Blob) {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("module.bc");
    fs::write(&path, contents).expect("written");
    let blob = Blob::from_file(SHA.digest(contents), path);
    (dir, blob)
}

#[test]
fn files_and_bytes_are_sent_whole_in_bounded_chunks() {
    for size in [1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK] {
        let contents: Vec<u8> = (0..size)
            .map(|n| u8::try_from(n * 7 % 251).expect("small"))
            .collect();
        let (_dir, file) = on_disk(&contents);
        let bytes = Blob::from_bytes(SHA.digest(&contents), contents.clone().into());
        for blob in [file, bytes] {
            let (whole, sizes) = poured(&blob, Encoding::Identity).expect("poured");
            assert_eq!(whole, contents);
            assert!(sizes.iter().all(|size| *size <= CHUNK), "{sizes:?}");
            let (packed, _) = poured(&blob, Encoding::Zstd).expect("poured");
            assert_eq!(
                zstd::stream::decode_all(&packed[..]).expect("zstd"),
                contents
            );
        }
    }
}

#[test]
fn a_file_that_changed_shrank_or_grew_fails_before_its_last_chunk() {
    let contents = vec![1; CHUNK * 2];
    let mut changed = contents.clone();
    changed[9] = 2;
    let grown = [contents.clone(), vec![1; 10 * CHUNK]].concat();
    for now in [&changed[..], &contents[..CHUNK], &grown] {
        let (_dir, mut blob) = on_disk(now);
        blob.digest = SHA.digest(&contents);
        for encoding in [Encoding::Identity, Encoding::Zstd] {
            let failure = poured(&blob, encoding).expect_err("not what was hashed");
            assert_eq!(failure.kind, FailureKind::Source);
            assert!(failure.message.contains("module.bc` changed"), "{failure}");
        }
        assert!(read_whole(&blob, SHA, Encoding::Identity).is_err());
    }
}

#[test]
fn a_file_that_is_gone_is_named() {
    let blob = Blob::from_file(
        SHA.digest(b"x"),
        std::path::PathBuf::from("/nonexistent/m.bc"),
    );
    let failure = poured(&blob, Encoding::Identity).expect_err("no file");
    assert!(failure.message.contains("/nonexistent/m.bc"), "{failure}");
}

#[test]
fn a_file_that_has_become_a_pipe_is_not_waited_for() {
    let (_dir, blob) = on_disk(b"module");
    let BlobSource::File(path) = &blob.source else {
        panic!("a file");
    };
    fs::remove_file(path).expect("removed");
    mkfifoat(CWD, &**path, Mode::from_raw_mode(0o600)).expect("made");
    let whole = read_whole(&blob, SHA, Encoding::Identity).map(drop);
    let chunks = poured(&blob, Encoding::Identity).map(drop);
    for failure in [whole, chunks].map(|read| read.expect_err("no file")) {
        assert_eq!(failure.kind, FailureKind::Source);
        assert!(failure.message.contains("not a regular file"), "{failure}");
    }
}

#[test]
fn reading_ends_when_the_receiver_is_dropped() {
    let blob = Blob::from_bytes(SHA.digest(&vec![0; CHUNK]), vec![0; CHUNK].into());
    let (out, pieces) = mpsc::channel(1);
    drop(pieces);
    read_chunks(&blob, SHA, Encoding::Identity, &out);
}
