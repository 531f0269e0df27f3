//! Programs in Rust, as rustc compiles them for the linker's LTO, edited at random.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use fs_err as fs;

use crate::support::llvm::Llvm;

use super::figures::Construct;
use super::lab::Target;
use super::source::Random;

/// Functions of a module.
const FUNCTIONS: usize = 8;

/// What a function does: `$V` is a constant, `$C` a call of a function of any module, `$M` the
/// number of the module, `$R` a register.
const BODIES: [(Construct, &str); 14] = [
    (Construct::Calls, "$C.wrapping_mul($V)"),
    (Construct::Calls, "$C ^ (unsafe { f$M_0(x & 1) })"),
    (
        Construct::Linkage,
        "COUNTER.fetch_add(x, Relaxed).wrapping_add($V)",
    ),
    (
        Construct::ThreadLocals,
        "LOCAL.with(|it| { it.set(it.get().wrapping_add($V)); it.get() }) ^ x",
    ),
    (
        Construct::Exceptions,
        "if x == $V { panic!(\"value {x} of {}\", $V) } x.wrapping_add(1)",
    ),
    (
        Construct::Exceptions,
        "std::panic::catch_unwind(move || $C).unwrap_or($V)",
    ),
    (
        Construct::Vtables,
        "let shape: &dyn Shape = if x & 1 == 0 { &Square($V) } else { &Round(x) }; shape.area()",
    ),
    (
        Construct::Types,
        "(0..x & 7).map(|it| it ^ $V).collect::<Vec<i32>>().iter().sum()",
    ),
    (
        Construct::Types,
        "Some((x, $V)).filter(|it| it.0 > it.1).map_or(x, |it| it.0 ^ it.1)",
    ),
    (Construct::Constants, "hidden(x).wrapping_add($V)"),
    (
        Construct::Constants,
        "TABLE[(x & 3) as usize].wrapping_add($V)",
    ),
    (
        Construct::Constants,
        "[\"one $V\", \"two\"][(x & 1) as usize].len() as i32",
    ),
    (Construct::Constants, "format!(\"{x} and $V\").len() as i32"),
    (
        Construct::InlineAssembly,
        "unsafe { core::arch::asm!(\"nop /* $V */\", inout(\"$R\") x => _) } x",
    ),
];

/// One of [`BODIES`], filled in.
#[derive(Debug, Clone, Copy)]
struct Function {
    body: usize,
    value: usize,
    callee: (usize, usize),
}

/// A program for a target.
#[derive(Debug, Clone)]
pub(super) struct RustProgram {
    target: Target,
    /// The functions of each module, and its table.
    modules: Vec<(Vec<Function>, usize)>,
}

/// A rustc that makes modules of the release under test: the one that built these tests, or
/// another one that rustup has.
pub(super) fn rustc() -> Option<PathBuf> {
    rustc_of(Llvm::get().major())
}

/// The same for any release.
pub(crate) fn rustc_of(release: u32) -> Option<PathBuf> {
    let own = Path::new(env!("CARGO")).with_file_name("rustc");
    let toolchains = own.ancestors().nth(3)?;
    let entries = fs::read_dir(toolchains).into_iter().flatten();
    let others = entries.map(|entry| entry.expect("an entry").path().join("bin/rustc"));
    let mut others: Vec<PathBuf> = others.collect();
    others.sort();
    let mut all = [own].into_iter().chain(others);
    all.find(|rustc| release_of(rustc) == Some(release))
}

/// The release of LLVM in a rustc, if that is a stable one.
fn release_of(rustc: &Path) -> Option<u32> {
    let said = Command::new(rustc).arg("-vV").output().ok()?;
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    let after = |mark| said.lines().find_map(|line| line.strip_prefix(mark));
    let is_stable = !after("release: ")?.contains('-');
    let release = after("LLVM version: ")?.split('.').next()?.parse().ok()?;
    is_stable.then_some(release)
}

/// Whether a rustc can make modules for a target.
pub(super) fn has_target(rustc: &Path, target: Target) -> bool {
    let toolchain = rustc.ancestors().nth(2);
    let libraries = toolchain.map(|it| it.join("lib/rustlib").join(target.triple()));
    libraries.is_some_and(|it| it.exists())
}

