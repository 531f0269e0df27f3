//! Compiles whose result no key describes: each runs again, in place, and is right every time.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use fs_err as fs;

use crate::support::compiler::CompilerCopy;
use crate::support::corpus::cached;
use crate::support::link::{Home, Link};
use crate::support::llvm::{Llvm, run};
use crate::support::program::{Feature, Program, feature, generated};
use crate::support::repeat::remote;

/// A program that prints the file which its module-level assembly includes. The compile step opens
/// the file, too, so the modules are made beside it.
fn includes(dir: &Path, name: &str) -> Program {
    let assembly = format!(
        ".pushsection .rodata\\n.globl data\\n.globl data_end\\ndata: .incbin \\\"{name}\\\"\\ndata_end:\\n.popsection"
    );
    let main = format!(
        "#include <stdio.h>\nextern const char data[], data_end[];\nint more(int);\nasm(\"{assembly}\");\n\
         int main(void) {{ fwrite(data, 1, (size_t)(data_end - data), stdout); return more(0); }}\n"
    );
    fs::write(dir.join("data.bin"), "ok the first").expect("written");
    fs::write(dir.join("main.c"), main).expect("written");
    fs::write(dir.join("more.c"), "int more(int x) { return x; }\n").expect("written");
    run(Llvm::get().command("clang").current_dir(dir).args([
        "-O2",
        "-flto=thin",
        "-c",
        "main.c",
        "more.c",
    ]));
    let mut program = generated(2);
    program.modules = vec![dir.join("main.o"), dir.join("more.o")];
    program
}

/// Links with other contents of the file each time: what the program prints is what the file holds
/// now.
fn prints_the_file_each_time(program: &Program, data: impl Fn(&Link<'_>) -> PathBuf) {
    let home = Home::new();
    for text in ["ok one", "ok two", "ok two", "ok and a third time"] {
        let link = Link::new(program);
        fs::write(data(&link), text).expect("written");
        let outcome = link.run_at(&home).expect_works();
        let counts = outcome.counts();
        assert_eq!(counts.in_place, 1, "{}", outcome.stderr);
        let said = run(&mut Command::new(outcome.executable()));
        assert_eq!(said, text);
    }
}

#[test]
fn a_file_that_assembly_includes_by_a_relative_name_is_read_each_time() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let program = includes(dir.path(), "data.bin");
    prints_the_file_each_time(&program, |link| link.dir().join("data.bin"));
}

#[test]
fn a_file_that_assembly_includes_by_an_absolute_name_is_read_each_time() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let data = dir.path().join("data.bin");
    let program = includes(dir.path(), &data.display().to_string());
    prints_the_file_each_time(&program, |_| data.clone());
}

/// The names of the files that a backend with `argument` leaves besides its object.
fn left_by(argument: &str, ending: &str) -> usize {
    let program = feature(Feature::Debug);
    let home = Home::new();
    let link = Link::new(&program).argument(&remote(argument));
    let mut found = 0;
    for _ in 0..2 {
        let output = link.command(&home).output().expect("the linker starts");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{stderr}");
        let summary = format!("relto: 3 jobs, 3 in place: {argument}, ");
        assert!(stderr.contains(&summary), "{stderr}");
        let entries = fs::read_dir(link.dir()).expect("a directory");
        let paths: Vec<_> = entries
            .map(|entry| entry.expect("an entry").path())
            .collect();
        let wanted = paths
            .iter()
            .filter(|path| path.to_string_lossy().ends_with(ending));
        found = wanted.count();
        for path in paths
            .iter()
            .filter(|path| path.to_string_lossy().ends_with(ending))
        {
            assert!(
                fs::metadata(path).expect("there").len() > 0,
                "{}",
                path.display()
            );
            fs::remove_file(path).expect("removed");
        }
    }
    program.check(&link.dir().join("app"));
    found
}

#[test]
fn split_debug_information_is_written_where_clang_writes_it() {
    assert_eq!(left_by("-gsplit-dwarf", ".dwo"), 3);
}

#[test]
fn temporary_files_of_the_backend_are_written_where_clang_writes_them() {
    assert_eq!(left_by("--save-temps", ".5.precodegen.bc"), 3);
}

/// Each compile writes assembly into a file that is named after its module, and reads it again.
#[test]
fn temporary_files_of_modules_of_one_name_are_not_exchanged() {
    assert_not_exchanged("-save-temps=cwd", &[]);
}

#[test]
fn temporary_files_that_a_file_or_a_variable_asks_for_are_not_exchanged() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let file = dir.path().join("words");
    fs::write(&file, "-save-temps\n").expect("written");
    let file = file.display();
    assert_not_exchanged(&format!("@{file}"), &[]);
    assert_not_exchanged(&format!("--config={file}"), &[]);
    assert_not_exchanged("-g0", &[("CCC_OVERRIDE_OPTIONS", "+-save-temps")]);
}

