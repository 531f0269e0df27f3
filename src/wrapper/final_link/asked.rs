//! Native members of archives that only objects of LTO ask for, such as `memcpy`, which a code
//! generator calls.
//!
//! The linker's own LTO reads the objects one by one, and links such a member before the object that
//! asks for it; that of Apple's linkers links all of them before the objects, and those that are no
//! members of archives where the command line names them.

use std::ops::Range;
use std::path::Path;

use crate::fs::read_regular;
use crate::wrapper::resolution::of_object;
use crate::wrapper::{Flavour, Jobs, LinkPlan, Refusal, in_parallel};

/// Adds them to the native files. Returns for each object the numbers of those that come before it.
pub(super) fn add_members(plan: &LinkPlan, jobs: &mut Jobs) -> Result<Vec<Range<usize>>, Refusal> {
    let regular = jobs.thin.regular.iter().map(|path| &**path);
    let objects: Vec<&Path> = regular
        .chain(jobs.modules.objects().map(|(path, _)| path))
        .collect();
    let natives = &mut jobs.thin.natives;
    let Some(resolution) = jobs.resolution.as_mut().filter(|it| it.has_more()) else {
        return Ok(vec![natives.len()..natives.len(); objects.len()]);
    };
    let symbols = in_parallel(&objects, |path| {
        let object = read_regular(path).map_err(|error| Refusal::unreadable(path, &error))?;
        // What cannot be read is refused when it is linked.
        let table = of_object(plan.flavour, &object).unwrap_or_default();
        Ok(resolution.unsettled(table.symbols))
    })?;
    let asked = resolution.go_on(symbols);
    if plan.flavour == Flavour::MachO {
        natives.extend(asked.into_iter().flatten());
        let asked = vec![natives.len()..natives.len(); objects.len()];
        jobs.thin.sort(resolution);
        return Ok(asked);
    }
    let numbers = asked.into_iter().map(|members| {
        let before = natives.len();
        natives.extend(members);
        before..natives.len()
    });
    Ok(numbers.collect())
}