impl RustProgram {
    pub(super) fn new(random: &mut Random, target: Target, modules: usize) -> Self {
        let all = (0..modules).map(|_| {
            let functions = (0..FUNCTIONS).map(|_| Function::new(random, modules));
            (functions.collect(), random.below(100))
        });
        Self {
            target,
            modules: all.collect(),
        }
    }

    /// A register of the target.
    fn register(&self) -> &'static str {
        match self.target {
            Target::Aarch64 => "x0",
            Target::X86_64 | Target::X86_64OfRust => "eax",
        }
    }

    pub(super) fn len(&self) -> usize {
        self.modules.len()
    }

    /// Edits one function or table. Returns the module, and what the edit concerns.
    pub(super) fn edit(&mut self, random: &mut Random) -> (usize, Construct) {
        let modules = self.modules.len();
        let at = random.below(modules);
        let (functions, table) = &mut self.modules[at];
        let function = &mut functions[random.below(FUNCTIONS)];
        match random.below(5) {
            0 => *table = random.below(100),
            1 | 2 => function.value = random.below(1000),
            3 => {
                function.callee = (random.below(modules), random.below(FUNCTIONS));
                return (at, Construct::Calls);
            }
            _ => {
                *function = Function::new(random, modules);
                return (at, BODIES[function.body].0);
            }
        }
        (at, Construct::Constants)
    }

    pub(super) fn text(&self, at: usize) -> String {
        let (functions, table) = &self.modules[at];
        let mut out = format!(
            "#![crate_type = \"lib\"]\n#![allow(warnings)]\n\
             use std::cell::Cell;\nuse std::sync::atomic::{{AtomicI32, Ordering::Relaxed}};\n\
             static COUNTER: AtomicI32 = AtomicI32::new({table});\n\
             static TABLE: [i32; 4] = [{table}, 5, 8, {at}];\n\
             thread_local! {{ static LOCAL: Cell<i32> = const {{ Cell::new({at}) }}; }}\n\
             trait Shape {{ fn area(&self) -> i32; }}\n\
             struct Square(i32);\nstruct Round(i32);\n\
             impl Shape for Square {{ fn area(&self) -> i32 {{ self.0.wrapping_mul(self.0) }} }}\n\
             impl Shape for Round {{ fn area(&self) -> i32 {{ self.0 ^ {table} }} }}\n\
             #[inline(never)] fn hidden(x: i32) -> i32 {{ x ^ COUNTER.load(Relaxed) }}\n\
             unsafe extern \"C-unwind\" {{\n"
        );
        for module in (0..self.len()).filter(|module| *module != at) {
            for number in 0..FUNCTIONS {
                let _ = writeln!(out, "    fn f{module}_{number}(x: i32) -> i32;");
            }
        }
        out.push_str("}\n");
        for (number, function) in functions.iter().enumerate() {
            let (module, callee) = function.callee;
            let body = BODIES[function.body].1;
            let body = body
                .replace("$V", &function.value.to_string())
                .replace("$C", &format!("(unsafe {{ f{module}_{callee}(x) }})"))
                .replace("$M", &at.to_string())
                .replace("$R", self.register());
            let _ = writeln!(
                out,
                "#[unsafe(no_mangle)] pub extern \"C-unwind\" fn f{at}_{number}(x: i32) -> i32 {{ {body} }}"
            );
        }
        if at == 0 {
            let all = (0..self.len()).flat_map(|module| (0..FUNCTIONS).map(move |it| (module, it)));
            let calls = all.map(|(module, number)| format!("f{module}_{number}({number})"));
            let calls: Vec<String> = calls.collect();
            let _ = writeln!(
                out,
                "#[unsafe(no_mangle)] pub extern \"C\" fn main() -> i32 {{ unsafe {{ {} }} }}",
                calls.join(" ^ ")
            );
        }
        out
    }
}

impl Function {
    fn new(random: &mut Random, modules: usize) -> Self {
        Self {
            body: random.below(BODIES.len()),
            value: random.below(1000),
            callee: (random.below(modules), random.below(FUNCTIONS)),
        }
    }
}
