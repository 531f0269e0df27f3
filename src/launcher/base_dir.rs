//! Makes absolute paths below the user's base directory relative before the compiler sees them.
//!
//! clang writes the names of source files and headers into a module as the command line spells
//! them, and build systems like `CMake` spell them absolutely: the same sources in another checkout
//! make other modules, and other keys. A path is replaced only by one that leads to the same file.

use std::ffi::OsString;
use std::path::{Component, Path, PathBuf};

use super::texts;
use crate::action::arguments::{self, Argument, Meaning};
use crate::action::overrides;
use crate::action::response::{Quoting, expand_config, expand_response_files};
use crate::fs::{FileId, read_regular_to_string};
use crate::toolchain::config::{self, ConfigDirs};

/// Options whose value may end up in a module, as the name of what was read. Outputs and the
/// targets of dependency files keep their names: a build system knows them by these.
const PATH_OPTIONS: [&str; 16] = [
    "-I",
    "-F",
    "-isystem",
    "-iquote",
    "-idirafter",
    "-include",
    "-imacros",
    "-isysroot",
    "-iframework",
    "-cxx-isystem",
    "-isystem-after",
    "-stdlib++-isystem",
    "-include-pch",
    "-fmodule-map-file=",
    "--sysroot",
    "--sysroot=",
];

/// With this option clang looks for relative paths in another directory than the current one.
const WORKING_DIRECTORY: &str = "-working-directory";

/// How options begin that find a source by its name as the command line spells it: in lists, maps, other
/// file systems, and profiles, in which functions of a file have its name before theirs.
const BY_NAME: [&str; 23] = [
    "-fsanitize-ignorelist",
    "-fsanitize-blacklist",
    "-fsanitize-system-ignorelist",
    "-fsanitize-coverage-",
    "-fprofile-",
    "-fcs-profile-",
    "-fcoverage-mapping",
    "-funique-internal-linkage-names",
    "-funique-source-file-names",
    "-fexperimental-sanitize-metadata-ignorelist",
    "-fxray-always-instrument",
    "-fxray-attr-list",
    "-fxray-never-instrument",
    "--warning-suppression-mappings",
    "-ivfsoverlay",
    "-vfsoverlay",
    "-fdebug-prefix-map=/",
    "-ffile-prefix-map=/",
    "-fmacro-prefix-map=/",
    "-fcoverage-prefix-map=/",
    "--coverage",
    "-coverage",
    "-ftest-coverage",
];

/// The command line of a compile by `compiler` in which paths below `base` are relative to the current
/// directory. Response files are left as they are.
#[must_use]
pub fn with_relative_paths(compiler: &Path, words: &[OsString], base: &Path) -> Vec<OsString> {
    let Some(texts) = texts(words) else {
        return words.to_vec();
    };
    let home = std::env::var_os("HOME").map(PathBuf::from);
    if may_look_elsewhere(&texts, &config_files(compiler, home)) {
        return words.to_vec();
    }
    let rewriter = Rewriter::new(base, current_dirs());
    let rewritten = arguments::parse(&texts)
        .into_iter()
        .flat_map(|argument| rewriter.argument(&argument));
    rewritten.map(OsString::from).collect()
}

/// The configuration files that `compiler` may read by itself: those beside it, and those of the
/// directories that distributions build into it. Which of them it reads is not asked, since most compiles
/// have none.
fn config_files(compiler: &Path, home: Option<PathBuf>) -> Vec<PathBuf> {
    let real = fs_err::canonicalize(compiler).unwrap_or_default();
    let dirs = ConfigDirs {
        system: Some(PathBuf::from("/etc/clang")),
        user: home.map(|home| home.join(".config/clang")),
    };
    config::candidates(&[compiler, &real], Some(&dirs))
}

/// Whether clang may look for relative paths elsewhere, or look for a source by its name: here, in
/// response files and `config_files`, or by edits and configuration files that are named, which are not
/// read for this.
fn may_look_elsewhere(words: &[String], config_files: &[PathBuf]) -> bool {
    let read = &mut |path: &str| read_regular_to_string(path);
    let Ok(mut all) = expand_response_files(words, Quoting::Gnu, read) else {
        return true;
    };
    for file in config_files {
        let Ok(more) = expand_config(&file.to_string_lossy(), read) else {
            return true;
        };
        all.extend(more);
    }
    let may = |word: &String| {
        let inner = word.strip_prefix("-Xclang=").unwrap_or(word);
        word.contains(WORKING_DIRECTORY)
            || word.starts_with("--config")
            || BY_NAME.iter().any(|start| inner.starts_with(start))
    };
    std::env::var_os(overrides::VARIABLE).is_some() || all.iter().any(may)
}

