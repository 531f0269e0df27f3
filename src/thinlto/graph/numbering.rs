//! Numbers by first appearance: equal for two sequences exactly when the same places of both hold
//! equal items.

use std::collections::HashMap;
use std::hash::Hash;

/// Numbers items when they are first met.
#[derive(Debug)]
pub struct Numbering<T> {
    numbers: HashMap<T, u64>,
    items: Vec<T>,
}

impl<T> Default for Numbering<T> {
    fn default() -> Self {
        Self {
            numbers: HashMap::new(),
            items: Vec::new(),
        }
    }
}

impl<T: Copy + Eq + Hash> Numbering<T> {
    /// The number of an item.
    pub fn number(&mut self, item: T) -> u64 {
        let next = self.items.len() as u64;
        let number = *self.numbers.entry(item).or_insert(next);
        if number == next {
            self.items.push(item);
        }
        number
    }

    /// The items by their numbers.
    #[must_use]
    pub fn items(&self) -> &[T] {
        &self.items
    }

    #[must_use]
    pub fn into_items(self) -> Vec<T> {
        self.items
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_depend_on_nothing_but_which_items_are_equal() {
        let numbers = |items: [u32; 5]| {
            let mut numbering = Numbering::default();
            let numbers = items.map(|item| numbering.number(item));
            (numbers, numbering.into_items())
        };
        assert_eq!(numbers([7, 9, 7, 8, 9]), ([0, 1, 0, 2, 1], vec![7, 9, 8]));
        assert_eq!(numbers([1, 2, 1, 3, 2]).0, [0, 1, 0, 2, 1]);
        assert_ne!(numbers([1, 2, 1, 3, 3]).0, [0, 1, 0, 2, 1]);
    }
}
