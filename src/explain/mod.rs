//! Lists what the keys of jobs consist of, and what changed them since an earlier link.
//!
//! Every ingredient has a name that stays the same from link to link, so that two links can be
//! compared. Nothing runs except that the compiler is asked what a link asks it, in a sandbox.

mod compare;
mod recorded;

use std::sync::Arc;

use crate::action::file_table::FileTable;
use crate::compiler::{Purpose, ResolvedToolchain};
use crate::error::Rendered;
use crate::events::{Events, Origin};
use crate::exec::{Hermetic, PlannedForm};
use crate::hash_cache::HashCache;
use crate::job::JobFile;
use crate::link::{LinkError, Options, Planner, SliceExplainer, common_ingredients};

pub use crate::history::{Ingredient, ModuleNames};
pub use crate::link::ExplainedSlice;
pub use compare::{Change, Comparison, Difference, compare};

/// All jobs of a link.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExplainedLink {
    /// By which the modules are known in other links.
    pub names: ModuleNames,
    /// What the keys of all jobs depend on.
    pub common: Vec<Ingredient>,
    pub jobs: Vec<Explanation>,
}

/// One job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// The module as the user knows it.
    pub module: String,
    /// Or why there is no key.
    pub key: Result<ActionKey, String>,
    /// Where its object came from, of a link that was recorded.
    pub origin: Option<Origin>,
}

/// An Action, and what stands behind its digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActionKey {
    /// `hash/size`.
    pub action: String,
    pub command: Vec<String>,
    /// Besides those that all jobs have.
    pub ingredients: Vec<Ingredient>,
    /// The second key, or why there is none; `None` if the link uses none or nothing is known of
    /// it.
    pub slice: Option<Result<ExplainedSlice, String>>,
}

/// Explains all jobs of `file`. Only with slice keys it looks into a cache, that of this machine.
///
/// # Errors
/// The compiler cannot be found or queried.
pub fn explain(file: &JobFile, options: &Options) -> Result<ExplainedLink, LinkError> {
    let state = Arc::new(options.open_state());
    let hash_cache = HashCache::new(Arc::clone(&state));
    let request =
        options.compiler_request(&file.common_arguments, file.caller, Purpose::Inspection);
    let toolchain = ResolvedToolchain::resolve(&request, &hash_cache, &state).map_err(Box::new)?;
    let files = FileTable::new(options.client_context.clone());
    let planner = Planner {
        file,
        files: &files,
        toolchain: &toolchain,
        hash_cache: &hash_cache,
        events: &Events::discarded(),
        client_context: &options.client_context,
        dwo_dir: options.dwo_dir.as_deref(),
    };
    let slices = SliceExplainer::new(file, &toolchain, options);
    let explained = file.jobs.iter().map(|job| Explanation {
        module: job.module().to_owned(),
        key: match planner.plan(job) {
            Err(unsound) => Err(Rendered(&unsound).to_string()),
            Ok(checked) => match checked.form {
                PlannedForm::InPlace(reason) => Err(reason.to_string()),
                PlannedForm::Hermetic(hermetic) => Ok(ActionKey {
                    slice: slices.as_ref().map(|slices| slices.explain(&hermetic, job)),
                    ..key_of(&hermetic, &checked.sourceless)
                }),
            },
        },
        origin: None,
    });
    let jobs = explained.collect();
    hash_cache.flush();
    Ok(ExplainedLink::new(common_ingredients(&toolchain), jobs))
}

impl ExplainedLink {
    /// A link of which all jobs are known.
    #[must_use]
    pub fn new(common: Vec<Ingredient>, jobs: Vec<Explanation>) -> Self {
        let modules = jobs.iter().map(|job| &*job.module);
        let keys = jobs.iter().filter_map(|job| job.key.as_ref().ok());
        let inputs = keys.flat_map(|key| key.ingredients.iter().filter_map(Ingredient::input));
        Self {
            names: ModuleNames::recorded(modules.chain(inputs)),
            common,
            jobs,
        }
    }
}

fn key_of(hermetic: &Hermetic, sourceless: &[Option<[u8; 16]>]) -> ActionKey {
    let mut ingredients = Vec::new();
    for (number, input) in hermetic.inputs().enumerate() {
        let named = hermetic.job.files.get(number);
        ingredients.push(Ingredient {
            name: format!("input {}", input.tree_path),
            value: input.digest.to_string(),
            known_as: named.map(|file| file.name.to_string()),
            sourceless: sourceless.get(number).copied().flatten(),
        });
    }
    for output in &hermetic.job.outputs {
        ingredients.push(Ingredient {
            name: format!("output {}", output.tree_path),
            value: String::new(),
            known_as: Some(output.name.clone()),
            sourceless: None,
        });
    }
    ActionKey {
        action: hermetic.key().to_string(),
        command: hermetic.action.arguments.clone(),
        ingredients,
        slice: None,
    }
}
