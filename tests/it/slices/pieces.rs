//! Pieces of LLVM's textual form that stand for one construct each and can be put into any module.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::figures::Construct;

/// A piece with its parameters, from which its text follows.
#[derive(Debug, Clone)]
pub(super) struct Piece {
    pub(super) construct: Construct,
    /// Unique in the program: part of the piece's names.
    pub(super) number: usize,
    /// A constant in it.
    pub(super) value: usize,
    /// Chooses linkages, modes and the like.
    pub(super) variant: usize,
    /// A function of the module that it uses.
    pub(super) target: String,
}

/// `$N`, `$V` and `$T` are the number, the constant and the target; `$1`, `$2` the variant's choices;
/// `$#` begins a comment in assembly.
#[expect(clippy::too_many_lines, reason = "a table of pieces")]
fn template(
    construct: Construct,
) -> (
    &'static str,
    &'static [&'static str],
    &'static [&'static str],
) {
    match construct {
        Construct::Types => (
            "%type.$N = type $1\n\
             define $2i32 @types.$N(i32 %x) {\n  %p = alloca %type.$N\n  call void @escape(ptr %p)\n\
             \x20 %e = getelementptr %type.$N, ptr %p, i32 $V\n  %l = load i32, ptr %e\n  ret i32 %l\n}\n",
            &[
                "{ i32, [3 x i64] }",
                "<{ i8, ptr }>",
                "{ float, { i32, i32 } }",
                "{ <4 x i32> }",
            ],
            LINKAGES,
        ),
        Construct::InlineAssembly => (
            "define $2i32 @assembly.$N(i32 %x) {\n\
             \x20 %r = call i32 asm $1 \"$# $V\", \"=r,0\"(i32 %x)\n  ret i32 %r\n}\n",
            &["sideeffect", "", "sideeffect alignstack"],
            LINKAGES,
        ),
        Construct::Aliases => (
            "@alias.$N = $1alias i32 (i32), ptr @$T\n\
             define $2i32 @aliased.$N(i32 %x) {\n  %r = call i32 @alias.$N(i32 $V)\n  ret i32 %r\n}\n",
            &[
                "",
                "hidden ",
                "internal ",
                "weak ",
                "dso_local ",
                "weak_odr ",
            ],
            LINKAGES,
        ),
        Construct::Ifuncs => (
            "@ifunc.$N = $1ifunc i32 (i32), ptr @resolver.$N\n\
             define internal ptr @resolver.$N() {\n  ret ptr @$T\n}\n\
             define $2i32 @chosen.$N(i32 %x) {\n  %r = call i32 @ifunc.$N(i32 $V)\n  ret i32 %r\n}\n",
            &["", "hidden ", "dso_local "],
            LINKAGES,
        ),
        Construct::Comdats => (
            "$group.$N = comdat $1\n\
             @group.$N = linkonce_odr global i32 $V, comdat\n\
             @member.$N = internal global i32 $V, comdat($group.$N)\n\
             define linkonce_odr i32 @grouped.$N(i32 %x) comdat($group.$N) {\n\
             \x20 %r = load i32, ptr @member.$N\n  ret i32 %r\n}\n\
             define $2i32 @groups.$N(i32 %x) {\n  %r = call i32 @grouped.$N(i32 %x)\n\
             \x20 %s = load i32, ptr @group.$N\n  %t = add i32 %r, %s\n  ret i32 %t\n}\n",
            &["any", "nodeduplicate"],
            LINKAGES,
        ),
        Construct::Vtables => (
            "@table.$N = $1 unnamed_addr constant { [3 x ptr] } { [3 x ptr] [ptr null, ptr @$T, ptr @method.$N] }\n\
             define internal i32 @method.$N(i32 %x) {\n  %r = mul i32 %x, $V\n  ret i32 %r\n}\n\
             define $2i32 @virtual.$N(i32 %x) {\n\
             \x20 %e = getelementptr inbounds { [3 x ptr] }, ptr @table.$N, i32 0, i32 0, i32 %x\n\
             \x20 %f = load ptr, ptr %e\n  %r = call i32 %f(i32 %x)\n  ret i32 %r\n}\n",
            &["linkonce_odr", "internal", "hidden", "weak_odr hidden"],
            LINKAGES,
        ),
        Construct::ThreadLocals => (
            "@tls.$N = $1 global i32 $V\n\
             define $2i32 @threads.$N(i32 %x) {\n\
             \x20 %p = call ptr @llvm.threadlocal.address.p0(ptr @tls.$N)\n\
             \x20 %l = load i32, ptr %p\n  %r = add i32 %l, %x\n  store i32 %r, ptr %p\n  ret i32 %r\n}\n",
            &[
                "internal thread_local",
                "internal thread_local(localexec)",
                "hidden thread_local(initialexec)",
                "thread_local",
                "hidden thread_local(localdynamic)",
            ],
            LINKAGES,
        ),
        Construct::BlockAddresses => (
            "@labels.$N = $1 [2 x ptr] [ptr blockaddress(@jump.$N, %one), ptr blockaddress(@jump.$N, %two)]\n\
             define $2i32 @jump.$N(i32 %x) {\nentry:\n  %i = and i32 %x, 1\n\
             \x20 %e = getelementptr inbounds [2 x ptr], ptr @labels.$N, i32 0, i32 %i\n\
             \x20 %t = load ptr, ptr %e\n  indirectbr ptr %t, [label %one, label %two]\n\
             one:\n  ret i32 $V\ntwo:\n  ret i32 %x\n}\n",
            &["internal constant", "private constant", "internal global"],
            LINKAGES,
        ),
        Construct::Exceptions => (
            "define $2i32 @catcher.$N(i32 %x) personality ptr @__gxx_personality_v0 {\n\
             \x20 %r = invoke i32 @$T(i32 $V) to label %good unwind label %pad\n\
             good:\n  ret i32 %r\n\
             pad:\n  %l = landingpad { ptr, i32 }\n          $1\n  resume { ptr, i32 } %l\n}\n",
            &[
                "cleanup",
                "catch ptr null",
                "cleanup catch ptr @_ZTIi",
                "filter [1 x ptr] [ptr @_ZTIi]",
            ],
            LINKAGES,
        ),
        Construct::Metadata => (
            "define $2i32 @marked.$N(i32 %x) {\n  %p = alloca i32, $1\n  call void @escape(ptr %p)\n\
             \x20 %l = load i32, ptr %p, !range !{i32 0, i32 $V}, !own.$N !{!\"text $V\"}\n  ret i32 %l\n}\n",
            &[
                "align 4",
                "align 8, !nosanitize !{}",
                "align 4, !annotation !{!\"auto-init\"}",
            ],
            LINKAGES,
        ),
        Construct::ModuleAssembly => (
            "module asm \"$1\"\n\
             @named.$N = $2global i32 $V\n\
             define i32 @assembled.$N(i32 %x) {\n  %l = load i32, ptr @named.$N\n\
             \x20 %c = call i32 @$T(i32 %l)\n  ret i32 %c\n}\n",
            &[
                "$# $V",
                ".globl asm.$N; .set asm.$N, $V",
                ".section .note.$N; .byte $V; .text",
                ".symver named.$N, named@V$V",
                ".symver $T, versioned.$N@V$V",
            ],
            &["", "hidden ", "internal "],
        ),
        Construct::KeptSymbols => (
            "$1\n@kept.$N = $2global i32 $V\n\
             define i32 @keeper.$N(i32 %x) {\n  %l = load i32, ptr @kept.$N\n\
             \x20 %c = call i32 @$T(i32 %l)\n  ret i32 %c\n}\n",
            &[
                ";compiler.used @kept.$N",
                ";compiler.used @$T",
                ";used @kept.$N",
                ";used @$T",
            ],
            &["internal ", "hidden ", "internal unnamed_addr "],
        ),
        // New functions, and what has no piece of its own.
        _ => (
            "@static.$N = $1 global i32 $V\n\
             define $2i32 @new.$N(i32 %x) {\n  %l = load i32, ptr @static.$N\n\
             \x20 %c = call i32 @$T(i32 %l)\n  %r = xor i32 %c, $V\n  store i32 %r, ptr @static.$N\n\
             \x20 ret i32 %r\n}\n",
            &["internal", "internal unnamed_addr", "hidden", "private"],
            LINKAGES,
        ),
    }
}

