//! Random edits of modules in LLVM's textual form: of what is there, and of pieces that are added
//! (`pieces`). An edit may make a module that LLVM refuses; the caller then takes it back.

use std::collections::HashSet;

use super::figures::Construct;
use super::pieces::{Piece, declarations, kept};
use super::source::Random;

/// Where source files may be.
const DIRECTORIES: [&str; 6] = [
    "",
    "a/",
    "b/",
    "/a/b/",
    "../",
    "/a/longer/path/than/others/",
];

/// What stands at the top level of a module.
#[derive(Debug, Clone)]
enum Item {
    /// A line, or a function with its body.
    Text(String),
    Piece(Piece),
}

/// A module that can be edited.
#[derive(Debug, Clone)]
pub(super) struct IrModule {
    items: Vec<Item>,
    comment: &'static str,
}

impl IrModule {
    /// `comment` begins a comment in the target's assembly.
    pub(super) fn parse(text: &str, comment: &'static str) -> Self {
        let mut items = Vec::new();
        let mut function: Option<String> = None;
        // LLVM makes summaries (`^0 = ...`) anew.
        for line in text.lines().filter(|line| !line.starts_with('^')) {
            let line = &without_guid(line);
            if let Some(body) = &mut function {
                body.push_str(line);
                body.push('\n');
                if line == "}" {
                    items.extend(function.take().map(Item::Text));
                }
            } else if line.starts_with("define ") {
                function = Some(format!("{line}\n"));
            } else if line.starts_with("    \"")
                && let Some(Item::Text(assembly)) = items.last_mut()
            {
                assembly.push_str(line);
                assembly.push('\n');
            } else if !line.is_empty() && !line.starts_with(';') {
                items.push(Item::Text(format!("{line}\n")));
            }
        }
        Self { items, comment }
    }

    pub(super) fn text(&self) -> String {
        let mut out = String::new();
        for item in &self.items {
            match item {
                Item::Text(text) => out.push_str(text),
                Item::Piece(piece) => out.push_str(&piece.render(self.comment)),
            }
        }
        let declared = declarations(&out);
        let lists = kept(&out);
        out.push_str(&declared);
        out.push_str(&lists);
        out
    }

    /// Functions of `i32 (i32)` that are defined here and have a name that others can use.
    fn functions(&self) -> Vec<String> {
        let text = self.text();
        let defines = text.lines().filter(|line| line.starts_with("define "));
        let local = |line: &str| line.contains(" internal ") || line.contains(" private ");
        defines
            .filter(|line| !local(line) && line.contains(" i32 @"))
            .filter_map(|line| {
                let (name, rest) = line.split_once(" i32 @")?.1.split_once('(')?;
                let (parameters, _) = rest.split_once(')')?;
                let one = parameters.starts_with("i32") && !parameters.contains(',');
                one.then(|| name.to_owned())
            })
            .collect()
    }

    fn texts(&mut self) -> impl Iterator<Item = &mut String> {
        self.items.iter_mut().filter_map(|item| match item {
            Item::Text(text) => Some(text),
            Item::Piece(_) => None,
        })
    }

    /// A random item whose text has `what`, at the place of one of them.
    fn place<'a>(&'a mut self, what: &str, random: &mut Random) -> Option<(&'a mut String, usize)> {
        let mut with: Vec<&mut String> = self.texts().filter(|text| text.contains(what)).collect();
        if with.is_empty() {
            return None;
        }
        let text = with.swap_remove(random.below(with.len()));
        let places: Vec<usize> = text.match_indices(what).map(|(at, _)| at).collect();
        let at = places[random.below(places.len())];
        Some((text, at))
    }

    /// The position of a random function.
    fn function(&self, random: &mut Random) -> Option<usize> {
        let is_function = |item: &Item| match item {
            Item::Text(text) => text.starts_with("define "),
            Item::Piece(_) => false,
        };
        let items = self.items.iter().enumerate();
        let functions: Vec<usize> = items
            .filter(|(_, item)| is_function(item))
            .map(|(at, _)| at)
            .collect();
        (!functions.is_empty()).then(|| functions[random.below(functions.len())])
    }

    /// Puts an instruction first into a random function.
    fn insert(&mut self, instruction: &str, random: &mut Random) -> Option<()> {
        let at = self.function(random)?;
        let Item::Text(text) = &mut self.items[at] else {
            return None;
        };
        let mut start = text.find('\n')? + 1;
        let first = text[start..].lines().next()?;
        if first.contains(':') && !first.starts_with(' ') {
            start += first.len() + 1;
        }
        text.insert_str(start, &format!("  {instruction}\n"));
        Some(())
    }

    /// Where a piece may stand: before any function or variable, or at the end.
    fn boundary(&self, random: &mut Random) -> usize {
        let starts = |item: &Item| match item {
            Item::Text(text) => text.starts_with("define ") || text.starts_with('@'),
            Item::Piece(_) => true,
        };
        let items = self.items.iter().enumerate();
        let mut places: Vec<usize> = items
            .filter(|(_, item)| starts(item))
            .map(|(at, _)| at)
            .collect();
        places.push(self.items.len());
        places[random.below(places.len())]
    }
}

