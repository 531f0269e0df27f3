use super::*;

/// One without configuration files.
const COMPILER: &str = "/nowhere/bin/clang";

/// A tree with `src/a.c`, `include` and `build`, and another directory beside it.
fn tree() -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a temporary directory");
    for name in ["tree/src", "tree/include", "tree/build", "treetop"] {
        fs_err::create_dir_all(dir.path().join(name)).expect("made");
    }
    for name in ["tree/src/a.c", "treetop/a.c"] {
        fs_err::write(dir.path().join(name), "").expect("written");
    }
    dir
}

#[test]
fn a_path_is_seen_from_the_current_directory() {
    for (path, dir, expected) in [
        ("/t/src/a.c", "/t/build", "../src/a.c"),
        ("/t/src/a.c", "/t", "src/a.c"),
        ("/t", "/t/", "."),
        ("/t", "/t/build/deep", "../.."),
        ("/t/src/../include/./x", "/t/src", "../include/x"),
        ("/t/a.c", "/elsewhere", "../t/a.c"),
    ] {
        let found = relative_to(Path::new(path), Path::new(dir));
        assert_eq!(found, Path::new(expected), "{path} from {dir}");
    }
}

#[test]
fn only_sources_and_include_paths_that_are_there_and_below_the_base_are_replaced() {
    let dir = tree();
    let root = std::env::current_dir().expect("a directory");
    let top = dir.path().display().to_string();
    let line = |words: &[&str]| {
        words
            .iter()
            .map(|it| it.replace("TOP", &top))
            .collect::<Vec<_>>()
    };
    let typed = line(&[
        "-ITOP/tree/include",
        "-isystem",
        "TOP/tree/include",
        "-ITOP/tree/nothing",
        "-ITOP/treetop",
        "-MF",
        "TOP/tree/build/a.d",
        "-c",
        "TOP/tree/src/a.c",
        "-o",
        "TOP/tree/build/a.o",
        "TOP/treetop/a.c",
    ]);
    let up = "../".repeat(root.components().count() - 1);
    let below = format!("{up}{}", top.trim_start_matches('/'));
    let expected = line(&[
        "-IUP/tree/include",
        "-isystem",
        "UP/tree/include",
        "-ITOP/tree/nothing",
        "-ITOP/treetop",
        "-MF",
        "TOP/tree/build/a.d",
        "-c",
        "UP/tree/src/a.c",
        "-o",
        "TOP/tree/build/a.o",
        "TOP/treetop/a.c",
    ]);
    let expected: Vec<_> = expected.iter().map(|it| it.replace("UP", &below)).collect();
    let rewriter = Rewriter::new(&dir.path().join("tree"), vec![root]);
    let arguments = arguments::parse(&typed);
    let rewritten: Vec<_> = arguments
        .iter()
        .flat_map(|it| rewriter.argument(it))
        .collect();
    assert_eq!(rewritten, expected);
}

#[test]
fn a_base_that_is_named_through_symbolic_links_is_the_same_base() {
    let dir = tree();
    let top = fs_err::canonicalize(dir.path()).expect("a directory");
    let link = |target: &str, name: &str| {
        fs_err::os::unix::fs::symlink(top.join(target), top.join(name)).expect("linked");
    };
    link("tree", "link");
    link(".", "up");
    link("treetop", "other");
    link("tree/src", "inside");
    link("tree", "tree/again");
    let root = std::env::current_dir().expect("a directory");
    let tree = relative_to(&top.join("tree"), &root);
    for base in ["tree", "up/link"] {
        let rewriter = Rewriter::new(&top.join(base), vec![root.clone()]);
        let relative = |name: &str| rewriter.relative(&top.join(name).display().to_string());
        for (name, below) in [
            ("tree/src/a.c", "src/a.c"),
            ("link/src/a.c", "src/a.c"),
            ("up/link/src/../src/a.c", "src/../src/a.c"),
            ("up/up/tree/include", "include"),
            ("link/again/src/a.c", "again/src/a.c"),
            ("link", ""),
        ] {
            let expected: PathBuf = tree
                .components()
                .chain(Path::new(below).components())
                .collect();
            let expected = expected.display().to_string();
            assert_eq!(relative(name), Some(expected), "{name}");
        }
        for name in [
            "treetop/a.c",
            "other/a.c",
            "inside/a.c",
            "link/nothing",
            "up/treetop/a.c",
        ] {
            assert_eq!(relative(name), None, "{name}");
        }
    }
}

#[test]
fn a_name_that_would_be_an_option_or_a_response_file_begins_with_its_directory() {
    let root = std::env::current_dir().expect("a directory");
    let rewriter = Rewriter::new(&root, vec![root.clone()]);
    for name in ["-o.c", "@args.c"] {
        let inside = tempfile::Builder::new().prefix(name).tempfile_in(&root);
        let inside = inside.expect("a file");
        let path = inside.path().display().to_string();
        let expected = format!("./{}", inside.path().file_name().expect("named").display());
        assert_eq!(rewriter.relative(&path), Some(expected));
    }
}