const LINKAGES: &[&str] = &["", "dso_local ", "hidden ", "weak ", "noundef "];

impl Piece {
    pub(super) fn render(&self, comment: &str) -> String {
        let (text, first, second) = template(self.construct);
        text.replace("$1", first[self.variant % first.len()])
            .replace("$2", second[self.variant / 2 % second.len()])
            .replace("$N", &self.number.to_string())
            .replace("$V", &self.value.to_string())
            .replace("$T", &self.target)
            .replace("$#", comment)
    }
}

/// The lists of what must be kept, of which a module has one each: of the globals that pieces name
/// in comments.
pub(super) fn kept(text: &str) -> String {
    let mut out = String::new();
    for list in ["used", "compiler.used"] {
        let before = format!(";{list} ");
        let names: BTreeSet<&str> = text
            .lines()
            .filter_map(|line| line.strip_prefix(&before))
            .collect();
        if names.is_empty() || text.contains(&format!("@llvm.{list} = ")) {
            continue;
        }
        let pointers: Vec<String> = names.iter().map(|name| format!("ptr {name}")).collect();
        let _ = writeln!(
            out,
            "@llvm.{list} = appending global [{} x ptr] [{}], section \"llvm.metadata\"",
            names.len(),
            pointers.join(", ")
        );
    }
    out
}

/// Declarations of what pieces and inserted calls use, where the module has none.
pub(super) fn declarations(text: &str) -> String {
    let mut out = String::new();
    let fixed = [
        ("@escape(", "declare void @escape(ptr)\n"),
        ("@_ZTIi", "@_ZTIi = external constant ptr\n"),
        (
            "@__gxx_personality_v0",
            "declare i32 @__gxx_personality_v0(...)\n",
        ),
    ];
    for (name, declaration) in fixed {
        let name_alone = name.trim_end_matches('(');
        let is_declared = text.lines().any(|line| {
            let variable = line.starts_with('@') && line.starts_with(&format!("{name_alone} = "));
            let head = line.starts_with("declare ") || line.starts_with("define ");
            variable || head && line.contains(&format!(" {name_alone}("))
        });
        if text.contains(name) && !is_declared {
            out.push_str(declaration);
        }
    }
    // Callees of inserted calls are functions of other modules.
    let mut known: Vec<&str> = Vec::new();
    for line in text.lines().filter(|line| line.starts_with("  %call.")) {
        let Some((_, rest)) = line.split_once(" call i32 @") else {
            continue;
        };
        let name = rest.split('(').next().unwrap_or_default();
        let callee = format!("@{name}(");
        let mut heads = text.lines().filter(|line| line.starts_with("de"));
        if !known.contains(&name) && !heads.any(|head| head.contains(&callee)) {
            let _ = writeln!(out, "declare i32 @{name}(i32)");
            known.push(name);
        }
    }
    out
}
