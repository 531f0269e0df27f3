//! Random programs are linked in random circumstances, and every object is compared with the one
//! that clang writes in place.
//!
//! A seed is one program ([`lab`]): it is edited a few times, and each of its states is linked many
//! times, each time in another [`world`]: options, a damaged cache, a farm with faults, a kill, inputs of
//! another state. A link that works has clang's objects and nothing else; one that may fail leaves
//! no object that is not clang's.

mod lab;
mod world;

use lab::{Lab, Snapshot};
use world::World;

use crate::slices::source::Random;
use crate::support::campaign::{Campaign, SeedCounts};
use crate::support::llvm::Llvm;
use crate::support::skip::{is_long, skip};

/// States of a program.
const STATES: usize = 4;

/// Links of each state. What all of them share, modules and clang's objects, costs as much as some
/// links do.
fn links() -> usize {
    if is_long() { 20 } else { 8 }
}

#[test]
fn random_links_in_random_circumstances_have_the_objects_of_clang() {
    if Llvm::get().major() < 22 {
        return skip("older releases cannot distribute members of archives");
    }
    Campaign::begin("links", 1).play(play);
}

fn play(seed: u64, counts: &mut SeedCounts) -> Result<(), String> {
    let mut random = Random::new(seed);
    let mut lab = Lab::new(&mut random);
    let mut before: Option<Snapshot> = None;
    counts.count("programs", 1);
    for state in 0..STATES {
        if state > 0 {
            lab.edit(&mut random);
        }
        let snapshot = lab.link(&mut random);
        counts.count("states", 1);
        counts.count("jobs", snapshot.jobs() as u64);
        for number in 0..links() {
            let world = World::new(&mut random, &lab);
            let link = world.link(&lab, &snapshot, before.as_ref());
            counts.count("links", 1);
            counts.count(world.name(), 1);
            if let Err(complaint) = link.check(world.ends()) {
                let kept = link.keep();
                return Err(format!(
                    "state {state}, link {number} of {}, {world:?}: {complaint}\nkept in {}",
                    links(),
                    kept.display()
                ));
            }
        }
        before = Some(snapshot);
    }
    Ok(())
}
