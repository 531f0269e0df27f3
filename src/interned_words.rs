//! Keeps words once that many jobs have in common, such as their arguments.

use std::collections::HashMap;

/// Words, known by their numbers from 0 on.
#[derive(Debug, Default)]
pub struct InternedWords {
    words: Vec<String>,
    numbers: HashMap<String, u32>,
}

impl InternedWords {
    /// The number of `word`, which is kept.
    pub fn number(&mut self, word: &str) -> u32 {
        if let Some(number) = self.numbers.get(word) {
            return *number;
        }
        let number = u32::try_from(self.words.len()).expect("fewer words than bytes of memory");
        self.words.push(word.to_owned());
        self.numbers.insert(word.to_owned(), number);
        number
    }

    /// The words with these numbers.
    #[must_use]
    pub fn spelled(&self, numbers: &[u32]) -> Vec<String> {
        let words = numbers.iter().map(|number| &self.words[*number as usize]);
        words.cloned().collect()
    }

    /// All words, in the order of their numbers.
    #[must_use]
    pub fn into_words(self) -> Vec<String> {
        self.words
    }
}
