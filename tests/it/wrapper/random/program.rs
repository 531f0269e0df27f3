//! A random program of modules and native files, with what decides how files are linked: weak,
//! common and inline definitions, aliases, thread-local variables, constructors, archives.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use fs_err as fs;
use tempfile::TempDir;

use crate::slices::source::Random;
use crate::support::llvm::run;
use crate::support::wrapped::Release;

/// Constructs of C that a file may have. `$K` is the file's number, `$J` that of another, `$N` a
/// number, `$D` a small one that files have in common.
const CONSTRUCTS: [&str; 21] = [
    "__attribute__((weak)) int w$D(int x) { return x + $N; } int uw$K(int x) { return w$D(x); }",
    "__attribute__((weak, noinline)) int v$D(int x) { __asm__(\"\"); return x * $N; } int uv$K(int x) { return v$D(x) + 1; }",
    "extern int nowhere(int) __attribute__((weak)); int n$K(int x) { return nowhere ? nowhere(x) : x + $N; }",
    "int never$K(int); int maybe$K(int x) { return x == $N ? never$D(x) : x; }",
    "extern int t0 LOCAL; int rt$K(int x) { return t0 += x; }",
    "static THREAD int own$K = $N; int ot$K(int x) { return own$K += x; }",
    "__attribute__((constructor)) static void con$K(void) { g$J($N); }",
    "__attribute__((constructor(300))) static void cop$K(void) { g$J($N); }",
    "__attribute__((visibility(\"hidden\"))) int h$K = $N; int rh$K(void) { return h$K++; }",
    "__attribute__((visibility(\"protected\"))) int p$K(int x) { return x - $N; }",
    "int (*const tab$K[])(int) = { f$K, g$J, g$K }; int call$K(int x) { return tab$K[x % 3](x); }",
    "struct S$K { char b[3000]; }; void copy$K(struct S$K *a, struct S$K *b) { *a = *b; }",
    "void zero$K(char *p, unsigned n) { for (unsigned i = 0; i < n; i++) p[i] = 0; }",
    "const char *str$K(int x) { static const char *const s[] = { \"alpha\", \"beta$N\", \"same\" }; return s[x % 3]; }",
    "int same$K(int x) { return x * 17 + 3; }",
    "double fp$K(double x) { return x * 1.5 + $N; }",
    "static int big$K[5000]; int rb$K(int x) { return big$K[x]++; }",
    "int sw$K(int x) { switch (x) { case 0: return $N; case 1: return 7; case 2: return g$J(x); case 3: return 9; case 4: return 1; default: return 0; } }",
    "int ex$K = $N; extern int ex$D; int rex$K(void) { return ex$K; }",
    "__attribute__((noinline)) static int hot$K(int x) { __asm__(\"\"); return x + $N; } int uh$K(int x) { return hot$K(x) + hot$K(x + 1); }",
    "__attribute__((used)) static int kept$K = $N;",
];

/// What a program is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Elf,
    Wasm,
    MachO,
}

impl Kind {
    pub(super) fn linker(self) -> &'static str {
        match self {
            Self::Elf => "ld.lld",
            Self::Wasm => "wasm-ld",
            Self::MachO => "ld64.lld",
        }
    }
}

/// Constructs of ELF only.
const OF_ELF: [&str; 7] = [
    "int a$K(int x) __attribute__((alias(\"f$K\")));",
    "int wa$K(int x) __attribute__((weak, alias(\"g$K\")));",
    "static int im$K(int x) { return x + $N; } void *re$K(void) { return (void *)im$K; } int if$K(int) __attribute__((ifunc(\"re$K\"))); int ui$K(int x) { return if$K(x); }",
    "__attribute__((section(\"own\"), used)) int sec$K = $N;",
    "extern int __start_own[] __attribute__((weak)), __stop_own[] __attribute__((weak)); __attribute__((used)) long so$K(void) { return __stop_own - __start_own; }",
    "extern char _end[], __ehdr_start[], etext[]; long en$K(int x) { return _end - __ehdr_start + (x == $N ? (long)etext : 0); }",
    "unsigned __int128 di$K(unsigned __int128 a) { return a / ($N + 3); }",
];

/// Constructs of WebAssembly only.
const OF_WASM: [&str; 2] = [
    "extern char __heap_base[], __data_end[]; long he$K(void) { return __heap_base - __data_end; }",
    "__attribute__((export_name(\"out$K\"))) int xp$K(int x) { return x + $N; }",
];

