//! Packs blobs into batches, purely.
//!
//! Enters: sizes and a limit. Leaves: which item goes into which batch. Who sends them, and what a
//! server's limit turned out to be, is the business of `upload`, `download` and `limits`.

use crate::reapi::failure::{Failure, FailureKind};

/// What one blob adds to a message beside its bytes: hash, sizes, field tags, status.
pub(crate) const ENTRY_OVERHEAD: usize = 128;

/// Bytes that a blob takes in a batch.
pub(crate) fn cost(size: u64) -> usize {
    usize::try_from(size)
        .unwrap_or(usize::MAX)
        .saturating_add(ENTRY_OVERHEAD)
}

/// Whether less at once, or a stream, may succeed where a batch failed.
pub(crate) fn may_shrink(failure: &Failure) -> bool {
    matches!(
        failure.kind,
        FailureKind::TooLarge | FailureKind::Rejected | FailureKind::Unsupported
    )
}

/// Takes from the front of `items` as many as fit into `limit` bytes and `most` items, at least
/// one.
///
/// Order is kept: who asked first is served first.
pub(crate) fn take_front<T>(
    items: &mut std::collections::VecDeque<T>,
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

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn batches_hold_every_item_once_in_order_and_keep_the_limits(
            sizes in prop::collection::vec(0_u64..5000, 0..200), limit in 1_usize..20_000, most in 1_usize..50,
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
