//! By which names links know the modules of other links again.
//!
//! A linker calls a member of an archive after the place where it found it, `libx.a(foo.o at 96)`.
//! The place moves when a member before it grows, so links are compared by the name alone, and by the
//! rank among those of the same name. Records hold the place too, for those who read them.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Names of the modules of one link.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ModuleNames {
    /// The user's names for modules that the job file names otherwise.
    known_as: HashMap<String, String>,
    /// The stable names of members, by those that are shown.
    members: HashMap<String, String>,
}

impl ModuleNames {
    /// Those of a link of `modules`, some of which are `known_as` something else.
    pub fn new<'a>(
        modules: impl IntoIterator<Item = &'a str>,
        known_as: &BTreeMap<String, String>,
    ) -> Self {
        let mut names = Self {
            known_as: known_as.clone().into_iter().collect(),
            members: HashMap::new(),
        };
        let shown = modules.into_iter().map(|name| names.shown(name));
        names.members = ranked(shown);
        names
    }

    /// Those of a link of which a record has `modules`.
    pub fn recorded<'a>(modules: impl IntoIterator<Item = &'a str>) -> Self {
        Self::new(modules, &BTreeMap::new())
    }

    /// A module as the user knows it, with the place of a member.
    #[must_use]
    pub fn shown<'a>(&'a self, name: &'a str) -> &'a str {
        let known = self.known_as.get(name).map_or(name, String::as_str);
        shown_name(known)
    }

    /// The same in each link that has the module.
    #[must_use]
    pub fn stable<'a>(&'a self, name: &'a str) -> Cow<'a, str> {
        let shown = self.shown(name);
        if let Some(stable) = self.members.get(shown) {
            return Cow::Borrowed(stable);
        }
        // A module that is only imported, as its own job had nothing left to do.
        member(shown).map_or(Cow::Borrowed(shown), |member| Cow::Owned(member.name()))
    }
}

/// A member of an archive, by the linker's name for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Member<'a> {
    before: &'a str,
    offset: u64,
    after: &'a str,
}

impl Member<'_> {
    /// Without the place.
    fn name(&self) -> String {
        [self.before, self.after].concat()
    }
}

/// `libx.a(foo.o at 96)`, or ld64.lld's `libx.a(foo.o)96`, or lld-link's `x.libfoo.obj96`. Where a file
/// happens to have such a name, its rank still tells it apart.
fn member(shown: &str) -> Option<Member<'_>> {
    let is_offset = |it: &u8| it.is_ascii_digit();
    let (end, after) = match shown.strip_suffix(')') {
        Some(inner) => (inner, ")"),
        None => (shown, ""),
    };
    let digits = end.bytes().rev().take_while(is_offset).count();
    let (before, offset) = end.split_at(end.len() - digits);
    let offset = offset.parse().ok()?;
    let before = if after.is_empty() {
        let of_archive = |it: &str| [".a", ".lib", ".rlib"].iter().any(|end| it.contains(end));
        let is_member = |end: &str| before.strip_suffix(end).is_some_and(of_archive);
        let is_one = before.ends_with(')') || is_member(".obj") || is_member(".o");
        is_one.then_some(before)?
    } else {
        before.strip_suffix(" at ")?
    };
    let is_named = after.is_empty() && !before.ends_with(')');
    (is_named || before.contains('(')).then_some(Member {
        before,
        offset,
        after,
    })
}

/// Stable names of the members among `shown`.
fn ranked<'a>(shown: impl Iterator<Item = &'a str>) -> HashMap<String, String> {
    let mut namesakes: HashMap<String, BTreeSet<(u64, &str)>> = HashMap::new();
    for (shown, member) in shown.filter_map(|shown| Some((shown, member(shown)?))) {
        let all = namesakes.entry(member.name()).or_default();
        all.insert((member.offset, shown));
    }
    let ranked = namesakes.into_iter().flat_map(|(name, all)| {
        let of_rank = move |(rank, (_, shown)): (usize, (u64, &str))| {
            let stable = match rank {
                0 => name.clone(),
                rank => format!("{name}#{}", rank + 1),
            };
            (shown.to_owned(), stable)
        };
        all.into_iter().enumerate().map(of_rank)
    });
    ranked.collect()
}

