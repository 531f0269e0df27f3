//! Remembers what a compiler said about itself, for the life of the state database.
//!
//! Starting clang only to ask it takes longer than a whole cached link may. A question therefore
//! has to contain everything that its answer depends on.

use rusqlite::OptionalExtension as _;

use crate::digest::DigestFunction;
use crate::state::State;

/// Returns the remembered answer to `question`, or else the one that `ask` gets. Errors are not
/// remembered.
///
/// # Errors
/// Those of `ask`.
pub(super) fn cached_answer<E>(
    state: &State,
    question: &str,
    ask: impl FnOnce() -> Result<String, E>,
) -> Result<String, E> {
    let key = DigestFunction::Sha256.digest(question.as_bytes()).hash;
    let known = state.read(|connection| {
        connection
            .prepare_cached("SELECT answer FROM answers WHERE question = ?1")?
            .query_row([&key[..]], |row| row.get::<_, String>(0))
            .optional()
    });
    if let Some(Some(known)) = known {
        return Ok(known);
    }
    let new = ask()?;
    state.write(|transaction| {
        transaction.execute(
            "INSERT OR REPLACE INTO answers (question, answer) VALUES (?1, ?2)",
            rusqlite::params![&key[..], new],
        )
    });
    Ok(new)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::FILE_NAME;

    #[test]
    fn a_question_is_asked_once_and_again_after_an_error() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let state = State::at(&dir.path().join(FILE_NAME));
        assert_eq!(cached_answer(&state, "q", || Err("busy")), Err("busy"));
        assert_eq!(
            cached_answer(&state, "q", || Ok::<_, &str>("a".to_owned())),
            Ok("a".to_owned())
        );
        assert_eq!(
            cached_answer(&state, "q", || Err("asked again")),
            Ok("a".to_owned())
        );
        assert_eq!(
            cached_answer(&state, "r", || Err("another")),
            Err("another")
        );
    }
}
