//! The keys that a link has left in the state database.

use super::{ActionKey, ExplainedLink, Explanation};
use crate::action::INDEX;
use crate::history::{Ingredient, JobKey, KeyParts, LinkKeys};

impl From<&LinkKeys> for ExplainedLink {
    fn from(keys: &LinkKeys) -> Self {
        Self {
            common: keys.common.clone(),
            jobs: keys.jobs.iter().map(|job| explanation(keys, job)).collect(),
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
    // Numbers without an item are damage that the database has not noticed.
    let words = parts.words.iter();
    let words = words.filter_map(|&number| keys.words.get(number as usize));
    let files = parts.files.iter();
    let files = files.filter_map(|&number| keys.files.get(number as usize));
    let mut ingredients: Vec<Ingredient> = files
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
        command: words.cloned().collect(),
        ingredients,
    }
}
