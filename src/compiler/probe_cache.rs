//! Remembers what a compiler said about itself, for the life of the state database.
//!
//! Starting clang only to ask it takes longer than a whole cached link may. A question therefore
//! has to contain everything that its answer depends on.

use rusqlite::OptionalExtension as _;

use crate::digest::DigestFunction;
use crate::state::{State, seal};

/// What a compiler answered.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) text: String,
    /// Certainly by the compiler that was meant.
    pub(super) is_certain: bool,
}

/// Returns the remembered answer to `question`, or else the one from `ask`. Errors are not
/// remembered, nor are answers that are not certain.
///
/// # Errors
/// Those of `ask`.
pub(super) fn cached_answer<E>(
    state: &State,
    question: &str,
    ask: impl FnOnce() -> Result<Answer, E>,
) -> Result<String, E> {
    let key = DigestFunction::Sha256.digest(question.as_bytes()).hash;
    let known = state.read(|connection| {
        connection
            .prepare_cached("SELECT answer, seal FROM answers WHERE question = ?1")?
            .query_row([&key[..]], |row| {
                Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?))
            })
            .optional()
    });
    if let Some(Some((known, sealed))) = known
        && sealed == seal(&[&key, known.as_bytes()])
    {
        return Ok(known);
    }
    let Answer { text, is_certain } = ask()?;
    if !is_certain {
        return Ok(text);
    }
    state.write(|transaction| {
        transaction.execute(
            "INSERT OR REPLACE INTO answers (question, answer, seal) VALUES (?1, ?2, ?3)",
            rusqlite::params![&key[..], text, seal(&[&key, text.as_bytes()])],
        )
    });
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::FILE_NAME;

    fn certain(text: &str) -> Answer {
        let text = text.to_owned();
        Answer {
            text,
            is_certain: true,
        }
    }

    #[test]
    fn an_answer_that_is_not_certain_is_asked_for_again() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let state = State::at(&dir.path().join(FILE_NAME));
        let doubtful = Answer {
            is_certain: false,
            ..certain("a")
        };
        let first = cached_answer(&state, "q", || Ok::<_, &str>(doubtful));
        assert_eq!(first, Ok("a".to_owned()));
        let second = cached_answer(&state, "q", || Ok::<_, &str>(certain("b")));
        assert_eq!(second, Ok("b".to_owned()));
    }

    #[test]
    fn a_question_is_asked_once_unless_it_failed() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let state = State::at(&dir.path().join(FILE_NAME));
        assert_eq!(cached_answer(&state, "q", || Err("busy")), Err("busy"));
        assert_eq!(
            cached_answer(&state, "q", || Ok::<_, &str>(certain("a"))),
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

    #[test]
    fn an_answer_damaged_on_disk_is_asked_for_again() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let state = State::at(&dir.path().join(FILE_NAME));
        let ask = |answer: &str| cached_answer(&state, "q", || Ok::<_, &str>(certain(answer)));
        assert_eq!(ask("+sse4.2"), Ok("+sse4.2".to_owned()));
        let damage = "UPDATE answers SET answer = '-sse4.2'";
        assert_eq!(
            state.write(|transaction| transaction.execute(damage, [])),
            Some(1)
        );
        assert_eq!(ask("asked again"), Ok("asked again".to_owned()));
    }
}