/// Constructs of C for ELF: WebAssembly has no common symbols, and for Apple's platforms the linker's
/// own LTO knows more of them (`docs/linkers.md`).
const OF_C: [&str; 2] = [
    "int cm$D[$N + 1]; int *rc$K(void) { return cm$D; }",
    "int tent$K; int rt_$K(void) { return tent$K; }",
];

/// For Apple's platforms the linker's own LTO knows that such a function is in the program.
const OPTIONAL: &str =
    "extern int lib$D(int) __attribute__((weak)); int ul$K(int x) { return lib$D ? lib$D(x) : 0; }";

/// Constructs of C++.
const OF_CXX: [&str; 5] = [
    "template <int N> __attribute__((noinline)) int tp(int x) { static int n; return n += x + N; } int tu$K(int x) { return tp<$D>(x); }",
    "struct V$D { virtual int v(int x) { return x + $D; } virtual int u(int x); int m; }; inline int V$D::u(int x) { return m + x; } int vc$K(int x) { V$D a; a.m = x; V$D *p = &a; return p->v(x) + p->u(x); }",
    "inline int iv$D = $D; int ri$K() { return iv$D++; }",
    "struct I$K { int v; I$K() : v(f$J($N)) {} }; static I$K i$K; int rs$K() { return i$K.v; }",
    "inline int once$D(int x) { static int calls; return calls += x; } int uo$K(int x) { return once$D(x); }",
];

/// A native library's functions that code generators call.
const SUPPORT: &str = "typedef unsigned long size; void *memcpy(void *d, const void *s, size n) { char *t = d; const char *f = s; while (n--) { __asm__(\"\"); *t++ = *f++; } return d; }";
const SUPPORT_SET: &str = "typedef unsigned long size; void *memset(void *d, int c, size n) { char *t = d; while (n--) { __asm__(\"\"); *t++ = c; } return d; }";
const SUPPORT_LIB: &str = "int lib0(int x) { return x + 1; } int lib2(int x) { return x + 2; }";

/// A program in a directory.
pub(super) struct Program {
    dir: TempDir,
    kind: Kind,
    /// The processor, for Apple's platforms.
    arch: &'static str,
    objects: Vec<String>,
    /// What the directory had before any link.
    before: Vec<String>,
}

impl Program {
    pub(super) fn new(random: &mut Random, kind: Kind, release: &Release) -> Self {
        let mut program = Self {
            dir: TempDir::new().expect("a directory"),
            kind,
            arch: match kind {
                Kind::MachO => ["x86_64", "arm64"][random.below(2)],
                Kind::Elf | Kind::Wasm => "",
            },
            objects: Vec::new(),
            before: Vec::new(),
        };
        let files = 3 + random.below(4);
        // For Apple's platforms a program names the objects of its debug information.
        let debug = random.below(6) == 0 && kind != Kind::MachO;
        for number in 0..files {
            let cxx = random.below(3) == 0;
            let text = source(random, kind, number, files, cxx);
            let mut flags = program.flags();
            // The first file is a module, or there may be none.
            match random.below(8) {
                0..=4 => flags.push("-flto=thin"),
                _ if number == 0 => flags.push("-flto=thin"),
                5 if random.below(4) == 0 => flags.push("-flto=full"),
                _ => flags.extend(["-ffunction-sections", "-fdata-sections"]),
            }
            flags.extend([&["-O2"][..], &["-O1"], &["-Os"]][random.below(3)]);
            if debug {
                flags.push("-g");
            }
            if random.below(4) == 0 {
                flags.push("-fvisibility=hidden");
            }
            let own = match kind {
                Kind::MachO if !flags.iter().any(|flag| flag.starts_with("-flto")) => {
                    own_weak_names(number)
                }
                Kind::Elf | Kind::Wasm | Kind::MachO => Vec::new(),
            };
            flags.extend(own.iter().map(String::as_str));
            let name = format!("m{number}");
            program.compile(release, &name, &text, cxx, &flags);
            program.objects.push(format!("{name}.o"));
        }
        for (name, text) in [("cpy", SUPPORT), ("set", SUPPORT_SET), ("lib", SUPPORT_LIB)] {
            let mut flags = program.flags();
            flags.push("-fno-builtin");
            // `ld64.lld` has no code for a module that only an object of LTO asks for.
            let may_be_module = kind != Kind::MachO || name == "lib";
            if random.below(3) == 0 && may_be_module {
                flags.push("-flto=thin");
            }
            program.compile(release, name, text, false, &flags);
        }
        program.archive(release, "rcs", "libsup.a", &["lib.o"]);
        program.archive(release, "rcs", "libmem.a", &["set.o", "cpy.o"]);
        program.write_lists();
        program.before = program.names();
        program
    }

