//! Packs blobs into batches, and decides what to do with a batch that a server refuses.

use std::collections::VecDeque;

use crate::reapi::cas::learned_limit::LearnedLimit;
use crate::reapi::failure::{Failure, FailureKind};

/// What one blob adds to a message besides its bytes: hash, sizes, field tags, status.
const ENTRY_OVERHEAD: usize = 128;

/// Bytes that a blob takes in a batch.
pub(crate) fn cost(size: u64) -> usize {
    usize::try_from(size)
        .unwrap_or(usize::MAX)
        .saturating_add(ENTRY_OVERHEAD)
}

/// Takes as many items from the front as fit into `limit` bytes and `most` items, but at least one.
pub(crate) fn take_front<T>(
    items: &mut VecDeque<T>,
    limit: usize,
    most: usize,
    cost_of: impl Fn(&T) -> usize,
) -> Vec<T> {
    let mut taken = Vec::new();
    let mut total = 0_usize;
    while let Some(next) = items.front() {
        total = total.saturating_add(cost_of(next));
        if !taken.is_empty() && (total > limit || taken.len() >= most) {
            break;
        }
        taken.extend(items.pop_front());
    }
    taken
}

/// What to do with the items of a batch whose call has failed.
#[derive(Debug)]
pub(crate) enum Recovery<T> {
    /// Try each half.
    Split([Vec<T>; 2]),
    /// Give each item a stream of its own.
    Stream(Vec<T>),
    Fail(Vec<T>, Failure),
}

/// Several servers accept or return less than they advertise: `limit` remembers that a batch of
/// `total` bytes was refused.
pub(crate) fn recover<T>(
    mut batch: Vec<T>,
    total: usize,
    failure: Failure,
    limit: &LearnedLimit,
) -> Recovery<T> {
    match failure.kind {
        FailureKind::TooLarge | FailureKind::Rejected | FailureKind::Unsupported
            if batch.len() > 1 =>
        {
            limit.refuse(total);
            let back = batch.split_off(batch.len() / 2);
            Recovery::Split([back, batch])
        }
        FailureKind::Unsupported => {
            limit.close();
            Recovery::Stream(batch)
        }
        FailureKind::TooLarge | FailureKind::Rejected => Recovery::Stream(batch),
        _ => Recovery::Fail(batch, failure),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn batches_hold_every_item_once_in_order_and_keep_the_limits(
            sizes in prop::collection::vec(0_u64..5000, 0..200),
            limit in 1_usize..20_000,
            most in 1_usize..50,
        ) {
            let mut queue: VecDeque<(usize, u64)> = sizes.iter().copied().enumerate().collect();
            let mut seen = Vec::new();
            while !queue.is_empty() {
                let batch = take_front(&mut queue, limit, most, |item| cost(item.1));
                let total: usize = batch.iter().map(|item| cost(item.1)).sum();
                prop_assert!(!batch.is_empty() && batch.len() <= most);
                prop_assert!(total <= limit || batch.len() == 1);
                seen.extend(batch.into_iter().map(|item| item.0));
            }
            prop_assert_eq!(seen, (0..sizes.len()).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_size_that_no_message_holds_does_not_overflow() {
        assert_eq!(cost(u64::MAX), usize::MAX);
    }
}
