//! Compares the table of arguments with the installed clang.

use std::path::Path;
use std::process::{Command, Output};

use fs_err as fs;
use relto::internals::action::arguments::{Meaning, extra_outputs, parse};
use relto::internals::action::kind::{check_output, required_kind};
use relto::internals::action::response::Quoting;
use relto::internals::action::{native, response};

use crate::support::toolchain_dir::CLANG;
use crate::support::wrapped::Release;

fn words(line: &str) -> Vec<String> {
    line.split(' ').map(str::to_owned).collect()
}

fn clang<T: AsRef<std::ffi::OsStr>>(dir: &Path, arguments: &[T]) -> Output {
    let output = Command::new(CLANG)
        .current_dir(dir)
        .args(arguments)
        .output()
        .expect("clang runs");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{error}");
    output
}

/// Another clang says that it does not know them, also on other terms (`-Werror`).
#[test]
fn warnings_that_no_backend_gives_are_known_to_every_compiler() {
    let known = |clang: &Path| -> Vec<String> {
        let output = Command::new(clang).arg("--autocomplete=-W").output();
        let text = String::from_utf8(output.expect("clang runs").stdout).expect("text");
        let names = text
            .lines()
            .filter_map(|line| line.split_whitespace().next());
        names.map(str::to_owned).collect()
    };
    let is_dropped = |word: &String| {
        let words = [word.clone()];
        parse(&words)[0].meaning == Meaning::FrontEnd { warns: false }
    };
    let dropped: Vec<String> = known(Path::new(CLANG))
        .into_iter()
        .filter(is_dropped)
        .collect();
    assert!(dropped.len() > 100, "{dropped:?}");
    for release in Release::installed() {
        let known = known(&release.tool("clang"));
        for word in &dropped {
            assert!(known.contains(word), "clang {}: {word}", release.major);
        }
    }
}

/// A directory with `m.bc`, a module for ThinLTO.
fn with_module() -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let source = "void g(float*a,float*b,int n){for(int i=0;i<n;i++)a[i]=a[i]*b[i]+1;}";
    fs::write(dir.path().join("m.c"), source).expect("written");
    clang(
        dir.path(),
        &["-O2", "-flto=thin", "-c", "m.c", "-o", "m.bc"],
    );
    dir
}

/// Options that are inert in a backend, and whether clang says that it does not use them.
const INERT: [(&str, bool); 34] = [
    ("-DX -D Y -Wshadow -Wno-unused -Wformat", false),
    ("-fdebug-prefix-map=/a=b -ffile-prefix-map=/a=b", false),
    (
        "-fdebug-compilation-dir=/a -fdebug-compilation-dir /a",
        false,
    ),
    (
        "-ffile-compilation-dir=/a -fcoverage-compilation-dir=/a",
        false,
    ),
    ("-fcrash-diagnostics-dir=/a", false),
    ("-nostdinc -nostdinc++", true),
    ("-UX", true),
    ("-U X", true),
    ("-Ix", true),
    ("-I x", true),
    ("-Fx", true),
    ("-isystem x", true),
    ("-isystemx", true),
    ("-iquote x", true),
    ("-idirafter x", true),
    ("-include x", true),
    ("-imacros x", true),
    ("-iprefix x", true),
    ("-iwithprefix x", true),
    ("-iwithprefixbefore x", true),
    ("-isysroot x", true),
    ("-iframework x", true),
    ("-cxx-isystem x", true),
    ("-isystem-after x", true),
    ("-stdlib++-isystem x", true),
    ("-fmacro-prefix-map=a=b", true),
    ("-fcoverage-prefix-map=a=b", true),
    ("-MD", true),
    ("-MMD -MF x.d", true),
    ("-MG", true),
    ("-MP", true),
    ("-MT x", true),
    ("-MQ x", true),
    ("-Wp,-MMD,x.d", true),
];

#[test]
fn options_listed_as_inert_are_inert_and_clang_warns_where_the_table_says_so() {
    let dir = with_module();
    for (line, remarked) in INERT {
        let given = words(line);
        let mut all = words("-O2 -c -x ir m.bc -o m.o");
        all.extend_from_slice(&given);
        let error = clang(dir.path(), &all).stderr;
        let error = String::from_utf8_lossy(&error);
        assert_eq!(
            error.contains("argument unused"),
            remarked,
            "{line}: {error}"
        );
        for argument in parse(&given) {
            assert_eq!(
                argument.meaning,
                Meaning::FrontEnd { warns: remarked },
                "{line}"
            );
        }
    }
    let names: Vec<_> = fs::read_dir(dir.path()).expect("listed").collect();
    assert_eq!(
        names.len(),
        3,
        "only the source, the module and the object: {names:?}"
    );
}

#[test]
fn extra_outputs_are_written_where_they_are_expected() {
    let dir = with_module();
    for line in [
        "-gsplit-dwarf",
        "-gsplit-dwarf=single",
        "-fsave-optimization-record",
        "-foptimization-record-file=record",
        "-foptimization-record-passes=inline",
        "-fstack-usage -fsave-optimization-record -gsplit-dwarf",
        "-fsave-optimization-record -fno-save-optimization-record",
    ] {
        let given = words(line);
        let place = dir.path().join("out");
        fs::create_dir(&place).expect("made");
        let mut all = words("-O2 -c -x ir ../m.bc -o a.b.o");
        all.extend_from_slice(&given);
        clang(&place, &all);
        let mut expected = extra_outputs(&parse(&given), "a.b.o");
        expected.push("a.b.o".to_owned());
        expected.sort();
        let mut names: Vec<_> = fs::read_dir(&place)
            .expect("listed")
            .map(|entry| {
                entry
                    .expect("read")
                    .file_name()
                    .into_string()
                    .expect("UTF-8")
            })
            .collect();
        names.sort();
        assert_eq!(names, expected, "{line}");
        fs::remove_dir_all(place).expect("removed");
    }
}

