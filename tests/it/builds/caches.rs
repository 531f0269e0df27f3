//! Other caches beside relto: of compiles, and lld's own of backends.

use super::{LZ4_JOBS, blocks, builds_in, checkout, for_lz4, has, links, lz4_works, shell};
use crate::support::link::Home;
use crate::support::servers::free_port;

#[test]
fn ccache_keeps_compiles_and_relto_the_backends() {
    if !has(&["make", "ccache", "clang-22", "llvm-ar-22"]) {
        return;
    }
    let dir = checkout("lz4");
    let home = Home::new();
    let recipe = for_lz4(&format!("make clean\n{}", blocks("ccache")[0]));
    let script = format!(
        "export CCACHE_DIR={}/ccache\n{recipe}",
        home.path().display()
    );
    assert_eq!(builds_in(&home, dir.path(), &script, 1, LZ4_JOBS), 0);
    assert_eq!(builds_in(&home, dir.path(), &script, 1, LZ4_JOBS), LZ4_JOBS);
    let counts = format!(
        "CCACHE_DIR={}/ccache ccache --print-stats",
        home.path().display()
    );
    let counts = shell(dir.path(), &home, &counts);
    let counts = String::from_utf8_lossy(&counts.stdout);
    let hits = format!("direct_cache_hit\t{LZ4_JOBS}\n");
    assert!(counts.contains(&hits), "{counts}");
}

#[test]
fn sccache_keeps_compiles_and_relto_the_backends() {
    if !has(&["make", "sccache", "clang-22", "llvm-ar-22"]) {
        return;
    }
    let dir = checkout("lz4");
    let home = Home::new();
    let variables = format!(
        "export SCCACHE_DIR={}/sccache SCCACHE_SERVER_PORT={} SCCACHE_IDLE_TIMEOUT=60",
        home.path().display(),
        free_port()
    );
    let recipe = for_lz4(&format!("make clean\n{}", blocks("sccache")[0]));
    let script = format!("{variables}\nsccache --start-server\n{recipe}\nsccache --stop-server");
    assert_eq!(builds_in(&home, dir.path(), &script, 1, LZ4_JOBS), 0);
    assert_eq!(builds_in(&home, dir.path(), &script, 1, LZ4_JOBS), LZ4_JOBS);
}

#[test]
fn llds_own_cache_hides_jobs_from_relto_and_knows_neither_compiler_nor_arguments() {
    if !has(&["make", "clang-22", "llvm-ar-22"]) {
        return;
    }
    let dir = checkout("lz4");
    let home = Home::new();
    let recipe = for_lz4(&blocks("lld's own cache in front")[0]);
    builds_in(&home, dir.path(), &recipe, 1, LZ4_JOBS);
    let relink = |more: &str| {
        let script = recipe.replace(
            "-Wl,--thinlto-cache-dir",
            &format!("{more} -Wl,--thinlto-cache-dir"),
        );
        let output = shell(dir.path(), &home, &format!("rm programs/lz4\n{script}"));
        lz4_works(dir.path(), "");
        links(&output).len()
    };
    assert_eq!(relink(""), 0);
    // Other objects are asked for, and another compiler that makes none at all.
    assert_eq!(relink("-Wl,--thinlto-remote-compiler-arg=-O0"), 0);
    assert_eq!(relink("-Wl,--thinlto-remote-compiler=/bin/false"), 0);
}