    /// What options name.
    fn write_lists(&self) {
        let prefix = if self.kind == Kind::MachO { "_" } else { "" };
        let order = ["main", "f2", "f1", "absent"].map(|name| format!("{prefix}{name}\n"));
        self.write("order", &order.concat());
        self.write("versions", "V1 { global: main; f*; local: *; };\n");
        self.write("names", "{ f1; main; };\n");
        self.write(
            "some.lds",
            "PROVIDE(never1 = 0x10); always = f2; PROVIDE_HIDDEN(nobody = 0x20);\n",
        );
    }

    /// Those of all files.
    fn flags(&self) -> Vec<&'static str> {
        match (self.kind, self.arch) {
            (Kind::Elf, _) => vec!["-fPIC"],
            (Kind::Wasm, _) => vec!["--target=wasm32"],
            (Kind::MachO, "arm64") => vec!["--target=arm64-apple-macos13"],
            (Kind::MachO, _) => vec!["--target=x86_64-apple-macos13"],
        }
    }

    /// The first words of each link.
    pub(super) fn first_words(&self) -> Vec<String> {
        let words = match self.kind {
            Kind::Elf => vec!["-e", "main"],
            Kind::Wasm => Vec::new(),
            Kind::MachO => {
                let version = "13";
                vec![
                    "-arch",
                    self.arch,
                    "-platform_version",
                    "macos",
                    version,
                    version,
                ]
            }
        };
        words.into_iter().map(str::to_owned).collect()
    }

    pub(super) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Keeps the directory, for a look at what went wrong.
    pub(super) fn keep(self) -> PathBuf {
        self.dir.keep()
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.dir().join(name), text).expect("written");
    }

    fn compile(&self, release: &Release, name: &str, text: &str, cxx: bool, flags: &[&str]) {
        let source = format!("{name}.{}", if cxx { "cc" } else { "c" });
        self.write(&source, text);
        let mut clang = Command::new(release.tool(if cxx { "clang++" } else { "clang" }));
        clang
            .current_dir(self.dir())
            .args(["-w", "-c", &source, "-o"]);
        clang.arg(format!("{name}.o")).args(flags);
        if cxx {
            clang.args([
                "-std=c++17",
                "-fno-exceptions",
                "-fno-rtti",
                "-fno-threadsafe-statics",
            ]);
        } else {
            let common = ["-fno-common", "-fcommon"][usize::from(self.kind == Kind::Elf)];
            clang.args(["-std=gnu11", common]);
        }
        run(&mut clang);
    }

    fn archive(&self, release: &Release, kind: &str, name: &str, members: &[&str]) {
        let _ = fs::remove_file(self.dir().join(name));
        let mut ar = Command::new(release.tool("llvm-ar"));
        run(ar.current_dir(self.dir()).args([kind, name]).args(members));
    }

    /// The words that link all of it, in some form and order.
    pub(super) fn inputs(&self, random: &mut Random) -> Vec<String> {
        let mut rest: Vec<&str> = self.objects.iter().map(String::as_str).collect();
        // Mostly, `main` is in none of the archives.
        let main = (random.below(4) != 0).then(|| rest.remove(0));
        for number in (1..rest.len()).rev() {
            rest.swap(number, random.below(number + 1));
        }
        let mut words = Vec::new();
        let mut archives = 0;
        while !rest.is_empty() {
            let some: Vec<&str> = rest.drain(..=random.below(rest.len())).collect();
            let form = random.below(6);
            match form {
                0 | 1 => {
                    let name = format!("lib{archives}.a");
                    let kind = ["rcs", "rcsT"][form];
                    archives += 1;
                    self.archive(&Release::under_test(), kind, &name, &some);
                    words.push(name);
                }
                2 => {
                    words.push("--start-lib".to_owned());
                    words.extend(some.into_iter().map(str::to_owned));
                    words.push("--end-lib".to_owned());
                }
                _ => words.extend(some.into_iter().map(str::to_owned)),
            }
        }
        if let Some(main) = main {
            let place = random.below(2) * words.len();
            words.insert(place, main.to_owned());
        }
        let place = random.below(2) * words.len();
        let support = match random.below(3) {
            0 => vec!["cpy.o", "set.o"],
            1 => vec!["libmem.a"],
            _ => vec!["--start-lib", "cpy.o", "set.o", "--end-lib"],
        };
        words.splice(place..place, support.into_iter().map(str::to_owned));
        if random.below(4) != 0 {
            words.push("libsup.a".to_owned());
        }
        words
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.dir()).expect("listed");
        let names = entries.map(|entry| entry.expect("an entry").file_name());
        names
            .map(|name| name.to_string_lossy().into_owned())
            .collect()
    }

    /// Takes away what a link wrote.
    pub(super) fn take_new_files(&self) -> BTreeMap<String, Vec<u8>> {
        let mut files = BTreeMap::new();
        for name in self.names() {
            let is_archive = name.starts_with("lib") && Path::new(&name).extension().is_some();
            if self.before.contains(&name) || is_archive {
                continue;
            }
            let path = self.dir().join(&name);
            files.insert(name, fs::read(&path).expect("a file"));
            fs::remove_file(path).expect("removed");
        }
        files
    }
}

