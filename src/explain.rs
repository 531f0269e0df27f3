//! What the key of each job is made of.
//!
//! Enters: a job file. Leaves: for each job its ingredients, one by one, under names that stay the
//! same from link to link, so that two links can be held against each other; or why the job has no
//! key. Nothing is run but what a link asks the compiler.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::deliver::Delivery;
use super::plan::Planner;
use super::record::Record;
use super::site::open_state;
use super::tools::Tools;
use super::{LinkError, Options};
use crate::error::Rendered;
use crate::events::{Event, Events};
use crate::exec::{Hermetic, PlannedForm};
use crate::hash_cache::HashCache;
use crate::job::{Job, JobFile};

/// One job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// The module as the user knows it.
    pub module: String,
    /// Or why there is no key.
    pub key: Result<Key, String>,
}

/// An Action, and what stands behind its digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
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
/// The compiler cannot be found or asked.
pub fn explain(file: &JobFile, options: &Options) -> Result<Vec<Explanation>, LinkError> {
    let state = Arc::new(open_state(options.state().as_deref()));
    let hash_cache = HashCache::new(Arc::clone(&state));
    let tools = Tools::find(file, options, &hash_cache, &state).map_err(Box::new)?;
    let (record, cancel) = (Record::new(state, &file.jobs), CancellationToken::new());
    let delivery = Delivery {
        disk_cache: None,
        record,
        cancel,
        events: Events::discarded(),
        linker: None,
        umask: None,
        refused: false.into(),
    };
    let explained = file.jobs.iter().map(|job| {
        let (events, told) = Events::channel();
        let planner = Planner {
            file,
            tools: &tools,
            hash_cache: &hash_cache,
            delivery: &delivery,
            events: &events,
            client_context: &options.client_context,
        };
        let key = key(&planner, job, &tools).unwrap_or_else(|| {
            drop(events);
            let texts = told.into_iter().filter_map(|stamped| match stamped.event {
                Event::Note { text } | Event::Warning { text, .. } => Some(text),
                _ => None,
            });
            Err(texts.collect::<Vec<_>>().join("; "))
        });
        Explanation {
            module: job.module().to_owned(),
            key,
        }
    });
    let explained = explained.collect();
    hash_cache.flush();
    Ok(explained)
}

/// `None` if the job runs in place, which the planner's events explain.
fn key(planner: &Planner<'_>, job: &Job, tools: &Tools) -> Option<Result<Key, String>> {
    match planner.form(job) {
        Err(unsound) => Some(Err(Rendered(&unsound).to_string())),
        Ok(checked) => match checked.form {
            PlannedForm::Hermetic(hermetic) => Some(Ok(key_of(&hermetic, tools))),
            PlannedForm::InPlace => None,
        },
    }
}

fn key_of(hermetic: &Hermetic, tools: &Tools) -> Key {
    let ingredient = |name: String, value: String, known_as: Option<String>| Ingredient {
        name,
        value,
        known_as,
    };
    let mut ingredients = Vec::new();
    let template = tools.template();
    if !template.salt.is_empty() {
        ingredients.push(ingredient("salt".to_owned(), template.salt.clone(), None));
    }
    for (name, value) in &template.environment {
        ingredients.push(ingredient(format!("variable {name}"), value.clone(), None));
    }
    for file in &tools.tree().files {
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
    Key {
        action: hermetic.key().to_string(),
        command: hermetic.action.arguments.clone(),
        ingredients,
    }
}
