//! Lanes of a chart of a link, one for each slot.

use std::time::Duration;

/// The first lane that is free at `start`, which is taken until `end`. `lanes` holds when each
/// becomes free.
pub fn lane(lanes: &mut Vec<Duration>, start: Duration, end: Duration) -> usize {
    let free = lanes.iter().position(|free| *free <= start);
    let lane = free.unwrap_or(lanes.len());
    if lane == lanes.len() {
        lanes.push(end);
    } else {
        lanes[lane] = end;
    }
    lane
}