/// Links modules of one name with `argument`, six backends at a time.
fn assert_not_exchanged(argument: &str, variables: &[(&str, &str)]) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let compile = |dir: &Path, name: &str, text: &str| {
        fs::create_dir_all(dir).expect("made");
        fs::write(dir.join(name), text).expect("written");
        let mut clang = Llvm::get().command("clang");
        run(clang
            .current_dir(dir)
            .args(["-O2", "-flto=thin", "-c", name]));
    };
    let names = ["a", "b", "c", "d", "e", "f"];
    let declared = names.map(|name| format!("const char *{name}(void);\n"));
    let called = names.map(|name| format!("say({name});"));
    let main = format!(
        "#include <stdio.h>\n{}\
         __attribute__((noinline)) void say(const char *(*of)(void)) {{ fputs(of(), stdout); }}\n\
         int main(void) {{ {} return 0; }}\n",
        declared.concat(),
        called.concat()
    );
    compile(dir.path(), "main.c", &main);
    let mut program = generated(2);
    program.modules = vec![dir.path().join("main.o")];
    // All functions stay, so that compiles take a while.
    program
        .link_arguments
        .push("-Wl,--export-dynamic".to_owned());
    let mut link = Link::new(&program).argument(&remote(argument));
    for name in names {
        link = link.argument(&format!("{name}/x.o"));
        let functions = (0..200).map(|n| {
            format!(
                "int {name}{n}(int *x, int n) {{ int s = {n}; while (n--) s += x[n] * {n}; return s; }}\n"
            )
        });
        let text = format!(
            "{}const char *{name}(void) {{ return \"{name}\"; }}\n",
            functions.collect::<String>()
        );
        compile(&link.dir().join(name), "x.c", &text);
    }
    let home = Home::new();
    let mut command = link.command(&home);
    command.env("RELTO_LOCAL_JOBS", "6");
    run(command.envs(variables.iter().copied()));
    let mut program = Command::new(link.dir().join("app"));
    assert_eq!(
        run(&mut program),
        names.concat(),
        "{argument} {variables:?}"
    );
}

/// Two modules of which one takes about a second to compile.
fn slow() -> Program {
    let functions: Vec<_> = (0..300)
        .map(|n| {
            format!(
                "void f{n}(float *a, float *b, int n) {{ for (int i = 0; i < n; i++) for (int j = 0; j < n; j++)\n\
                 a[i] = a[i] * b[j] + {n}.5f / (b[i] + a[j] * {n}); }}\n"
            )
        })
        .collect();
    let slow = format!("{}int slow(void) {{ return 0; }}\n", functions.concat());
    let main =
        "#include <stdio.h>\nint slow(void);\nint main(void) { puts(\"ok\"); return slow(); }\n";
    let dir = cached("slow", &format!("{main}{slow}"), |dir| {
        fs::write(dir.join("slow.c"), &slow).expect("written");
        fs::write(dir.join("main.c"), main).expect("written");
        run(Llvm::get().command("clang").current_dir(dir).args([
            "-O2",
            "-flto=thin",
            "-c",
            "main.c",
            "slow.c",
        ]));
    });
    let mut program = generated(2);
    program.modules = vec![dir.join("main.o"), dir.join("slow.o")];
    program.link_arguments.push("-Wl,--undefined=f0".to_owned());
    program
}

/// Starts the link and waits until a compiler has `slow.o` before it.
fn compiling(link: &Link<'_>, home: &Home, scratch: &Path) -> Child {
    let mut command = link.command(home);
    command.env("TMPDIR", scratch).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the linker starts");
    while !reads_slow(scratch) {
        let over = child.try_wait().expect("a child");
        assert!(over.is_none(), "the link was over before it was seen");
        thread::sleep(Duration::from_millis(1));
    }
    child
}

/// Whether a job directory under `scratch` holds the module, and so was made after the module was
/// hashed.
fn reads_slow(scratch: &Path) -> bool {
    let inside = |dir: &Path| -> Vec<PathBuf> {
        let entries = fs::read_dir(dir).into_iter().flatten();
        entries
            .filter_map(|entry| Some(entry.ok()?.path()))
            .collect()
    };
    let jobs = inside(scratch).into_iter().flat_map(|link| inside(&link));
    let mut modules = jobs.flat_map(|job| inside(&job.join("relto/m")));
    modules.any(|module| fs::read_link(module).is_ok_and(|target| target.ends_with("slow.o")))
}

#[test]
fn a_module_that_is_written_while_it_is_compiled_is_not_kept() {
    let (program, home) = (slow(), Home::new());
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let link = Link::new(&program);
    let child = compiling(&link, &home, scratch.path());
    let module = link.dir().join("slow.o");
    let bytes = fs::read(&module).expect("a module");
    let mut options = fs::OpenOptions::new();
    let mut file = options.write(true).open(&module).expect("opened");
    std::io::Write::write_all(&mut file, &bytes).expect("the same bytes");
    let output = child.wait_with_output().expect("the linker ends");
    let first = link.outcome(&output).expect_works();
    assert_eq!(first.counts().cached, 0, "{}", first.stderr);

    let second = Link::new(&program).run_at(&home).expect_works();
    assert!(second.counts().local > 0, "{}", second.stderr);
    let third = Link::new(&program).run_at(&home).expect_works();
    third.assert_all_cached();
}

/// One job after the other, the slow one first: the second one is made by a compiler that is not
/// the one of its key.
#[test]
fn results_of_a_compiler_that_was_replaced_during_the_link_are_not_kept() {
    let (program, home, copy) = (slow(), Home::new(), CompilerCopy::new());
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let make = || {
        Link::new(&program)
            .argument(&copy.option("clang"))
            .option("--local-jobs=1")
    };
    let link = make();
    let child = compiling(&link, &home, scratch.path());
    copy.become_another_build();
    let output = child.wait_with_output().expect("the linker ends");
    let first = link.outcome(&output).expect_works();
    let warning = "changed while the link used it, so results are not cached";
    assert_eq!(first.stderr.matches(warning).count(), 1, "{}", first.stderr);

    copy.become_the_original();
    make().run_at(&home).expect_works().assert_none_cached();
    make().run_at(&home).expect_works().assert_all_cached();
}
