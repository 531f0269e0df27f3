//! `servers`: what a job costs on a real farm of two workers beyond the compiler's own time there.

use std::time::Duration;

use relto::internals::history::{History, ModuleKey};
use relto::internals::state::{FILE_NAME, State};

use crate::links::Multiplied;
use crate::replay::number;
use relto_testing::link::Home;
use relto_testing::measure::{median, run, show};
use relto_testing::program::zstd;
use relto_testing::servers::Kind;

const SLOTS: usize = 2;

pub(crate) fn servers(runs: usize) {
    show("zstd on a real farm with two workers, nothing cached but the toolchain\n");
    show(
        "                 jobs   compiling, s   wall x 2, s   beyond it, ms a job   relto's processor, ms a job\n",
    );
    for kind in [Kind::Buildbarn, Kind::Casd] {
        let Some(server) = kind.shared() else {
            show(&format!(
                "{:12} is not there: see the head of tests/run.sh\n",
                kind.name()
            ));
            continue;
        };
        let link = Multiplied::new(&zstd());
        let home = Home::new();
        let mut options = vec![
            "--strategy=remote".to_owned(),
            "--disk-cache=off".to_owned(),
        ];
        for (name, value) in server.environment() {
            let name = name.trim_start_matches("RELTO_").to_lowercase();
            options.push(format!("--{name}={value}"));
        }
        let file = link.times(1);
        run(&link.relto(&home, &file, &options), 1);
        let mut rows = Vec::new();
        for round in 0..runs {
            let salted = [
                &options[..],
                &[format!("--cache-salt={round}-{}", std::process::id())],
            ];
            let sample = run(&link.relto(&home, &file, &salted.concat()), 1);
            rows.push((sample, compiling(&link, &home)));
        }
        let jobs = number(link.jobs());
        let all = |wall: f64| wall * number(SLOTS);
        show(&format!(
            "{:12}{:9}  {:13.2}  {:12.2}  {:20.1}  {:26.1}\n",
            kind.name(),
            link.jobs(),
            median(rows.iter().map(|(_, compiling)| *compiling)),
            median(rows.iter().map(|(sample, _)| all(sample.wall))),
            median(
                rows.iter()
                    .map(|(s, compiling)| (all(s.wall) - compiling) * 1000.0 / jobs)
            ),
            median(rows.iter().map(|(sample, _)| sample.cpu * 1000.0 / jobs)),
        ));
    }
}

/// What the workers' compilers took in the last link, as relto remembers it.
fn compiling(link: &Multiplied, home: &Home) -> f64 {
    let state = State::at(&home.cache().join("relto").join(FILE_NAME));
    let history = History::new(std::sync::Arc::new(state));
    let modules = link.objects.iter();
    let keys: Vec<_> = modules
        .map(|(module, _)| ModuleKey::of(module.as_bytes()))
        .collect();
    let known = history.estimates(&keys);
    let sum: Duration = known.values().map(|estimate| estimate.duration).sum();
    sum.as_secs_f64()
}
