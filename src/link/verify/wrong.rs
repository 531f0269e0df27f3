//! Reports the outcome of verifications to the user.

use std::fmt;
use std::path::PathBuf;

use super::evidence::NOTHING;
use super::{CachePlace, DigestPair, Hit, OutputDigest, Verifier, difference};
use crate::cache::CacheError;
use crate::digest::Digest;
use crate::error::Hinted;
use crate::exec::remote::CachedAtFarm;
use crate::link::delivery::Delivery;
use crate::link::slices::stored_key;
use crate::pb::reapi::ExecutedActionMetadata;
use crate::task::lock;
use crate::text;

const HINT: &str = "an object that this machine does not make came into a cache: who may write there? `verify=100` compares all that comes from caches";

/// Longest name of a worker that is shown.
const LONGEST_NAME: usize = 200;

/// What this machine makes instead of a wrong result.
#[derive(Debug)]
pub(super) enum Instead {
    /// Another one, in two compiles.
    Twice,
    /// None from the action alone, for that reason; another one in place.
    InPlace(String),
    /// None from the action alone, for that reason.
    Nothing(String),
}

/// A cached result that is not what its action gives, and what became of it.
#[derive(Debug)]
pub(super) struct WrongResult {
    module: String,
    action: Digest,
    /// The output that differs, if it is not the object.
    output: Option<String>,
    cached: Digest,
    /// `None` if nothing was made.
    fresh: Option<Digest>,
    instead: Instead,
    place: CachePlace,
    made_by: Option<Box<ExecutedActionMetadata>>,
    delivered: bool,
    /// The entry of the disk cache.
    entry: Option<PathBuf>,
    /// Where both are kept, or why not.
    pub(super) kept: Result<PathBuf, String>,
    /// `None` without a disk cache.
    pub(super) in_disk_cache: Option<Result<(), CacheError>>,
    /// The address of the farm's action cache; `None` without a farm.
    pub(super) farm: Option<String>,
    /// `None` where the farm was not asked.
    pub(super) at_farm: Option<CachedAtFarm>,
}

impl WrongResult {
    /// `fresh` are the outputs that were made, as far as there are any.
    pub(super) fn new(
        hit: &Hit,
        instead: Instead,
        fresh: &[OutputDigest],
        delivery: &Delivery,
    ) -> Self {
        let hermetic = hit.hermetic();
        let number = difference(&hit.outputs, fresh).unwrap_or(0);
        let cache = delivery.disk_cache.as_ref();
        let key = match (hit.place, &hermetic.slice, cache) {
            (CachePlace::SliceKey, Some(slice), Some(cache)) => stored_key(cache, slice),
            _ => hermetic.key(),
        };
        Self {
            module: hit.job().module.clone(),
            action: hermetic.key(),
            output: (number > 0).then(|| hermetic.job.outputs[number].name.clone()),
            cached: hit.outputs[number].whole,
            fresh: fresh.get(number).map(|output| output.whole),
            instead,
            place: hit.place,
            made_by: hit.made_by.clone(),
            delivered: hit.delivered,
            entry: cache.map(|cache| cache.result_path(&key)),
            kept: Err(String::new()),
            in_disk_cache: None,
            farm: None,
            at_farm: None,
        }
    }

    /// The name of the directory where both results are kept.
    pub(super) fn name(&self) -> String {
        let [action, cached] = [self.action, self.cached].map(|it| it.hex());
        let fresh = self.fresh.map(|it| it.hex());
        let fresh = fresh.as_ref().map_or(NOTHING, |it| &it[..8]);
        format!("{}-{}-{fresh}", &action[..16], &cached[..8])
    }

    fn fresh(&self) -> String {
        let fresh = self.fresh.map(|it| it.to_string());
        fresh.unwrap_or_else(|| NOTHING.to_owned())
    }

    /// Whether no cache that was asked holds it any more.
    fn is_gone(&self) -> bool {
        let at_farm = self.at_farm.as_ref();
        let may_stay =
            |it: &CachedAtFarm| matches!(it, CachedAtFarm::Stays(_) | CachedAtFarm::Unknown(_));
        !at_farm.is_some_and(may_stay) && !matches!(self.in_disk_cache, Some(Err(_)))
    }

    /// For the file beside the kept results.
    pub(super) fn report(&self) -> String {
        let mut report = format!(
            "module {}\naction {}\ncached {}\nfresh  {}\n",
            self.module,
            self.action,
            self.cached,
            self.fresh()
        );
        if let Some(metadata) = &self.made_by {
            report.push_str(&text::messages(&format!("{metadata:#?}\n")));
        }
        report
    }

    fn found(&self) -> String {
        let entry = || match &self.entry {
            Some(path) => format!(" (`{}`)", path.display()),
            None => String::new(),
        };
        match (self.place, &self.farm) {
            (CachePlace::Disk, _) => format!("the disk cache{}", entry()),
            (CachePlace::SliceKey, _) => format!("the disk cache, by its slice key{}", entry()),
            (CachePlace::Farm, Some(address)) => format!("the action cache of `{address}`"),
            (CachePlace::FarmSliceKey, Some(address)) => {
                format!("the action cache of `{address}`, by its slice key")
            }
            (CachePlace::FarmSliceKey, None) => {
                "the farm's action cache, by its slice key".to_owned()
            }
            (CachePlace::Farm, None) => "the farm's action cache".to_owned(),
        }
    }
}

