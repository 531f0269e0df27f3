//! Rows of the database: damaged, forgotten, marked as used.

use super::*;

#[test]
fn a_row_whose_seal_is_broken_is_a_miss() {
    let place = Fixture::new();
    let path = place.settled("a.bc", b"bitcode");
    let first = place.link();
    first.facts(&path, Sha256, None).expect("hashed");
    first.flush();
    let changed = first
        .state
        .write(|transaction| transaction.execute("UPDATE files SET hash = zeroblob(32)", []));
    assert_eq!(changed, Some(1));
    let facts = place.link().facts(&path, Sha256, None).expect("hashed");
    assert_eq!(facts.digest, Sha256.digest(b"bitcode"));
}

#[test]
fn the_least_recently_used_rows_are_forgotten_first() {
    let place = Fixture::new();
    let cache = place.link();
    let paths: Vec<PathBuf> = (0..4)
        .map(|number| place.settled(&number.to_string(), b"x"))
        .collect();
    for (day, path) in (0..).zip(&paths) {
        let facts = cache.facts(path, Sha256, None).expect("hashed");
        let function = Sha256;
        let row = NewRow { function, facts };
        cache
            .state
            .write(|transaction| rows::store(transaction, &[row], &[], day))
            .expect("stored");
    }
    cache
        .state
        .write(|transaction| rows::keep(transaction, 3))
        .expect("trimmed");
    assert_eq!(stored_rows(&cache), 3);
    let gone = identity(&paths[0]).expect("there");
    let found = cache
        .state
        .read(|connection| rows::find(connection, &gone, Sha256, 0))
        .expect("looked");
    assert!(found.is_none());
}

#[test]
fn a_row_in_use_is_marked_so_after_a_week() {
    let place = Fixture::new();
    let path = place.settled("a.bc", b"x");
    let cache = place.link();
    cache.facts(&path, Sha256, None).expect("hashed");
    cache.flush();
    let identity = identity(&path).expect("there");
    let today = rows::day(identity::wall_clock());
    let find = |day| {
        cache
            .state
            .read(|connection| rows::find(connection, &identity, Sha256, day))
            .flatten()
            .expect("known")
            .1
    };
    assert!(find(today + 7).is_none());
    let stale = find(today + 8).expect("due");
    cache
        .state
        .write(|transaction| rows::store(transaction, &[], &[stale], today + 8))
        .expect("marked");
    assert!(find(today + 8).is_none());
}