/// Edits one of `modules`, the one at `at`, in a way that concerns `construct`. Returns `None` if
/// there is nothing to edit.
pub(super) fn edit(
    modules: &mut [IrModule],
    at: usize,
    construct: Construct,
    next: &mut usize,
    random: &mut Random,
) -> Option<()> {
    *next += 1;
    let number = *next;
    let value = random.below(1000) + 2;
    let elsewhere = modules[random.below(modules.len())].functions();
    let module = &mut modules[at];
    match construct {
        Construct::Constants => module.constant(value, random),
        Construct::Calls => {
            let callee = pick(&elsewhere, random)?;
            match random.below(3) {
                0 => module.other_callee(random),
                _ => module.insert(
                    &format!("%call.{number} = call i32 @{callee}(i32 {value})"),
                    random,
                ),
            }
        }
        Construct::Types if random.below(2) == 0 => module.types(number, value, random),
        Construct::Attributes => module.attribute(number, random),
        Construct::RemovedFunctions => module.remove_function(random),
        Construct::RenamedLocals => module.rename_local(number, random),
        Construct::InlineAssembly => match random.below(4) {
            0 => module.insert(&assembly(module.comment, value), random),
            1 | 2 => module.move_assembly(value, random),
            _ => module.piece(construct, number, value, random),
        },
        Construct::Metadata if random.below(2) == 0 => module.metadata(random),
        Construct::Order => module.swap(random),
        Construct::Linkage => module.linkage(random),
        Construct::SourceNames => module.source_name(random),
        _ => module.piece(construct, number, value, random),
    }
}

/// A call of inline assembly whose location may be that of other assembly, in any module.
fn assembly(comment: &str, value: usize) -> String {
    let location = value % 7;
    format!(
        "call void asm sideeffect \"{comment} {value}\", \"~{{memory}}\"(), !srcloc !{{i64 {location}}}"
    )
}

/// A line without the GUID of what it defines, which would not follow from a name that an edit
/// changes. LLVM makes it anew.
fn without_guid(line: &str) -> String {
    let Some((before, after)) = line.split_once(" !guid !") else {
        return line.to_owned();
    };
    let before = before.strip_suffix(',').unwrap_or(before);
    let digits = after.bytes().take_while(u8::is_ascii_digit).count();
    format!("{before}{}", &after[digits..])
}

fn pick(names: &[String], random: &mut Random) -> Option<String> {
    (!names.is_empty()).then(|| names[random.below(names.len())].clone())
}

impl IrModule {
    /// Adds a piece of the construct, or changes or removes one.
    fn piece(
        &mut self,
        construct: Construct,
        number: usize,
        value: usize,
        random: &mut Random,
    ) -> Option<()> {
        let items = self.items.iter().enumerate();
        let there: Vec<usize> = items
            .filter(|(_, item)| matches!(item, Item::Piece(piece) if piece.construct == construct))
            .map(|(at, _)| at)
            .collect();
        let functions = self.functions();
        let target = pick(&functions, random)?;
        let choice = random.below(10);
        if there.is_empty() || choice < 3 {
            let place = self.boundary(random);
            let piece = Piece {
                construct,
                number,
                value,
                variant: random.below(12),
                target,
            };
            self.items.insert(place, Item::Piece(piece));
            return Some(());
        }
        let at = there[random.below(there.len())];
        if choice < 4 {
            self.items.remove(at);
            return Some(());
        }
        if let Item::Piece(piece) = &mut self.items[at] {
            match choice {
                4..=5 => piece.value = value,
                6..=7 => piece.target = target,
                _ => piece.variant = random.below(12),
            }
        }
        Some(())
    }

    fn constant(&mut self, value: usize, random: &mut Random) -> Option<()> {
        let before = ["i32 ", "i64 ", "i8 ", ", ", " c\""][random.below(5)];
        let (text, at) = self.place(before, random)?;
        let start = at + before.len();
        if before == " c\"" {
            let first = text[start..].chars().next()?;
            if !first.is_ascii_alphanumeric() {
                return None;
            }
            let letter = char::from(b'a' + u8::try_from(value % 26).ok()?);
            text.replace_range(start..=start, &letter.to_string());
            return Some(());
        }
        let digits = text[start..].bytes().take_while(u8::is_ascii_digit).count();
        if digits == 0 {
            return None;
        }
        text.replace_range(start..start + digits, &(value % 200).to_string());
        Some(())
    }