#[test]
fn every_kind_of_output_is_recognised() {
    let dir = with_module();
    for line in [
        "-c",
        "-S",
        "-S -emit-llvm",
        "-c -emit-llvm",
        "-c -flto=thin",
        "-c --target=x86_64-pc-windows-msvc",
        "-c --target=x86_64-apple-macosx10.4",
        "-c --target=aarch64-linux-gnu -Xclang -target-cpu -Xclang generic",
    ] {
        let given = words(line);
        let mut all = words("-O0 -x ir m.bc -o out -Wno-override-module");
        all.extend_from_slice(&given);
        let dir = dir.path();
        if line.contains("aarch64") {
            fs::write(dir.join("n.c"), "int f(void){return 1;}").expect("written");
            clang(
                dir,
                &["--target=aarch64-linux-gnu", "-c", "n.c", "-o", "out"],
            );
        } else {
            clang(dir, &all);
        }
        let parsed = parse(&given);
        let target =
            relto::internals::action::arguments::target(&parsed).unwrap_or("x86_64-pc-linux-gnu");
        let bytes = fs::read(dir.join("out")).expect("written");
        assert_eq!(
            check_output(required_kind(&parsed, target), &bytes),
            Ok(()),
            "{line}"
        );
    }
}

#[test]
fn native_spelled_out_gives_the_same_object() {
    let dir = with_module();
    // Attributes of functions would hide the options' effect.
    let source = "define float @f(ptr %p) { %v = load <16 x float>, ptr %p \
        %s = call fast float @llvm.vector.reduce.fadd.v16f32(float 0.0, <16 x float> %v) ret float %s } \
        declare float @llvm.vector.reduce.fadd.v16f32(float, <16 x float>)";
    fs::write(dir.path().join("f.ll"), source).expect("written");
    let object = |line: &[String]| {
        clang(dir.path(), line);
        fs::read(dir.path().join("o")).expect("an object")
    };
    for input in ["m.bc", "f.ll"] {
        for line in [
            "-march=native",
            "-march=native -mno-avx512f -mtune=haswell",
            "-mtune=native",
        ] {
            let line = words(&format!(
                "-O2 -Wno-override-module {line} -c -x ir {input} -o o"
            ));
            let spelled = expand_native(&line).expect("clang answers");
            assert!(!spelled.join(" ").contains("native"), "{spelled:?}");
            assert!(object(&line) == object(&spelled), "{line:?}");
        }
    }
    let error = expand_native(&words("--target=aarch64-linux-gnu -mcpu=native"));
    assert!(
        error.is_err(),
        "there is no native processor of another architecture"
    );
}

/// `line` with `native` replaced by what clang takes it for.
fn expand_native(line: &[String]) -> Result<Vec<String>, native::NativeError> {
    let parsed = parse(line);
    let question = native::question(&parsed);
    let output = Command::new(CLANG).args(&question).output();
    let answer = native::answer(Path::new(CLANG), output)?;
    Ok(native::replace(&parsed, answer))
}

#[test]
fn response_files_are_split_as_clang_splits_them() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    fs::write(dir.path().join("inner"), "-DI='i j'\n").expect("written");
    let gnu = [
        "-DA -DB=\"x y\" '-DC=\"q\"'",
        "-DA=\\\"x\\\" -DB=a\\ b -DC='\\'' -DD=\"\\\"\"",
        "-DA=\"one\ntwo\"\r\n-DB\t-DC=\\\\ \n",
        "@inner -DZ=''",
        "-DA=open\" quote",
        "-DA=end\\",
    ];
    let windows = [
        r"-DA=x\y -DB=\\x\\ -DC",
        r#"-DA="x y" -DB="a""b" -DC=\"q -DD="c\\" -DE=\\\"r"#,
        "-DA='x\t-DB=\"one\r\ntwo\" -DC=\"\"",
        r#"-DA=open" quote\"#,
    ];
    let gnu = gnu.map(|text| ("posix", text)).into_iter();
    for (quoting, text) in gnu.chain(windows.map(|text| ("windows", text))) {
        fs::write(dir.path().join("args"), text).expect("written");
        let quoting = format!("--rsp-quoting={quoting}");
        let line = ["-###", "-x", "c", "-c", "/dev/null", &quoting, "@args"];
        let output = clang(dir.path(), &line);
        let shown = String::from_utf8_lossy(&output.stderr).into_owned();
        let line = words(&format!("{quoting} @args"));
        let ours = response::expand_response_files(&line, Quoting::Gnu, &mut |path| {
            fs::read_to_string(dir.path().join(path))
        })
        .expect("expanded");
        for word in &ours[1..] {
            let value = word.strip_prefix("-D").expect("only definitions");
            let quoted = value
                .replace('\\', "\\\\")
                .replace('"', "\\\"")
                .replace('$', "\\$");
            assert!(
                shown.contains(&format!("\"-D\" \"{quoted}\"")),
                "{text:?}: {value:?} in {shown}"
            );
        }
    }
}
