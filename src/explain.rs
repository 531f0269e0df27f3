//! Lists what the key of each job consists of.
//!
//! Every ingredient has a name that stays the same from link to link, so that two links can be
//! compared. Nothing runs except what a link asks the compiler.

use std::sync::Arc;

use crate::compiler::ResolvedToolchain;
use crate::error::Rendered;
use crate::events::Events;
use crate::exec::{Hermetic, PlannedForm};
use crate::hash_cache::HashCache;
use crate::job::JobFile;
use crate::link::{LinkError, Options, Planner};

/// One job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// The module as the user knows it.
    pub module: String,
    /// Or why there is no key.
    pub key: Result<ActionKey, String>,
}

/// An Action, and what stands behind its digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActionKey {
    /// `hash/size`.
    pub action: String,
    pub command: Vec<String>,
    pub ingredients: Vec<Ingredient>,
}

/// Something that the digest of the Action depends on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ingredient {
    /// `input relto/m/0000.bc`, `variable SOURCE_DATE_EPOCH`, `toolchain relto/tc/bin/clang`.
    pub name: String,
    pub value: String,
    /// The user's name for it; no part of the key.
    pub known_as: Option<String>,
}

/// Explains all jobs of `file`, without a look into any cache.
///
/// # Errors
/// The compiler cannot be found or queried.
pub fn explain(file: &JobFile, options: &Options) -> Result<Vec<Explanation>, LinkError> {
    let state = Arc::new(options.open_state());
    let hash_cache = HashCache::new(Arc::clone(&state));
    let request = options.compiler_request(file);
    let toolchain = ResolvedToolchain::resolve(&request, &hash_cache, &state).map_err(Box::new)?;
    let planner = Planner {
        file,
        toolchain: &toolchain,
        hash_cache: &hash_cache,
        events: &Events::discarded(),
        client_context: &options.client_context,
    };
    let explained = file.jobs.iter().map(|job| Explanation {
        module: job.module().to_owned(),
        key: match planner.plan(job).map(|checked| checked.form) {
            Err(unsound) => Err(Rendered(&unsound).to_string()),
            Ok(PlannedForm::InPlace(reason)) => Err(reason.to_string()),
            Ok(PlannedForm::Hermetic(hermetic)) => Ok(key_of(&hermetic, &toolchain)),
        },
    });
    let explained = explained.collect();
    hash_cache.flush();
    Ok(explained)
}

fn key_of(hermetic: &Hermetic, toolchain: &ResolvedToolchain) -> ActionKey {
    let ingredient = |name: String, value: String, known_as: Option<String>| Ingredient {
        name,
        value,
        known_as,
    };
    let mut ingredients = Vec::new();
    let template = toolchain.template();
    if !template.salt.is_empty() {
        ingredients.push(ingredient("salt".to_owned(), template.salt.clone(), None));
    }
    for (name, value) in &template.environment {
        ingredients.push(ingredient(format!("variable {name}"), value.clone(), None));
    }
    for file in &toolchain.tree().files {
        let known_as = Some(file.host.display().to_string());
        let name = format!("toolchain {}", file.tree_path);
        ingredients.push(ingredient(name, file.digest.to_string(), known_as));
    }
    let names = hermetic.job.files.iter().map(|file| file.name.clone());
    let names = names.map(Some).chain(std::iter::repeat(None));
    for (input, known_as) in hermetic.action.inputs.iter().zip(names) {
        let name = format!("input {}", input.tree_path);
        ingredients.push(ingredient(name, input.digest.to_string(), known_as));
    }
    for output in &hermetic.job.outputs {
        let name = format!("output {}", output.tree_path);
        ingredients.push(ingredient(name, String::new(), Some(output.name.clone())));
    }
    ActionKey {
        action: hermetic.key().to_string(),
        command: hermetic.action.arguments.clone(),
        ingredients,
    }
}
