//! Random programs are linked in random circumstances, and every object is compared with the one
//! that clang writes in place.
//!
//! A seed is one program ([`lab`]): it is edited a few times, and each of its states is linked a few
//! times in another [`world`]: options, a damaged cache, a farm with faults, a kill, inputs of
//! another state. A link that works has clang's objects and nothing else; one that may fail leaves
//! no object that is not clang's.

mod lab;
mod world;

use lab::{Lab, Snapshot};
use world::{Ends, World};

use crate::slices::source::Random;
use crate::support::campaign::Campaign;
use crate::support::llvm::Llvm;
use crate::support::skip::skip;

/// States of a program, and links of each.
const STATES: usize = 4;
const LINKS: usize = 8;

#[test]
fn random_links_in_random_circumstances_have_the_objects_of_clang() {
    if Llvm::get().major() < 22 {
        return skip("older releases cannot distribute members of archives");
    }
    let mut campaign = Campaign::begin("links", 1);
    while let Some(seed) = campaign.seed() {
        play(seed, &mut campaign);
    }
}

fn play(seed: u64, campaign: &mut Campaign) {
    let mut random = Random::new(seed);
    let mut lab = Lab::new(&mut random);
    let mut before: Option<Snapshot> = None;
    for state in 0..STATES {
        if state > 0 {
            lab.edit(&mut random);
        }
        let snapshot = lab.link(&mut random);
        for number in 0..LINKS {
            let world = World::new(&mut random, &lab);
            let link = world.link(&lab, &snapshot, before.as_ref());
            campaign.count("links", 1);
            campaign.count(world.name(), 1);
            let ended = link.check(world.ends());
            if let Err(complaint) = ended {
                campaign.count("wrong", 1);
                let kept = link.keep();
                panic!(
                    "seed {seed}, state {state}, link {number}, {world:?}: {complaint}\nkept in {}",
                    kept.display()
                );
            }
            if world.ends() == Ends::Works && number == 0 {
                campaign.count("jobs", snapshot.jobs() as u64);
            }
        }
        before = Some(snapshot);
    }
    campaign.count("wrong", 0);
}
