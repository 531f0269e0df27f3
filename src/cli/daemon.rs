//! `relto daemon status|stop`, and the hidden command that runs the daemon.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::time::Duration;

use indicatif::{HumanBytes, HumanDuration};

use super::arguments::DaemonAction;
use super::runtime::{daemon_dir, small_runtime};
use super::{CommandContext, CommandError, output};
use crate::config::Environment;
use crate::daemon::{
    self, Build, DaemonConfig, Purpose, RuntimeDir, SERVE, Status, TLS_VARIABLES, Unavailable,
    control,
};
use crate::error::{ExitCode, Hinted};
use crate::report::{Totals, counts};

/// There is no directory for a daemon.
#[derive(Debug, thiserror::Error)]
#[error("no directory for the daemon")]
struct NoRuntimeDir;

impl Hinted for NoRuntimeDir {
    fn hints(&self) -> Vec<String> {
        vec!["set `XDG_RUNTIME_DIR` or `HOME`".to_owned()]
    }
}

/// The daemon is there, but cannot be asked.
#[derive(Debug, thiserror::Error)]
#[error("cannot query the daemon")]
struct DaemonUnreachable(#[source] Unavailable);

impl Hinted for DaemonUnreachable {
    fn hints(&self) -> Vec<String> {
        match &self.0 {
            Unavailable::RuntimeDir(error) => error.hints(),
            _ => Vec::new(),
        }
    }
}

/// Becomes the daemon if the arguments say so.
pub(super) fn dispatch(arguments: &[OsString]) -> Option<ExitCode> {
    let (dir, idle_timeout) = match arguments {
        [name, dir, idle_timeout] if name == SERVE => (dir, idle_timeout.to_str()?.parse().ok()?),
        _ => return None,
    };
    crate::process::keep_exit_codes();
    crate::process::keep_own_rights();
    let environment = Environment::of_process();
    let of_tls = |name: &&str| Some(((*name).into(), environment.get(name)?.to_owned()));
    let served = daemon::serve(DaemonConfig {
        runtime_dir: RuntimeDir::new(dir),
        idle_timeout: Duration::from_millis(idle_timeout),
        tls_environment: TLS_VARIABLES.iter().filter_map(of_tls).collect(),
    });
    Some(match served {
        Ok(()) => ExitCode::Success,
        Err(error) => {
            output::warning(&crate::config::Warning {
                text: format!("the daemon stops: {error}"),
                hint: None,
            });
            ExitCode::Failure
        }
    })
}

pub(super) fn run(
    context: &CommandContext,
    action: DaemonAction,
) -> Result<ExitCode, CommandError> {
    let place =
        daemon_dir(&context.settings).ok_or_else(|| Box::new(NoRuntimeDir) as CommandError)?;
    let build = Build::of_process().map_err(|error| {
        Box::new(DaemonUnreachable(Unavailable::NotStarted(error))) as CommandError
    })?;
    let want = match action {
        DaemonAction::Status => Purpose::Status,
        DaemonAction::Stop => Purpose::Stop,
    };
    let asked = small_runtime()
        .map_err(|error| Box::new(error) as CommandError)?
        .block_on(control(&place, &build, want));
    match (action, asked) {
        (DaemonAction::Status, Ok(status)) => {
            output::print(&status_text(&status.unwrap_or_default()));
            Ok(ExitCode::Success)
        }
        (DaemonAction::Stop, Ok(_)) => {
            output::print("the daemon has stopped\n");
            Ok(ExitCode::Success)
        }
        (action, Err(Unavailable::None)) => {
            output::print("no daemon is running\n");
            Ok(match action {
                DaemonAction::Status => ExitCode::Failure,
                DaemonAction::Stop => ExitCode::Success,
            })
        }
        (_, Err(unavailable)) => Err(Box::new(DaemonUnreachable(unavailable))),
    }
}

fn status_text(status: &Status) -> String {
    let totals = Totals::of_record(status.origins.total(), &status.origins, status.uptime);
    let jobs = counts(&totals);
    let mut text = String::new();
    let _ = write!(
        text,
        "relto {}, process {}, for {}\n\
         jobs: {jobs}\n\
         links: {} ended, {} under way; {} modules uploaded ahead\n\
         memory: {}, {} files and {} settings known\n\
         stops after {} without work\n",
        status.version,
        status.process,
        HumanDuration(status.uptime),
        status.links,
        status.under_way,
        status.ahead,
        HumanBytes(status.memory),
        status.files,
        status.engines,
        HumanDuration(status.idle_timeout),
    );
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::OriginCounts;

    #[test]
    fn a_status_fits_a_few_lines() {
        let status = Status {
            process: 7,
            version: "1.2.3".to_owned(),
            uptime: Duration::from_mins(5),
            links: 3,
            under_way: 1,
            origins: OriginCounts {
                disk_cache: 10,
                local: 1,
                ..OriginCounts::default()
            },
            ahead: 5,
            engines: 1,
            files: 42,
            memory: 20 << 20,
            idle_timeout: Duration::from_mins(10),
        };
        insta::assert_snapshot!(status_text(&status), @r"
        relto 1.2.3, process 7, for 5 minutes
        jobs: 11 jobs, 10 cached, 1 local
        links: 3 ended, 1 under way; 5 modules uploaded ahead
        memory: 20.00 MiB, 42 files and 1 settings known
        stops after 10 minutes without work
        ");
    }
}
