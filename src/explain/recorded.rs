//! The keys that a link has left in the state database.

use super::{ActionKey, ExplainedLink, Explanation};
use crate::action::INDEX;
use crate::history::{Ingredient, JobKey, KeyParts, LinkKeys};

impl ExplainedLink {
    /// What is known of the jobs of `keys` that are wanted: a job spelled out takes far more memory
    /// than its record.
    pub fn of_record(keys: &LinkKeys, is_wanted: impl Fn(&JobKey) -> bool) -> Self {
        let jobs = keys.jobs.iter().filter(|job| is_wanted(job));
        Self {
            names: keys.names(),
            common: keys.common.clone(),
            jobs: jobs.map(|job| explanation(keys, job)).collect(),
        }
    }
}

fn explanation(keys: &LinkKeys, job: &JobKey) -> Explanation {
    Explanation {
        module: job.module.clone(),
        key: match &job.parts {
            Ok(parts) => Ok(key(keys, parts)),
            Err(reason) => Err(reason.clone()),
        },
        origin: job.origin,
    }
}

fn key(keys: &LinkKeys, parts: &KeyParts) -> ActionKey {
    let mut ingredients: Vec<Ingredient> = keys
        .files_of(parts)
        .map(|file| Ingredient {
            name: "input".to_owned(),
            value: file.digest.to_string(),
            known_as: Some(file.name.clone()),
            sourceless: file.sourceless,
        })
        .collect();
    ingredients.push(Ingredient {
        name: format!("input {INDEX}"),
        value: parts.index.to_string(),
        known_as: None,
        sourceless: None,
    });
    ActionKey {
        action: parts.action.to_string(),
        command: keys.words_of(parts).cloned().collect(),
        ingredients,
        slice: None,
    }
}