impl fmt::Display for WrongResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match &self.output {
            Some(output) => format!("another `{output}`"),
            None => "another object".to_owned(),
        };
        let module = &self.module;
        match &self.instead {
            Instead::Twice => write!(
                f,
                "the cached result of `{module}` is wrong: this machine makes {what}, twice the same"
            )?,
            Instead::InPlace(reason) => write!(
                f,
                "the cached result of `{module}` is wrong: its action alone does not compile here ({reason}), and in place the compiler makes {what}"
            )?,
            Instead::Nothing(reason) => write!(
                f,
                "the cached result of `{module}` is wrong: its action alone does not compile here ({reason})"
            )?,
        }
        write!(f, "\n  cached: {}, from {}", self.cached, self.found())?;
        if let Some(metadata) = &self.made_by {
            write!(f, ", {}", Execution(metadata))?;
        }
        write!(
            f,
            "\n  fresh:  {}{}\n  action: {}",
            self.fresh(),
            if self.delivered {
                ", delivered instead"
            } else {
                ""
            },
            self.action
        )?;
        match &self.in_disk_cache {
            Some(Ok(())) if !matches!(self.instead, Instead::Twice) => {
                f.write_str("\n  the disk cache does not have it any more")?;
            }
            Some(Ok(())) => f.write_str("\n  the disk cache has the fresh one now")?,
            Some(Err(error)) => write!(f, "\n  the disk cache is not corrected: {error}")?,
            None => {}
        }
        if let Some(address) = &self.farm {
            write!(
                f,
                "\n  the action cache of `{address}` {}",
                AtFarm(self.at_farm.as_ref())
            )?;
        }
        match &self.kept {
            Ok(dir) => write!(f, "\n  both are kept in `{}`", dir.display()),
            Err(reason) => write!(f, "\n  they are not kept: {reason}"),
        }
    }
}

struct AtFarm<'a>(Option<&'a CachedAtFarm>);

impl fmt::Display for AtFarm<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            None => f.write_str("was not asked in this link; `relto doctor --verify` asks it"),
            Some(CachedAtFarm::Absent) => f.write_str("has no result of it"),
            Some(CachedAtFarm::Equal) => f.write_str("has the fresh one"),
            Some(CachedAtFarm::Replaced) => f.write_str("has the fresh one now"),
            Some(CachedAtFarm::Stays(reason)) => write!(f, "keeps the wrong one: {reason}"),
            Some(CachedAtFarm::Unknown(reason)) => write!(f, "cannot be asked: {reason}"),
        }
    }
}

/// Who made a result, and when, as far as the cache says.
struct Execution<'a>(&'a ExecutedActionMetadata);

impl fmt::Display for Execution<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let worker = text::one_line(&self.0.worker, LONGEST_NAME);
        match &worker[..] {
            "" => f.write_str("made by an unnamed worker")?,
            // What relto stores of its own results.
            "relto" => f.write_str("compiled by relto")?,
            worker => write!(f, "made by worker `{worker}`")?,
        }
        let times = [
            ("queued", &self.0.queued_timestamp),
            ("started", &self.0.execution_start_timestamp),
            ("completed", &self.0.execution_completed_timestamp),
        ];
        for (what, time) in times {
            if let Some(time) = time {
                write!(f, ", {what} {time}")?;
            }
        }
        Ok(())
    }
}

/// Cached results of a link were wrong, and the user wants that to fail it.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.join("\n"))]
pub struct WrongResults(Vec<String>);

impl WrongResults {
    /// Reports, each with whether the wrong result is gone from the caches that were asked.
    pub(super) fn new(reports: Vec<(String, bool)>) -> Self {
        let outcome = if reports.iter().all(|(_, gone)| *gone) {
            "every wrong result is replaced or removed"
        } else {
            "not every wrong result is replaced, see above"
        };
        let end = format!("{outcome}; the link fails because of `verify_fail`");
        let reports = reports.into_iter().map(|(text, _)| text);
        Self(reports.chain([end]).collect())
    }
}

impl Hinted for WrongResults {
    fn hints(&self) -> Vec<String> {
        vec![HINT.to_owned()]
    }
}

impl Verifier {
    pub(super) fn report_wrong(&self, wrong: &WrongResult) {
        let text = wrong.to_string();
        if self.options.fail {
            lock(&self.wrong).push((text, wrong.is_gone()));
        } else {
            self.events.warning(text, Some(HINT));
        }
    }

    /// The user hears of one, the log has all.
    pub(super) fn report_nondeterministic(&self, hit: &Hit, [one, other]: DigestPair) {
        let job = hit.job();
        let compiler = job.command_line.first().map_or("", String::as_str);
        let text = format!(
            "the compiler `{compiler}` is not deterministic: it makes two different results of `{}`; its cached one is kept, unverified\n  \
             one:   {one}\n  other: {other}",
            job.module
        );
        self.warn_once(super::Reported::Nondeterministic, text, None);
    }

    pub(super) fn report_unverified(&self, hit: &Hit, differs: bool, reason: &str) {
        let module = &hit.job().module;
        let text = if differs {
            format!(
                "the cached result of `{module}` differs from what this machine makes, which is delivered; a second compile cannot confirm that: {reason}"
            )
        } else {
            format!("the cached result of `{module}` is not verified: {reason}")
        };
        self.warn_once(super::Reported::Unverified, text, None);
    }

    fn warn_once(&self, kind: super::Reported, text: String, hint: Option<&str>) {
        if lock(&self.reported).insert(kind) {
            self.events.warning(text, hint);
        } else {
            self.events.note(text);
        }
    }
}