/// The names of the current directory: the shell's, which may go through symbolic links as those of
/// a build system do, and the kernel's.
fn current_dirs() -> Vec<PathBuf> {
    let real = std::env::current_dir().ok();
    let said = std::env::var_os("PWD").map(PathBuf::from);
    let said =
        said.filter(|said| said.is_absolute() && FileId::at(said) == FileId::at(Path::new(".")));
    said.into_iter().chain(real).collect()
}

struct Rewriter {
    /// As the user names it.
    base: PathBuf,
    /// The kernel's name for it, and which directory it is.
    real: Option<(PathBuf, FileId)>,
    /// Names of the current directory.
    dirs: Vec<PathBuf>,
}

impl Rewriter {
    fn new(base: &Path, dirs: Vec<PathBuf>) -> Self {
        let real = fs_err::canonicalize(base).ok();
        Self {
            base: base.to_owned(),
            real: real.and_then(|real| FileId::at(&real).map(|id| (real, id))),
            dirs,
        }
    }

    fn argument(&self, argument: &Argument<'_>) -> Vec<String> {
        // A directory is none: it is the value of an option that is not known.
        let is_input = |path: &str| argument.meaning == Meaning::Input && !Path::new(path).is_dir();
        let names_a_path = |path: &&str| is_input(path) || PATH_OPTIONS.contains(&argument.option);
        let path = argument.value.filter(names_a_path);
        match path.and_then(|path| self.relative(path)) {
            Some(path) => argument.with_value(&path),
            None => argument.words.to_vec(),
        }
    }

    /// Another name of the file `path`, if it is below the base and if there is one that leads to
    /// the same file. Of several the shortest says least of where the base is.
    fn relative(&self, path: &str) -> Option<String> {
        let absolute = Path::new(path);
        if !absolute.is_absolute() {
            return None;
        }
        let below = self.below(absolute)?;
        let wanted = place(absolute)?;
        let by_kernel = self.real.iter().map(|(real, _)| real.join(below));
        let names = by_kernel.chain([absolute.to_owned()]);
        let seen = |name: PathBuf| self.dirs.iter().map(move |dir| relative_to(&name, dir));
        let mut candidates: Vec<PathBuf> = names.flat_map(seen).collect();
        candidates.sort_by_key(|candidate| candidate.components().count());
        let mut candidates = candidates.into_iter();
        let found = candidates.find(|candidate| place(candidate) == Some(wanted))?;
        let name = found.into_os_string().into_string().ok()?;
        // Alone, such a name would be an option or a response file.
        let is_special = name.starts_with(['-', '@']);
        Some(if is_special {
            format!("./{name}")
        } else {
            name
        })
    }

    /// `path` from the base on, if it is below. A build system may name the base through symbolic links
    /// that the user's name for it has not. Where it is mounted a second time it is another directory:
    /// what is beside it is not the same.
    fn below<'p>(&self, path: &'p Path) -> Option<&'p Path> {
        if let Ok(below) = path.strip_prefix(&self.base) {
            return Some(below);
        }
        let (real, id) = self.real.as_ref()?;
        if let Ok(below) = path.strip_prefix(real) {
            return Some(below);
        }
        let is_base = |dir: &&Path| {
            FileId::at(dir) == Some(*id) && fs_err::canonicalize(dir).is_ok_and(|it| it == *real)
        };
        let base = path.ancestors().filter(is_base).last()?;
        path.strip_prefix(base).ok()
    }
}

/// The file that a path leads to, and the directory where it lies, in which clang looks for what it
/// includes; of a directory the latter does not matter.
fn place(path: &Path) -> Option<(FileId, Option<FileId>)> {
    let file = FileId::at(path)?;
    if path.is_dir() {
        return Some((file, None));
    }
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty());
    let dir = FileId::at(dir.unwrap_or(Path::new(".")))?;
    Some((file, Some(dir)))
}

/// `path` as seen from `dir`, both absolute.
fn relative_to(path: &Path, dir: &Path) -> PathBuf {
    let (path, dir): (Vec<_>, Vec<_>) = (path.components().collect(), dir.components().collect());
    let shared = path.iter().zip(&dir).take_while(|(a, b)| a == b).count();
    let up = dir[shared..].iter().map(|_| Component::ParentDir);
    let relative: PathBuf = up.chain(path[shared..].iter().copied()).collect();
    if relative.as_os_str().is_empty() {
        return PathBuf::from(".");
    }
    relative
}

#[cfg(test)]
mod tests {
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
}