/// A member by the user's name for it, without the place: `libx.a(foo.o)`.
#[must_use]
pub fn without_place(shown: &str) -> Cow<'_, str> {
    member(shown).map_or(Cow::Borrowed(shown), |member| Cow::Owned(member.name()))
}

/// A module's or archive member's name without the numbers that lld adds to what it extracts, its
/// process id among them: `libx.a(foo.o at 96).2.44B.o`.
#[must_use]
pub fn shown_name(name: &str) -> &str {
    let stem = name
        .strip_suffix(".o")
        .and_then(|rest| rest.rsplit_once('.'))
        .and_then(|(rest, pid)| {
            pid.bytes()
                .all(|byte| byte.is_ascii_hexdigit())
                .then_some(rest)
        })
        .and_then(|rest| rest.rsplit_once('.'))
        .and_then(|(rest, sequence)| {
            sequence
                .bytes()
                .all(|byte| byte.is_ascii_digit())
                .then_some(rest)
        });
    stem.unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_has_the_same_name_wherever_it_is_in_its_archive() {
        for (first, second, stable) in [
            (
                "out/x.a(f.o at 96).2.44B.o",
                "out/x.a(f.o at 3620).7.1F0C.o",
                "out/x.a(f.o)",
            ),
            ("x.a(f.o at 96)", "x.a(f.o at 98)", "x.a(f.o)"),
            (
                "x (2).a(f (1).o)96",
                "x (2).a(f (1).o)3620",
                "x (2).a(f (1).o)",
            ),
            (
                "x.libf.obj2860.2.58A3.o",
                "x.libf.obj96.2.58A4.o",
                "x.libf.obj",
            ),
            ("libx.af.o2860", "libx.af.o96", "libx.af.o"),
        ] {
            for name in [first, second] {
                assert_eq!(ModuleNames::recorded([name]).stable(name), stable);
                assert_eq!(ModuleNames::default().stable(name), stable);
            }
        }
        for name in [
            "f.o",
            "dir/f 96",
            "f(1)",
            "(f at home)",
            "f.o at 96)",
            "x96.o",
            "f.o96",
            "a)7",
            ")",
            "7",
        ] {
            assert_eq!(ModuleNames::recorded([name]).stable(name), name);
        }
    }

    #[test]
    fn members_of_one_name_are_told_apart_by_their_order() {
        let names = [
            "x.a(f.o at 1000).5.1.o",
            "f.o",
            "x.a(f.o at 96).2.1.o",
            "x.a(g.o at 96).3.1.o",
        ];
        let names_of = ModuleNames::recorded(names);
        let stable = names.map(|name| names_of.stable(name));
        assert_eq!(stable, ["x.a(f.o)#2", "f.o", "x.a(f.o)", "x.a(g.o)"]);
        let shown = names.map(|name| names_of.shown(name));
        assert_eq!(shown[0], "x.a(f.o at 1000)");
        let again = ModuleNames::recorded(shown);
        assert_eq!(shown.map(|name| again.stable(name)), stable);
    }

    #[test]
    fn what_the_user_calls_a_module_counts() {
        let path = "/tmp/relto-1/m/000003/x.a(f.o at 96)";
        let known_as = BTreeMap::from([(path.to_owned(), "lib/x.a(f.o at 96)".to_owned())]);
        let names = ModuleNames::new([path, "b.o"], &known_as);
        assert_eq!(names.shown(path), "lib/x.a(f.o at 96)");
        assert_eq!(names.stable(path), "lib/x.a(f.o)");
        assert_eq!(names.stable("b.o"), "b.o");
    }
}