    /// Replaces a callee by another one of the module.
    fn other_callee(&mut self, random: &mut Random) -> Option<()> {
        let functions = self.functions();
        let (old, new) = (pick(&functions, random)?, pick(&functions, random)?);
        let (text, at) = self.place(&format!("i32 @{old}("), random)?;
        text.replace_range(at..at + "i32 @".len() + old.len(), &format!("i32 @{new}"));
        Some(())
    }

    fn types(&mut self, number: usize, value: usize, random: &mut Random) -> Option<()> {
        if random.below(3) == 0 {
            let names: Vec<String> = self
                .texts()
                .filter_map(|text| Some(text.split_once(" = type ")?.0.to_owned()))
                .collect();
            let old = pick(&names, random)?;
            let new = format!("%renamed.{number}");
            for text in self.texts() {
                *text = replace_name(text, &old, &new);
            }
            return Some(());
        }
        let (width, other) = [("i32", "i64"), ("i8", "i16"), ("[4 x", "[5 x")][random.below(3)];
        if random.below(2) == 0 {
            let (text, at) = self.place(&format!("alloca {width}"), random)?;
            let start = at + "alloca ".len();
            text.replace_range(start..start + width.len(), other);
        } else {
            let allocation = format!(
                "%space.{number} = alloca [{} x i32], align 4",
                value % 9 + 1
            );
            self.insert(&allocation, random)?;
        }
        Some(())
    }

    fn attribute(&mut self, number: usize, random: &mut Random) -> Option<()> {
        const NAMES: [&str; 8] = [
            "cold",
            "noinline",
            "optsize",
            "nosync",
            "norecurse",
            "\"frame-pointer\"=\"all\"",
            "hot",
            "nofree",
        ];
        match random.below(4) {
            0 => {
                let (text, at) = self.place(" noundef", random)?;
                text.replace_range(at..at + " noundef".len(), "");
            }
            1 => {
                let (text, _) = self.place("attributes #", random)?;
                let at = text.find("{ ")? + 2;
                text.insert_str(at, &format!("\"own\"=\"{number}\" "));
            }
            _ => {
                let name = NAMES[random.below(NAMES.len())];
                let (text, _) = self.place("attributes #", random)?;
                let word = format!(" {name} ");
                if text.contains(&word) {
                    *text = text.replacen(&word, " ", 1);
                } else {
                    let at = text.find("{ ")? + 1;
                    text.insert_str(at, &format!(" {name}"));
                }
            }
        }
        Some(())
    }

    /// Removes a function that the module does not use, or leaves its declaration.
    fn remove_function(&mut self, random: &mut Random) -> Option<()> {
        let at = self.function(random)?;
        let Item::Text(text) = &self.items[at] else {
            return None;
        };
        let head = text.lines().next()?;
        let name = head.split_once('@')?.1.split_once('(')?.0.to_owned();
        if name == "main" {
            return None;
        }
        let used = self.text().matches(&format!("@{name}")).count()
            > text.matches(&format!("@{name}")).count();
        if used {
            let (_, rest) = head.split_once(" i32 @")?;
            let parameters = rest.split_once('(')?.1.split_once(')')?.0;
            let declaration = format!("declare i32 @{name}({parameters})\n");
            self.items[at] = Item::Text(declaration);
        } else {
            self.items.remove(at);
        }
        Some(())
    }

    fn rename_local(&mut self, number: usize, random: &mut Random) -> Option<()> {
        let locals: Vec<String> = self
            .texts()
            .filter_map(|text| {
                let head = text.lines().next()?;
                let local = head.contains(" internal ") || head.contains(" private ");
                let rest = &head[head.find('@')? + 1..];
                let end = rest.find([' ', '('])?;
                (local && !rest.starts_with('"')).then(|| format!("@{}", &rest[..end]))
            })
            .collect();
        let old = pick(&locals, random)?;
        let stem = old.split(".renamed").next()?;
        let new = format!("{stem}.renamed{number}");
        for text in self.texts() {
            *text = replace_name(text, &old, &new);
        }
        Some(())
    }

    /// Removes an attachment, or gives another one its number.
    fn metadata(&mut self, random: &mut Random) -> Option<()> {
        let kind = [
            ", !tbaa !",
            ", !prof !",
            ", !llvm.loop !",
            ", !noundef !",
            ", !range !",
        ][random.below(5)];
        let (text, at) = self.place(kind, random)?;
        let start = at + kind.len();
        let digits = text[start..].bytes().take_while(u8::is_ascii_digit).count();
        text.replace_range(at..start + digits, "");
        Some(())
    }

