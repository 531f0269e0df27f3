//! Programs in Rust, as rustc compiles them for the linker's LTO, edited at random.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::llvm::Llvm;

use super::figures::Construct;
use super::source::Random;

/// Functions of a module.
const FUNCTIONS: usize = 8;

/// What a function does: `$V` is a constant, `$C` a call of a function of any module, `$M` the
/// number of the module.
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
        "unsafe { core::arch::asm!(\"nop /* $V */\", inout(\"eax\") x => _) } x",
    ),
];

/// One of [`BODIES`], filled in.
#[derive(Debug, Clone, Copy)]
struct Function {
    body: usize,
    value: usize,
    callee: (usize, usize),
}

/// The functions of each module, and its table.
#[derive(Debug, Clone)]
pub(super) struct RustProgram(Vec<(Vec<Function>, usize)>);

/// The rustc that built these tests, if it makes modules of the release under test.
pub(super) fn rustc() -> Option<PathBuf> {
    let rustc = Path::new(env!("CARGO")).with_file_name("rustc");
    let said = Command::new(&rustc).arg("-vV").output().ok()?;
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    let (_, version) = said.split_once("LLVM version: ")?;
    let release: u32 = version.split('.').next()?.parse().ok()?;
    (release == Llvm::get().major()).then_some(rustc)
}

impl RustProgram {
    pub(super) fn new(random: &mut Random, modules: usize) -> Self {
        let all = (0..modules).map(|_| {
            let functions = (0..FUNCTIONS).map(|_| Function::new(random, modules));
            (functions.collect(), random.below(100))
        });
        Self(all.collect())
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Edits one function or table. Returns the module, and what the edit concerns.
    pub(super) fn edit(&mut self, random: &mut Random) -> (usize, Construct) {
        let modules = self.0.len();
        let at = random.below(modules);
        let (functions, table) = &mut self.0[at];
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
        let (functions, table) = &self.0[at];
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
                .replace("$M", &at.to_string());
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