#[test]
fn nothing_is_replaced_where_clang_looks_elsewhere_for_relative_paths() {
    let dir = tree();
    let base = dir.path().join("tree");
    let source = base.join("src/a.c").into_os_string();
    let of = |more: &str| {
        let words = [OsString::from("-c"), source.clone(), more.into()];
        with_relative_paths(COMPILER.as_ref(), &words, &base) == words
    };
    assert!(of("-working-directory=/"));
    assert!(of("-working-directory"));
    assert!(of("-Xclang=-fsanitize-ignorelist=/x"));
    assert!(of("-Wp,-working-directory,/"));
    assert!(of("--config=x.cfg"));
    assert!(of("-fsanitize-ignorelist=/x"));
    assert!(of("-fprofile-use=x"));
    assert!(of("-ffile-prefix-map=/x=/y"));
    assert!(of("-ivfsoverlay"));
    let file = dir.path().join("words");
    fs_err::write(&file, "-O2 -working-directory /").expect("written");
    assert!(of(&format!("@{}", file.display())));
    fs_err::write(&file, "-O2").expect("written");
    assert!(!of(&format!("@{}", file.display())));
    assert!(!of("-O2"));
    assert!(!of("-fsanitize=address"));
    assert!(!of("-ffile-prefix-map=../src=/y"));
}

#[test]
fn configuration_files_beside_the_compiler_may_say_where_to_look() {
    let dir = tree();
    let (base, bin) = (dir.path().join("tree"), dir.path().join("bin"));
    fs_err::create_dir_all(&bin).expect("made");
    let words = ["-c".into(), base.join("src/a.c").into_os_string()];
    let stay = |text: &str| {
        fs_err::write(bin.join("clang.cfg"), text).expect("written");
        with_relative_paths(&bin.join("clang"), &words, &base) == words
    };
    assert!(stay("-working-directory=/"));
    assert!(stay("-O2\n-fsanitize-ignorelist=<CFGDIR>/list"));
    assert!(stay("@gone"));
    assert!(!stay("-O2"));
}

#[test]
fn sources_that_clang_finds_by_name_keep_theirs() {
    let dir = tempfile::tempdir().expect("a directory");
    fs_err::create_dir(dir.path().join("src")).expect("made");
    fs_err::write(dir.path().join("src/a.c"), "").expect("written");
    let source = dir.path().join("src/a.c").into_os_string();
    let plain = ["-c".into(), source.clone()];
    assert_ne!(
        with_relative_paths(COMPILER.as_ref(), &plain, dir.path()),
        plain
    );
    for option in BY_NAME {
        let words = ["-c".into(), source.clone(), OsString::from(option)];
        assert_eq!(
            with_relative_paths(COMPILER.as_ref(), &words, dir.path()),
            words,
            "{option}"
        );
    }
}

#[test]
fn a_name_of_the_same_file_in_another_directory_is_not_taken() {
    let dir = tree();
    let base = fs_err::canonicalize(dir.path().join("tree")).expect("a directory");
    let (source, other) = (base.join("src/a.c"), base.join("build/a.c"));
    fs_err::hard_link(&source, &other).expect("linked");
    let root = std::env::current_dir().expect("a directory");
    let inside = relative_to(&base, &root).join("build");
    let found = |path: &Path| place(path).expect("there");
    assert_eq!(found(&source).0, found(&other).0);
    assert_ne!(found(&source), found(&other));
    assert_eq!(found(&inside.join("a.c")), found(&other));
    assert_eq!(found(&inside), found(&base.join("build")));
}

/// `-iwithsysroot DIR`, of which the table does not know that a value follows.
#[test]
fn a_directory_that_no_known_option_names_stays_as_it_is() {
    let dir = tree();
    let base = dir.path().join("tree");
    let source = base.join("src/a.c").into_os_string();
    let include = base.join("include").into_os_string();
    let words = [
        OsString::from("-iwithsysroot"),
        include.clone(),
        source.clone(),
    ];
    let rewritten = with_relative_paths(COMPILER.as_ref(), &words, &base);
    assert_eq!(rewritten[1], include);
    assert_ne!(rewritten[2], source);
}

#[test]
fn a_relative_name_that_leads_elsewhere_is_not_taken() {
    let dir = tree();
    let base = dir.path().join("tree");
    // Said to be the current directory, but it is not.
    let rewriter = Rewriter::new(&base, vec![base.join("build")]);
    let source = base.join("src/a.c").display().to_string();
    assert_eq!(rewriter.relative(&source), None);
}
