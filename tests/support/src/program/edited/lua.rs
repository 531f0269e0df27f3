//! Lua, 33 modules of C, out of Debian's source package.

use std::path::{Path, PathBuf};

use fs_err as fs;

use super::super::super::corpus::files;
use super::super::super::debian::upstream;
use super::super::strings;
use super::{Check, Edit, EditedProgram, Recipe};

const PACKAGE: &str = "lua5.4";
const FLAGS: [&str; 5] = ["-O2", "-flto=thin", "-w", "-DLUA_USE_POSIX", "-I."];
/// A program of its own.
const LEFT_OUT: &str = "luac.c";
/// What the interpreter runs.
const SCRIPT: &str = "\
    local t = {} for i = 1, 100 do t[i] = (i * 7919) % 101 end table.sort(t) \
    local ok, why = pcall(function() return t.x.y end) \
    print(t[1] == 1 and t[100] == 100 and not ok and ('k'):rep(3):gsub('k', 'o'))";

const EDITS: [Edit; 10] = [
    Edit {
        name: "a shift",
        file: "lstring.c",
        from: "(h<<5) + (h>>2)",
        to: "(h<<5) + (h>>3)",
    },
    Edit {
        name: "a buffer's size",
        file: "lobject.c",
        from: "#define BUFVFS\t\t200",
        to: "#define BUFVFS\t\t210",
    },
    Edit {
        name: "a message",
        file: "ldebug.c",
        from: "attempt to %s a %s value%s",
        to: "cannot %s a %s value%s",
    },
    Edit {
        name: "a constant",
        file: "lmem.c",
        from: "#define MINSIZEARRAY\t4",
        to: "#define MINSIZEARRAY\t8",
    },
    Edit {
        name: "a literal",
        file: "lauxlib.c",
        from: "\"main chunk\"",
        to: "\"the main chunk\"",
    },
    Edit {
        name: "a function more",
        file: "lzio.c",
        from: "size_t luaZ_read (",
        to: "int luaZ_new (int x) { return x * 3; }\n\nsize_t luaZ_read (",
    },
    Edit {
        name: "a name",
        file: "ltm.c",
        from: "udatatypename[] = \"userdata\"",
        to: "udatatypename[] = \"user data\"",
    },
    Edit {
        name: "a message",
        file: "lvm.c",
        from: "attempt to divide by zero",
        to: "division by zero",
    },
    Edit {
        name: "a number",
        file: "lgc.c",
        from: "#define PAUSEADJ\t\t100",
        to: "#define PAUSEADJ\t\t101",
    },
    Edit {
        name: "a limit",
        file: "ltable.c",
        from: "#define MAXHBITS\t(MAXABITS - 1)",
        to: "#define MAXHBITS\t(MAXABITS - 2)",
    },
];

pub(super) fn lua() -> EditedProgram {
    let source = upstream(PACKAGE).join("src");
    let recipe = Recipe {
        name: "lua",
        edits: &EDITS,
        driver: "clang",
        flags: &FLAGS,
        link_arguments: &["-O2", "-lm"],
        check: Some(Check {
            arguments: strings(&["-e", SCRIPT]),
            says: "ooo".to_owned(),
            dir: None,
        }),
        version: source.display().to_string(),
    };
    recipe.make(|dir| fill(&source, dir))
}

/// Copies the sources. Returns those that become modules.
fn fill(source: &Path, dir: &Path) -> Vec<PathBuf> {
    let mut modules = vec![PathBuf::from("lua.c")];
    for extension in ["c", "h"] {
        for file in files(source, extension) {
            let name = PathBuf::from(file.file_name().expect("a file"));
            fs::copy(&file, dir.join(&name)).expect("copied");
            if extension == "c" && name != Path::new(LEFT_OUT) && name != modules[0] {
                modules.push(name);
            }
        }
    }
    modules
}