/// Options that give the weak definitions of a file names that no other file has. `ld64.lld` takes
/// the first one of several that it meets, which need not be the first in the program: members of
/// archives come before those that asked for them.
fn own_weak_names(file: usize) -> Vec<String> {
    let numbered = (0..3).flat_map(|number| {
        let names = ["w", "v", "V", "iv", "once"];
        names.map(|name| format!("-D{name}{number}={name}{number}_{file}"))
    });
    let template = [format!("-Dtp=tp_{file}")];
    numbered.chain(template).collect()
}

/// Those that a file for `kind` may have.
fn constructs(kind: Kind, cxx: bool) -> Vec<&'static str> {
    let mut constructs = CONSTRUCTS.to_vec();
    if kind != Kind::MachO {
        constructs.push(OPTIONAL);
    }
    if kind == Kind::Wasm {
        constructs.extend(OF_WASM);
    }
    if kind == Kind::Elf {
        constructs.extend(OF_ELF);
        if !cxx {
            constructs.extend(OF_C);
        }
    }
    constructs
}

/// The text of file number `own` of `files`.
fn source(random: &mut Random, kind: Kind, own: usize, files: usize, cxx: bool) -> String {
    let mut text = String::new();
    let local = if cxx { "thread_local" } else { "_Thread_local" };
    let _ = writeln!(text, "#define THREAD {local}\n#define LOCAL");
    if cxx {
        text.push_str("extern \"C\" {\n");
    }
    for number in 0..files {
        let _ = writeln!(
            text,
            "int f{number}(int); int g{number}(int); int never{number}(int);"
        );
    }
    let other = random.below(files);
    let number = random.below(90);
    let _ = writeln!(
        text,
        "static int s{own} = {number}; static __attribute__((noinline)) int l{own}(int x) {{ __asm__(\"\"); return x * s{own}++; }}\n\
         int g{own}(int x) {{ return l{own}(x) + l{own}(x + 1); }}\n\
         int f{own}(int x) {{ return x > {number} ? g{other}(x) : g{own}(x) + {number}; }}"
    );
    if own == 0 {
        let calls: Vec<String> = (0..files).map(|it| format!("f{it}(c)")).collect();
        let _ = writeln!(
            text,
            "int t0 = 4; int main(int c, char **v) {{ return {}; }}",
            calls.join(" + ")
        );
    }
    let constructs = constructs(kind, cxx);
    let mut fill = |construct: &str| {
        let (n, d) = (random.below(60).to_string(), random.below(3).to_string());
        let other = random.below(files).to_string();
        construct
            .replace("$K", &own.to_string())
            .replace("$J", &other)
            .replace("$N", &n)
            .replace("$D", &d)
    };
    let mut taken: Vec<String> = Vec::new();
    for construct in &constructs {
        taken.push(fill(construct));
    }
    let of_cxx: Vec<String> = OF_CXX.iter().map(|it| fill(it)).collect();
    // A third of them.
    for construct in taken.iter().filter(|_| random.below(3) == 0) {
        let _ = writeln!(text, "{construct}");
    }
    if cxx {
        text.push_str("}\n");
        for construct in of_cxx.iter().filter(|_| random.below(2) == 0) {
            let _ = writeln!(text, "{construct}");
        }
    }
    text
}
