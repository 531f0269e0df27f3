//! Remembers what a compiler said about itself, for the life of the state database.
//!
//! Starting clang only to ask it takes longer than a whole cached link may. A question therefore
//! has to contain everything that its answer depends on.

use rusqlite::OptionalExtension as _;

use crate::digest::DigestFunction;
use crate::state::{Secret, State, seal};

/// What a compiler answered.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) text: String,
    /// Certainly by the compiler that was meant.
    pub(super) is_certain: bool,
}

/// Answers that earlier links got. A cache may come from anybody, and what an answer says goes into the
/// arguments of jobs, so only answers count that the same user remembered.
#[derive(Debug, Clone, Copy)]
pub(super) struct Answers<'a> {
    pub(super) state: &'a State,
    /// `None` where the user's secret cannot be kept: nothing is remembered.
    pub(super) secret: Option<&'a Secret>,
}

impl Answers<'_> {
    /// Returns the remembered answer to `question`, or else the one from `ask`. Errors are not
    /// remembered, nor are answers that are not certain.
    ///
    /// # Errors
    /// Those of `ask`.
    pub(super) fn get<E>(
        self,
        question: &str,
        ask: impl FnOnce() -> Result<Answer, E>,
    ) -> Result<String, E> {
        let Some(secret) = self.secret else {
            return ask().map(|answer| answer.text);
        };
        let key = DigestFunction::Sha256.digest(question.as_bytes()).hash;
        let sealed = |answer: &str| seal(&[secret.bytes(), &key, answer.as_bytes()]);
        if let Some((known, by)) = self.find(&key)
            && by == sealed(&known)
        {
            return Ok(known);
        }
        let Answer { text, is_certain } = ask()?;
        if !is_certain {
            return Ok(text);
        }
        self.state.write(|transaction| {
            transaction.execute(
                "INSERT OR REPLACE INTO answers (question, answer, seal) VALUES (?1, ?2, ?3)",
                rusqlite::params![&key[..], text, sealed(&text)],
            )
        });
        Ok(text)
    }

    /// The answer under `key`, and its seal.
    fn find(self, key: &[u8]) -> Option<(String, i64)> {
        let found = self.state.read(|connection| {
            connection
                .prepare_cached("SELECT answer, seal FROM answers WHERE question = ?1")?
                .query_row([key], |row| Ok((row.get(0)?, row.get(1)?)))
                .optional()
        });
        found.flatten()
    }
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

    /// A cache, and somebody's secret.
    struct Place {
        _dir: tempfile::TempDir,
        state: State,
        secret: Secret,
    }

    impl Place {
        fn new() -> Self {
            let dir = tempfile::tempdir().expect("a temporary directory");
            Self {
                state: State::at(&dir.path().join(FILE_NAME)),
                secret: Secret::random(),
                _dir: dir,
            }
        }

        fn get(&self, question: &str, answer: Result<Answer, &'static str>) -> String {
            self.get_with(Some(&self.secret), question, answer)
        }

        fn get_with(
            &self,
            secret: Option<&Secret>,
            question: &str,
            answer: Result<Answer, &'static str>,
        ) -> String {
            let answers = Answers {
                state: &self.state,
                secret,
            };
            let got = answers.get(question, || answer);
            got.unwrap_or_else(|error| format!("error: {error}"))
        }
    }

    #[test]
    fn an_answer_that_is_not_certain_is_asked_for_again() {
        let place = Place::new();
        let doubtful = Answer {
            is_certain: false,
            ..certain("a")
        };
        assert_eq!(place.get("q", Ok(doubtful)), "a");
        assert_eq!(place.get("q", Ok(certain("b"))), "b");
    }

    #[test]
    fn a_question_is_asked_once_unless_it_failed() {
        let place = Place::new();
        assert_eq!(place.get("q", Err("busy")), "error: busy");
        assert_eq!(place.get("q", Ok(certain("a"))), "a");
        assert_eq!(place.get("q", Err("asked again")), "a");
        assert_eq!(place.get("r", Err("another")), "error: another");
    }

    #[test]
    fn an_answer_damaged_on_disk_is_asked_for_again() {
        let place = Place::new();
        assert_eq!(place.get("q", Ok(certain("+sse4.2"))), "+sse4.2");
        let damage = "UPDATE answers SET answer = '-sse4.2'";
        let damaged = place
            .state
            .write(|transaction| transaction.execute(damage, []));
        assert_eq!(damaged, Some(1));
        assert_eq!(place.get("q", Ok(certain("asked again"))), "asked again");
    }

    #[test]
    fn an_answer_that_another_user_remembered_is_asked_for_again() {
        let place = Place::new();
        assert_eq!(place.get("q", Ok(certain("theirs"))), "theirs");
        let other = Secret::random();
        let own = place.get_with(Some(&other), "q", Ok(certain("own")));
        assert_eq!(own, "own");
        assert_eq!(place.get_with(None, "q", Ok(certain("new"))), "new");
    }
}
