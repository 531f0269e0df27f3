//! What the campaign has compared so far, in a file that outlives a run, and the figures that the
//! documentation shows: those in `testdata/slices`, to which the files of finished runs are copied.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use fs_err as fs;
use relto::internals::thinlto::PROVED_RELEASES;
use serde::{Deserialize, Serialize};

use crate::support::built::kept_dir;
use crate::support::llvm::Llvm;

use super::lab::EditCounts;
use super::source::Random;

/// What an edit concerns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Construct {
    Constants,
    Calls,
    Types,
    Attributes,
    NewFunctions,
    RemovedFunctions,
    RenamedLocals,
    InlineAssembly,
    Aliases,
    Ifuncs,
    Comdats,
    Vtables,
    ThreadLocals,
    BlockAddresses,
    Exceptions,
    Metadata,
    Order,
    Linkage,
    SourceNames,
    ModuleAssembly,
    KeptSymbols,
}

/// Constructs whose edits make few pairs, or are often refused by LLVM: they are chosen more often.
const RARE: [Construct; 9] = [
    Construct::Metadata,
    Construct::Metadata,
    Construct::KeptSymbols,
    Construct::Exceptions,
    Construct::RemovedFunctions,
    Construct::Calls,
    Construct::ModuleAssembly,
    Construct::InlineAssembly,
    Construct::Types,
];

impl Construct {
    /// What to edit next.
    pub(super) fn random(random: &mut Random) -> Self {
        let at = random.below(Self::ALL.len() + RARE.len());
        Self::ALL
            .iter()
            .chain(&RARE)
            .copied()
            .nth(at)
            .expect("one of them")
    }

    pub(super) const ALL: [Self; 21] = [
        Self::Constants,
        Self::Calls,
        Self::Types,
        Self::Attributes,
        Self::NewFunctions,
        Self::RemovedFunctions,
        Self::RenamedLocals,
        Self::InlineAssembly,
        Self::Aliases,
        Self::Ifuncs,
        Self::Comdats,
        Self::Vtables,
        Self::ThreadLocals,
        Self::BlockAddresses,
        Self::Exceptions,
        Self::Metadata,
        Self::Order,
        Self::Linkage,
        Self::SourceNames,
        Self::ModuleAssembly,
        Self::KeptSymbols,
    ];
}

/// Counts of compared jobs. A *telling* pair has different whole keys and one slice key, and bytes of
/// an import differ.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Figures {
    pub(super) jobs: u64,
    pub(super) telling: u64,
    pub(super) equal_as_they_are: u64,
    /// Pairs of which only the own modules differ, in the names of their source files.
    #[serde(default)]
    pub(super) moved: u64,
    /// Telling pairs whose objects keep their names, with hashes in the key.
    #[serde(default)]
    pub(super) numbered: u64,
    /// Jobs with messages.
    pub(super) not_storable: u64,
    /// Objects whose names cannot be restored.
    #[serde(default)]
    pub(super) not_restorable: u64,
    pub(super) without_key: BTreeMap<String, u64>,
    /// Programs with modules, or parts of them, that are taken whole, by the reason.
    #[serde(default)]
    pub(super) opaque: BTreeMap<String, u64>,
    /// Telling pairs after an edit of each construct.
    pub(super) constructs: BTreeMap<Construct, u64>,
    /// The same by target and language.
    #[serde(default)]
    pub(super) columns: BTreeMap<String, BTreeMap<Construct, u64>>,
    /// Telling pairs by target, language and kind of edit.
    pub(super) programs: BTreeMap<String, u64>,
    /// What edits of real programs cost: program, edit, counts.
    #[serde(default)]
    pub(super) edits: Vec<(String, String, EditCounts)>,
    pub(super) wrong: Vec<String>,
}

impl Figures {
    /// Counts a telling pair after an edit of `construct`, in a program of `column`.
    pub(super) fn telling(
        &mut self,
        construct: Option<Construct>,
        column: &str,
        equal_as_it_is: bool,
    ) {
        self.telling += 1;
        self.equal_as_they_are += u64::from(equal_as_it_is);
        if let Some(construct) = construct {
            *self.constructs.entry(construct).or_default() += 1;
            let column = self.columns.entry(column.to_owned()).or_default();
            *column.entry(construct).or_default() += 1;
        }
    }

    fn add(&mut self, other: &Self) {
        self.jobs += other.jobs;
        self.telling += other.telling;
        self.equal_as_they_are += other.equal_as_they_are;
        self.moved += other.moved;
        self.numbered += other.numbered;
        self.not_storable += other.not_storable;
        self.not_restorable += other.not_restorable;
        add_all(&mut self.without_key, &other.without_key);
        add_all(&mut self.opaque, &other.opaque);
        add_all(&mut self.constructs, &other.constructs);
        for (name, column) in &other.columns {
            add_all(self.columns.entry(name.clone()).or_default(), column);
        }
        add_all(&mut self.programs, &other.programs);
        self.edits.extend(other.edits.iter().cloned());
        self.wrong.extend(other.wrong.iter().cloned());
    }

