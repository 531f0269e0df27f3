//! Variables, functions, aliases and ifuncs: all but their contents.

use super::Case;

pub(super) const CASES: &[Case] = &[
    (
        "address space of a function",
        "define void @spaced() {",
        "define void @spaced() addrspace(1) {",
    ),
    (
        "reached variable's constness",
        "@text = private unnamed_addr constant",
        "@text = private unnamed_addr global",
    ),
    (
        "reached variable's alignment",
        "global i32 3, align 4",
        "global i32 3, align 8",
    ),
    (
        "reached variable's section",
        "section \".mine\"",
        "section \".yours\"",
    ),
    (
        "reached variable's threads",
        "thread_local(initialexec)",
        "thread_local(localexec)",
    ),
    (
        "reached variable's visibility",
        "@visible = hidden",
        "@visible = protected",
    ),
    (
        "reached variable's partition",
        "partition \"one\"",
        "partition \"two\"",
    ),
    (
        "reached variable's linkage",
        "@counter = internal",
        "@counter = weak",
    ),
    (
        "reached variable's address",
        "@text = private unnamed_addr",
        "@text = private local_unnamed_addr",
    ),
    (
        "reached variable's code model",
        "code_model \"large\"",
        "code_model \"medium\"",
    ),
    (
        "reached variable's attachment",
        "!absolute_symbol !50",
        "!associated !51",
    ),
    (
        "externally initialized",
        "externally_initialized global i32",
        "global i32",
    ),
    (
        "reached declaration's attributes",
        "declare i32 @external(i32) #1",
        "declare i32 @external(i32)",
    ),
    (
        "reached definition turned into a declaration",
        "define i32 @gone(i32 %x) {\n  ret i32 7\n}",
        "declare i32 @gone(i32)",
    ),
    (
        "reached definition's attributes",
        "@helper(i32 %x) noinline {",
        "@helper(i32 %x) noinline cold {",
    ),
    (
        "dso_local",
        "declare dso_local i32 @near",
        "declare i32 @near",
    ),
    (
        "DLL class",
        "@imported = external dllimport",
        "@imported = external",
    ),
    (
        "kind of a comdat",
        "$group = comdat any",
        "$group = comdat nodeduplicate",
    ),
    (
        "comdat",
        "@grouped = linkonce_odr global i32 0, comdat($group)",
        "@grouped = linkonce_odr global i32 0",
    ),
    (
        "leader of a comdat",
        "@group = internal global i32 0",
        "@group = global i32 0",
    ),
    (
        "aliasee",
        "alias i32 (i32), ptr @helper",
        "alias i32 (i32), ptr @stub",
    ),
    (
        "resolver",
        "ifunc i32 (i32), ptr @resolve",
        "ifunc i32 (i32), ptr @resolve2",
    ),
    (
        "personality",
        "personality ptr @__gxx_personality_v0",
        "personality ptr @external",
    ),
    ("prefix data", "prefix i32 123", "prefix i32 124"),
    ("prologue data", "prologue i8 -112", "prologue i8 -111"),
    ("collector", "gc \"statepoint-example\"", "gc \"coreclr\""),
    (
        "section of a function",
        "section \".text.root\"",
        "section \".text.other\"",
    ),
    ("alignment of a function", "align 32 ", "align 64 "),
    (
        "initializer of an imported variable",
        "@twin = global [2 x i32] [i32 1, i32 2]",
        "@twin = global [2 x i32] [i32 1, i32 3]",
    ),
    (
        "linkage of a variable",
        "@visible = hidden global",
        "@visible = weak hidden global",
    ),
    (
        "definition of a variable",
        "@visible = hidden global i32 0, partition \"one\"",
        "@visible = external hidden global i32, partition \"one\"",
    ),
    (
        "attributes of a variable",
        "\"mark\"=\"one\"",
        "\"mark\"=\"two\"",
    ),
    (
        "dso_local of a variable",
        "@close = external dso_local global",
        "@close = external global",
    ),
    (
        "sanitizers of a variable",
        "no_sanitize_address",
        "no_sanitize_hwaddress",
    ),
    (
        "calling convention of a function",
        "declare fastcc void @fast",
        "declare coldcc void @fast",
    ),
    (
        "linkage of a function",
        "define i32 @gone",
        "define weak i32 @gone",
    ),
    (
        "visibility of a function",
        "declare dso_local i32 @near",
        "declare hidden i32 @near",
    ),
    (
        "address of a function",
        "@gone(i32 %x) {",
        "@gone(i32 %x) unnamed_addr {",
    ),
    (
        "DLL class of a function",
        "declare i32 @external",
        "declare dllimport i32 @external",
    ),
    (
        "partition of a function",
        "@gone(i32 %x) {",
        "@gone(i32 %x) partition \"one\" {",
    ),
    ("name of a function", "@near", "@nigh"),
    (
        "linkage of an alias",
        "@nick = dso_local alias",
        "@nick = weak dso_local alias",
    ),
    (
        "visibility of an alias",
        "@nick = dso_local alias",
        "@nick = hidden alias",
    ),
    (
        "threads of an alias",
        "@nick = dso_local alias",
        "@nick = dso_local thread_local alias",
    ),
    (
        "address of an alias",
        "@nick = dso_local alias",
        "@nick = dso_local unnamed_addr alias",
    ),
    (
        "locality of an alias",
        "@nick = dso_local alias",
        "@nick = alias",
    ),
    (
        "partition of an alias",
        "ptr @helper\n@chosen",
        "ptr @helper, partition \"one\"\n@chosen",
    ),
    (
        "type of an alias",
        "alias i32 (i32), ptr @helper",
        "alias i32 (i64), ptr @helper",
    ),
    (
        "linkage of an ifunc",
        "@chosen = dso_local ifunc",
        "@chosen = weak dso_local ifunc",
    ),
    (
        "visibility of an ifunc",
        "@chosen = dso_local ifunc",
        "@chosen = hidden ifunc",
    ),
    (
        "locality of an ifunc",
        "@chosen = dso_local ifunc",
        "@chosen = ifunc",
    ),
    (
        "partition of an ifunc",
        "ptr @resolve\n",
        "ptr @resolve, partition \"one\"\n",
    ),
    (
        "type of an ifunc",
        "ifunc i32 (i32), ptr @resolve",
        "ifunc i32 (i64), ptr @resolve",
    ),
    (
        "personality of one function",
        "i1 %k) personality ptr @__gxx_personality_v0",
        "i1 %k) personality ptr @external",
    ),
    (
        "aliasee that is reached anyway",
        "alias i32 (i32), ptr @helper",
        "alias i32 (i32), ptr @gone",
    ),
    (
        "resolver that is reached anyway",
        "ifunc i32 (i32), ptr @resolve\n",
        "ifunc i32 (i32), ptr @gone\n",
    ),
    (
        "DLL class of an alias",
        "@nick = dso_local alias",
        "@nick = dso_local dllexport alias",
    ),
    ("name of a comdat", "$other", "$another"),
    (
        "kind of an attachment of a variable",
        "!absolute_symbol !50",
        "!mine !50",
    ),
    (
        "attachment of a variable",
        "!50 = !{i64 0, i64 256}",
        "!50 = !{i64 0, i64 512}",
    ),
];
