//! Whether a link with these options would work here, and what to change.
//!
//! What is reported has been tried, not guessed: the toolchain is the one that a link would send,
//! the farm is queried, and a trial job runs through the same engine as any link.

mod cached;
mod farm;
mod machine;
mod module;
mod toolchain;
mod trial;

use std::path::Path;
use std::sync::Arc;

use crate::error::{Hinted, with_causes};
use crate::hash_cache::HashCache;
use crate::link::{FarmOptions, Options};

pub use cached::verify_cached;

/// The severity of a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Grade {
    Good,
    /// Links work, but not as well as they could.
    Warning,
    /// A link would fail.
    Bad,
}

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    pub grade: Grade,
    pub text: String,
    /// What to change, one sentence each.
    pub hints: Vec<String>,
}

/// Findings that belong together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportSection {
    pub title: &'static str,
    pub findings: Vec<Finding>,
}

impl Finding {
    fn good(text: impl Into<String>) -> Self {
        Self {
            grade: Grade::Good,
            text: text.into(),
            hints: Vec::new(),
        }
    }

    fn warning(text: impl Into<String>, hint: &str) -> Self {
        Self {
            grade: Grade::Warning,
            text: text.into(),
            hints: vec![hint.to_owned()],
        }
    }

    fn bad(text: impl Into<String>, hint: &str) -> Self {
        Self {
            grade: Grade::Bad,
            ..Self::warning(text, hint)
        }
    }

    fn of(grade: Grade, error: &dyn Hinted) -> Self {
        Self {
            grade,
            text: with_causes(error),
            hints: error.hints(),
        }
    }
}

impl ReportSection {
    fn new(title: &'static str, findings: Vec<Finding>) -> Self {
        Self { title, findings }
    }

    /// The worst that was found.
    #[must_use]
    pub fn grade(&self) -> Grade {
        let grades = self.findings.iter().map(|finding| finding.grade);
        grades.max().unwrap_or(Grade::Good)
    }
}

/// Examines everything, and passes each section to `report` when it is complete. `compiler` is a
/// path or a name; without one it is the `clang` of `PATH`. With `strict`, a farm that cannot be
/// used is as bad as a link that fails. Returns the worst of all findings.
pub async fn examine(
    compiler: Option<&Path>,
    options: &Options,
    strict: bool,
    report: &mut (dyn FnMut(&ReportSection) + Send),
) -> Grade {
    let mut worst = Grade::Good;
    let mut report = |section: ReportSection| {
        worst = worst.max(section.grade());
        report(&section);
    };
    let state = Arc::new(options.open_state());
    let hash_cache = HashCache::new(Arc::clone(&state));
    let (section, compilers) = toolchain::section(compiler, options, &hash_cache, &state);
    hash_cache.flush();
    report(section);
    report(machine::section(options, &state));
    let mut farm_answers = false;
    if let Some(farm) = &options.farm {
        let (section, answers) = farm::section(farm, without_farm(farm, strict)).await;
        farm_answers = answers;
        report(section);
    }
    if let Some(compilers) = compilers {
        report(trial::section(&compilers, options, strict, farm_answers).await);
    }
    worst
}

/// How bad it is for a link when its farm cannot be used.
fn without_farm(farm: &FarmOptions, strict: bool) -> Grade {
    if !strict && farm.is_optional() {
        Grade::Warning
    } else {
        Grade::Bad
    }
}
