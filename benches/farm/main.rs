//! relto with a farm, compared with what the farm and the machine allow; `benches/README.md` says
//! how to read it.
//!
//! Takes `--runs N`, `--jobs N` and the names of benchmarks to run only those. Prints tables of
//! ratios: absolute times depend on the machine.

mod ahead;
mod crowd;
mod links;
mod replay;
mod scale;
mod servers;
mod transfer;

use std::collections::HashSet;
use std::io::{self, Write as _};
use std::path::Path;

use relto::internals::digest::Digest;
use relto_testing::farm::Farm;

/// What stands above lines of a comparison.
const HEAD: &str = "                                 ours     theirs    ratio  (range)\n";

fn main() {
    let arguments: Vec<_> = std::env::args()
        .skip(1)
        .filter(|argument| argument != "--bench")
        .collect();
    if let [child, kind, address, dir] = &arguments[..]
        && child == "--child"
    {
        return transfer::be(kind, address, Path::new(dir));
    }
    let value = |name: &str| {
        let at = arguments.iter().position(|argument| argument == name)?;
        Some(arguments[at + 1].parse().expect("a number"))
    };
    let (runs, jobs) = (value("--runs").unwrap_or(5), value("--jobs"));
    let names = ["replay", "scale", "transfer", "crowd", "ahead", "servers"];
    let is_named = |name: &str| arguments.iter().any(|argument| argument == name);
    let all = !names.iter().any(|name| is_named(name));
    for name in names.into_iter().filter(|name| all || is_named(name)) {
        show(&format!("\n== {name}, {runs} runs, load {}\n", load()));
        match name {
            "replay" => replay::replay(runs),
            "scale" => scale::scale(runs, jobs),
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

/// Of the last minute: what else the machine did.
fn load() -> String {
    let text = fs_err::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().unwrap_or("?").to_owned()
}

fn show(text: &str) {
    io::stdout()
        .write_all(text.as_bytes())
        .expect("stdout is open");
}
