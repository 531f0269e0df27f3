//! relto with a farm, compared with what the farm and the machine allow; `benches/README.md` says
//! how to read it.
//!
//! Takes `--runs N`, `--jobs N` and the names of benchmarks to run only those. Prints tables of
//! ratios: absolute times depend on the machine.

mod ahead;
mod crowd;
mod edited;
mod links;
mod replay;
mod scale;
mod servers;
mod slices;
mod transfer;

use std::collections::HashSet;
use std::path::Path;

use relto::internals::digest::Digest;
use relto_testing::farm::Farm;
use relto_testing::measure::{BenchArguments, load, show};

fn main() {
    let arguments = BenchArguments::get();
    if let [child, kind, address, dir] = arguments.words()
        && child == "--child"
    {
        return transfer::be(kind, address, Path::new(dir));
    }
    let runs = arguments.number("--runs").unwrap_or(5);
    let jobs = arguments.number("--jobs");
    let names = [
        "replay", "scale", "edited", "slices", "launched", "transfer", "crowd", "ahead", "servers",
    ];
    let all = !names.iter().any(|name| arguments.has(name));
    for name in names.into_iter().filter(|name| all || arguments.has(name)) {
        show(&format!("\n== {name}, {runs} runs, load {}\n", load()));
        match name {
            "replay" => replay::replay(runs),
            "scale" => scale::scale(runs, jobs),
            "edited" => edited::edited(jobs),
            "slices" => slices::slices(runs, arguments.has("rocksdb")),
            "launched" => slices::launched(runs),
            "transfer" => transfer::transfer(runs),
            "crowd" => crowd::crowd(runs),
            "ahead" => ahead::ahead(runs),
            _ => servers::servers(runs),
        }
    }
}

/// The farm has these blobs and nothing else, and counts its bytes anew.
fn reset(farm: &Farm, blobs: HashSet<Digest>) {
    farm.evict_all();
    farm.claim(blobs);
    farm.clear_results();
    farm.forget_operations();
    farm.forget_record();
}