    /// Moves all inline assembly of the module by `distance`, or some to a place where other
    /// assembly is.
    fn move_assembly(&mut self, distance: usize, random: &mut Random) -> Option<()> {
        let text = self.text();
        let nodes: HashSet<&str> = text
            .split(" !srcloc ")
            .skip(1)
            .filter_map(|rest| rest.split([',', '\n']).next())
            .collect();
        let is_node = |text: &str| {
            let node = text.split_once(" = ");
            node.is_some_and(|(name, _)| nodes.contains(name))
        };
        let mut lines: Vec<&mut String> = self.texts().filter(|text| is_node(text)).collect();
        if lines.is_empty() {
            return None;
        }
        if random.below(3) == 0 {
            let (_, there) = lines[random.below(lines.len())].split_once(" = ")?;
            let there = there.to_owned();
            let at = random.below(lines.len());
            let (name, _) = lines[at].split_once(" = ")?;
            *lines[at] = format!("{name} = {there}");
            return Some(());
        }
        for line in lines {
            let moved = line.split("i64 ").map(|part| {
                let end = part.find([',', '}']).unwrap_or_default();
                match part[..end].parse::<u64>() {
                    Ok(number) => format!("{}{}", number + distance as u64, &part[end..]),
                    Err(_) => part.to_owned(),
                }
            });
            *line = moved.collect::<Vec<_>>().join("i64 ");
        }
        Some(())
    }

    /// Swaps two neighbours of one kind.
    fn swap(&mut self, random: &mut Random) -> Option<()> {
        let kind = |item: &Item| match item {
            Item::Text(text) if text.starts_with("define ") => 1,
            Item::Text(text) if text.starts_with('@') => 2,
            Item::Text(text) if text.starts_with("declare ") => 3,
            Item::Text(_) => 0,
            Item::Piece(_) => 1,
        };
        let pairs = self.items.windows(2).enumerate();
        let pairs: Vec<usize> = pairs
            .filter(|(_, pair)| kind(&pair[0]) != 0 && kind(&pair[0]) == kind(&pair[1]))
            .map(|(at, _)| at)
            .collect();
        let at = *pairs.get(random.below(pairs.len().max(1)))?;
        self.items.swap(at, at + 1);
        Some(())
    }

    /// Another directory of the source file, sometimes another name that modules may share.
    fn source_name(&mut self, random: &mut Random) -> Option<()> {
        const BEFORE: &str = "source_filename = \"";
        let dir = DIRECTORIES[random.below(DIRECTORIES.len())];
        let shared = random.below(5) == 0;
        let mut texts = self.texts();
        let line = texts.find(|text| text.starts_with(BEFORE))?;
        let (name, _) = line[BEFORE.len()..].split_once('"')?;
        let name = name.rsplit('/').next().unwrap_or(name);
        let name = if shared { "shared.c" } else { name };
        *line = format!("{BEFORE}{dir}{name}\"\n");
        Some(())
    }

    /// Moves the source files of a program to another directory, each with its name.
    pub(super) fn move_sources(modules: &mut [Self], random: &mut Random) {
        const BEFORE: &str = "source_filename = \"";
        let dir = format!("/checkout{}/", random.below(1000));
        for text in modules.iter_mut().flat_map(Self::texts) {
            if text.starts_with(BEFORE) {
                text.insert_str(BEFORE.len(), &dir);
            }
        }
    }

    /// Linkage, visibility, alignment, section and the like of a global.
    fn linkage(&mut self, random: &mut Random) -> Option<()> {
        const CHANGES: [(&str, &str); 16] = [
            ("define dso_local i32 ", "define weak dso_local i32 "),
            ("define weak dso_local i32 ", "define dso_local i32 "),
            ("define i32 ", "define hidden i32 "),
            ("define hidden i32 ", "define protected i32 "),
            ("define dso_local i32 ", "define dso_local hidden i32 "),
            ("define dso_local i32 ", "define i32 "),
            (" local_unnamed_addr #", " #"),
            (" unnamed_addr #", " #"),
            (" unnamed_addr global", " global"),
            (" unnamed_addr constant", " constant"),
            (" internal global ", " global "),
            (" global ", " hidden global "),
            (", align 4\n", ", align 16\n"),
            (", align 16\n", ", align 32\n"),
            (", align 4\n", ", section \"mine\", align 4\n"),
            (" internal ", " private "),
        ];
        let (from, to) = CHANGES[random.below(CHANGES.len())];
        let (text, at) = self.place(from, random)?;
        text.replace_range(at..at + from.len(), to);
        Some(())
    }
}

/// Replaces a name where it stands as a whole.
fn replace_name(text: &str, old: &str, new: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(old) {
        let (before, after) = (&rest[..at], &rest[at + old.len()..]);
        let goes_on =
            |letter: char| letter.is_alphanumeric() || matches!(letter, '.' | '_' | '$' | '-');
        out.push_str(before);
        let whole = !after.starts_with(goes_on);
        out.push_str(if whole { new } else { old });
        rest = after;
    }
    out.push_str(rest);
    out
}
