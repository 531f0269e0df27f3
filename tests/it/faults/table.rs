//! The table of the campaign, as Markdown.

use std::time::Duration;

use crate::support::outcome::Counts;

use super::case::Step;

/// What one case cost.
pub(super) struct Row {
    pub(super) step: Step,
    pub(super) fault: String,
    /// Beyond an undisturbed link, with fallback.
    pub(super) extra: Duration,
    /// Where the jobs ran, with fallback.
    pub(super) counts: Counts,
    /// How it ended without fallback, and how much later.
    pub(super) strict: String,
    pub(super) strict_extra: Duration,
    /// Most memory of both.
    pub(super) megabytes: u64,
    pub(super) complaints: Vec<String>,
}

/// Longest text in a cell.
const WIDTH: usize = 150;

#[expect(clippy::print_stdout, reason = "the table is for people")]
pub(super) fn print(rows: &[Row]) {
    let mut rows: Vec<_> = rows.iter().collect();
    rows.sort_by_key(|row| (row.step, row.fault.clone()));
    println!("\n| step | fault | fallback on: + s | jobs ran | fallback off: + s | outcome | MB |");
    println!("|---|---|---|---|---|---|---|");
    for row in rows {
        println!(
            "| {} | {} | {:.1} | {} | {:.1} | {} | {} |",
            row.step.name(),
            row.fault,
            row.extra.as_secs_f64(),
            places(row.counts),
            row.strict_extra.as_secs_f64(),
            cell(&row.strict),
            row.megabytes,
        );
    }
}

pub(super) fn join(complaints: &[&String]) -> String {
    let joined: Vec<_> = complaints.iter().map(|text| text.as_str()).collect();
    format!("{} complaints\n{}", joined.len(), joined.join("\n"))
}

fn places(counts: Counts) -> String {
    let places = [
        (counts.cached, "cached"),
        (counts.remote, "remote"),
        (counts.local, "local"),
        (counts.in_place, "in place"),
    ];
    let some = places.iter().filter(|(count, _)| *count > 0);
    let some: Vec<_> = some
        .map(|(count, place)| format!("{count} {place}"))
        .collect();
    some.join(", ")
}

fn cell(text: &str) -> String {
    let text = text.replace('|', "\\|");
    if text.chars().count() <= WIDTH {
        return text;
    }
    text.chars().take(WIDTH).chain("...".chars()).collect()
}