    /// Telling pairs of programs in Rust.
    fn of_rust(&self) -> u64 {
        let programs = self.programs.iter();
        let rust = programs.filter(|(name, _)| name.contains(", Rust, "));
        rust.map(|(_, pairs)| pairs).sum()
    }

    /// The pairs of the construct that has the fewest.
    fn least(&self) -> u64 {
        let of = |construct| self.constructs.get(construct).copied().unwrap_or_default();
        Construct::ALL.iter().map(of).min().unwrap_or_default()
    }
}

fn add_all<K: Ord + Clone>(sums: &mut BTreeMap<K, u64>, other: &BTreeMap<K, u64>) {
    for (key, count) in other {
        *sums.entry(key.clone()).or_default() += count;
    }
}

/// The figures of all runs with one release of LLVM.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Campaign {
    compiler: String,
    /// Made-up programs that were compared to their end.
    seeds: BTreeSet<u64>,
    /// Real programs of which all edits were compared.
    #[serde(default)]
    real: BTreeSet<String>,
    pub(super) figures: Figures,
}

impl Campaign {
    /// What earlier runs have left, in the directory that `RELTO_SLICES_STATE` names.
    pub(super) fn load() -> Self {
        let compiler = Llvm::get().version().to_owned();
        let stored = fs::read(path()).ok();
        let stored = stored.and_then(|it| serde_json::from_slice::<Self>(&it).ok());
        match stored {
            Some(campaign) if campaign.compiler == compiler => campaign,
            _ => Self {
                compiler,
                ..Self::default()
            },
        }
    }

    pub(super) fn has(&self, seed: u64) -> bool {
        self.seeds.contains(&seed)
    }

    pub(super) fn has_real(&self, name: &str) -> bool {
        self.real.contains(name)
    }

    /// Adds the program of a seed.
    pub(super) fn add(&mut self, seed: u64, figures: &Figures) {
        if self.seeds.insert(seed) {
            self.sum_up(figures);
        }
    }

    /// Adds a real program.
    pub(super) fn add_real(&mut self, name: &str, figures: &Figures) {
        if self.real.insert(name.to_owned()) {
            self.sum_up(figures);
        }
    }

    /// Adds figures, and writes the file and a summary beside it.
    fn sum_up(&mut self, figures: &Figures) {
        self.figures.add(figures);
        let path = path();
        fs::create_dir_all(path.parent().expect("a directory")).expect("made");
        let text = serde_json::to_vec_pretty(self).expect("figures");
        let partial = path.with_extension("partial");
        fs::write(&partial, text).expect("written");
        fs::rename(&partial, &path).expect("in place");
        fs::write(path.with_extension("md"), self.summary()).expect("written");
    }

    /// Whether `pairs` were compared, and `of_each` of every construct.
    pub(super) fn is_enough(&self, pairs: u64, of_each: u64) -> bool {
        self.figures.telling >= pairs && self.figures.least() >= of_each
    }

    /// The figures as the documentation shows them.
    pub(super) fn summary(&self) -> String {
        let figures = &self.figures;
        let mut out = format!(
            "{}: {} programs, {} telling pairs, {} differences ({} equal without restoring)\n\n",
            self.compiler,
            self.seeds.len() + self.real.len(),
            figures.telling,
            figures.wrong.len(),
            figures.equal_as_they_are
        );
        out.push_str("| edits of | telling pairs |\n|---|---|\n");
        for (construct, count) in &figures.constructs {
            let _ = writeln!(out, "| {} | {count} |", words(&format!("{construct:?}")));
        }
        out.push_str("\n| programs | telling pairs |\n|---|---|\n");
        for (program, count) in &figures.programs {
            let _ = writeln!(out, "| {program} | {count} |");
        }
        if !figures.edits.is_empty() {
            out.push_str(
                "\n| program | edit | objects that change | new whole keys | new slice keys |\n\
                 |---|---|---|---|---|\n",
            );
        }
        for (program, edit, counts) in &figures.edits {
            let EditCounts {
                changed,
                by_whole_key,
                by_slice_key,
            } = counts;
            let _ = writeln!(
                out,
                "| {program} | {edit} | {changed} | {by_whole_key} | {by_slice_key} |"
            );
        }
        out
    }
}

