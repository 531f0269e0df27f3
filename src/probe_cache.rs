//! What a compiler said about itself, remembered.
//!
//! Enters: a question that holds everything the answer depends on, and a way to ask. Leaves: the
//! answer, asked for once in the life of the state database. Starting clang only to ask takes
//! longer than a whole cached link may.

use rusqlite::OptionalExtension as _;

use crate::digest::DigestFunction;
use crate::state::State;

/// The remembered answer to `question`, or a new one. An answer that cannot be had is not
/// remembered.
///
/// # Errors
/// Those of `ask`.
pub fn answer<E>(
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
    fn a_question_is_asked_once_and_an_error_again() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let state = State::at(&dir.path().join(FILE_NAME));
        assert_eq!(answer(&state, "q", || Err("busy")), Err("busy"));
        assert_eq!(
            answer(&state, "q", || Ok::<_, &str>("a".to_owned())),
            Ok("a".to_owned())
        );
        assert_eq!(
            answer(&state, "q", || Err("asked again")),
            Ok("a".to_owned())
        );
        assert_eq!(answer(&state, "r", || Err("another")), Err("another"));
    }
}