/// The campaigns whose figures the documentation shows, LLVM 22 first.
fn shown() -> Vec<Campaign> {
    let read = |release: u32| {
        let name = format!("tests/it/testdata/slices/figures-{release}.json");
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
        serde_json::from_slice(&fs::read(file).expect("figures")).expect("whole")
    };
    [22, 21, 23, 24].map(read).into()
}

/// The tables of the documentation.
fn page(campaigns: &[Campaign]) -> String {
    let mut out = String::from("| |");
    for campaign in campaigns {
        let (_, version) = campaign.compiler.split_once("version ").expect("a version");
        let number = version.split([' ', '+', '~']).next().unwrap_or_default();
        let _ = write!(out, " {number} |");
    }
    out.push('\n');
    let _ = writeln!(out, "|---|{}", "---|".repeat(campaigns.len()));
    let mut row = |name: &str, count: &dyn Fn(&Campaign) -> u64| {
        let counts = campaigns.iter().map(|it| format!(" {} |", count(it)));
        let _ = writeln!(out, "| {name} |{}", counts.collect::<String>());
    };
    let length = |it: usize| u64::try_from(it).expect("a count");
    row("programs", &|it| length(it.seeds.len() + it.real.len()));
    row("**telling pairs**", &|it| it.figures.telling);
    row("**differences**", &|it| length(it.figures.wrong.len()));
    row("equal without restoring", &|it| {
        it.figures.equal_as_they_are
    });
    row("with hashes in the key", &|it| it.figures.numbered);
    row(
        "only the own source file elsewhere, not counted above",
        &|it| it.figures.moved,
    );
    for construct in Construct::ALL {
        let name = format!("edits of {}", words(&format!("{construct:?}")));
        let of = |it: &Campaign| it.figures.constructs.get(&construct).copied();
        row(&name, &|it| of(it).unwrap_or_default());
    }
    let programs: BTreeSet<&String> = campaigns
        .iter()
        .flat_map(|campaign| campaign.figures.programs.keys())
        .collect();
    for program in programs {
        let of = |it: &Campaign| it.figures.programs.get(program).copied();
        row(program, &|it| of(it).unwrap_or_default());
    }
    out
}

/// `NewFunctions` as words.
fn words(name: &str) -> String {
    let mut out = String::new();
    for letter in name.chars() {
        if letter.is_uppercase() && !out.is_empty() {
            out.push(' ');
        }
        out.extend(letter.to_lowercase());
    }
    out
}

fn path() -> PathBuf {
    let dir = std::env::var_os("RELTO_SLICES_STATE")
        .map_or_else(|| kept_dir().join("slices"), PathBuf::from);
    dir.join(format!("figures-{}.json", Llvm::get().major()))
}

/// Lines of the page between which the tables are.
const BEGIN: &str = "<!-- figures: the test writes them -->\n\n";
const END: &str = "\n<!-- figures: end -->";

/// `INSTA_UPDATE=always` writes the tables, as it does snapshots.
#[test]
fn the_page_on_slice_keys_shows_the_figures_of_the_campaign() {
    let campaigns = shown();
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/slice-keys.md");
    let text = fs::read_to_string(path).expect("the page");
    let (before, rest) = text.split_once(BEGIN).expect("where they begin");
    let (written, after) = rest.split_once(END).expect("where they end");
    let tables = page(&campaigns);
    if std::env::var_os("INSTA_UPDATE").is_some_and(|wanted| wanted == "always") {
        let text = format!("{before}{BEGIN}{tables}{END}{after}");
        fs::write(path, text).expect("written");
    } else {
        assert_eq!(written, tables, "write it with INSTA_UPDATE=always");
    }
}

/// What a release has to have of each construct and of Rust, and all of them together.
const PAIRS_OF_EACH: u64 = 200;
const PAIRS_OF_ALL: u64 = 20_000;

#[test]
fn slice_keys_are_on_by_default_only_for_releases_that_the_campaign_compared_enough() {
    let campaigns = shown();
    let of = |release: &u32| {
        let version = format!("version {release}.");
        let mut all = campaigns.iter();
        all.find(|it| it.compiler.contains(&version))
    };
    let mut pairs = 0;
    for release in &PROVED_RELEASES {
        let campaign = of(release).expect("the figures of the release");
        assert!(campaign.is_enough(0, PAIRS_OF_EACH), "{release}");
        assert!(campaign.figures.of_rust() >= PAIRS_OF_EACH, "{release}");
        pairs += campaign.figures.telling;
    }
    assert!(pairs >= PAIRS_OF_ALL, "{pairs} pairs in all");
}

#[test]
fn no_campaign_found_a_difference() {
    for campaign in shown() {
        let wrong = &campaign.figures.wrong;
        assert!(wrong.is_empty(), "{}: {wrong:#?}", campaign.compiler);
    }
}
