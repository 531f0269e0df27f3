//! Hashes modules, and sends them to the farm, before the link that needs them.
//!
//! The link finds the digests in the hash cache and the modules in the farm's CAS. It does not rely
//! on either: it asks for what it needs as ever, and sends what is missing.

mod module_digest;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures_util::StreamExt as _;
use serde::{Deserialize, Serialize};

use self::module_digest::{NotAModule, module_digest, wait_until_settled};
use crate::compiler::{CompilerError, ResolvedToolchain};
use crate::digest::{Digest, DigestFunction};
use crate::error::Hinted;
use crate::events::Events;
use crate::exec::remote::toolchain_blobs;
use crate::hash_cache::HashCache;
use crate::job::{Caller, JobFile};
use crate::launcher::Throttle;
use crate::link::{Engine, FarmOptions, Options};
use crate::reapi::{Blob, Client, ConnectError, Failure, FailureKind};
use crate::task::{Task, spawn_blocking};

/// Files under way at a time: enough to fill the client's calls.
const AT_ONCE: usize = 256;

/// What became of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PrefetchOutcome {
    /// Its digest is known; there is no farm. Sizes are in bytes.
    Hashed(u64),
    /// It was sent to the farm.
    Sent(u64),
    /// The farm had it.
    Present(u64),
    /// A link does not hand such a file to its backends; why.
    NotAModule(String),
}

/// Why something is not at the farm.
#[derive(Debug, thiserror::Error)]
pub enum PrefetchError {
    #[error("the farm cannot be used")]
    Farm(#[source] Box<ConnectError>),
    #[error("cannot prepare `{}`", file.display())]
    Unreadable {
        file: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("cannot send `{}` to the farm", file.display())]
    NotSent {
        file: PathBuf,
        #[source]
        source: Failure,
    },
    #[error("cannot prepare the compiler `{compiler}`")]
    Compiler {
        compiler: String,
        #[source]
        source: Box<CompilerError>,
    },
}

impl PrefetchError {
    /// Whether other files may fare better.
    fn is_of_one_file(&self) -> bool {
        match self {
            Self::Unreadable { .. } => true,
            Self::NotSent { source, .. } => {
                matches!(source.kind, FailureKind::Source | FailureKind::Rejected)
            }
            Self::Farm(_) | Self::Compiler { .. } => false,
        }
    }
}

impl Hinted for PrefetchError {
    fn hints(&self) -> Vec<String> {
        match self {
            Self::Farm(error) => error.hints(),
            Self::Unreadable { .. } => Vec::new(),
            Self::NotSent { source, .. } => source.hints(),
            Self::Compiler { source, .. } => source.hints(),
        }
    }
}

/// What a link will need.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PrefetchRequest {
    pub files: Vec<PathBuf>,
    /// As the link will name it, a path or a bare name.
    pub compiler: Option<String>,
}

/// Prepares all of `wanted` in a process that has nothing else to do. `report` is called for each
/// file as it is done, in no order; a file that cannot be read or sent does not affect the others.
///
/// # Errors
/// The farm or the compiler cannot be used at all.
pub async fn send(
    wanted: PrefetchRequest,
    options: &Options,
    events: Events,
    report: &mut (dyn FnMut(&Path, Result<PrefetchOutcome, PrefetchError>) + Send),
) -> Result<(), PrefetchError> {
    let engine = Engine::single_use(options);
    prefetch(&engine, wanted, options, events, report).await
}

/// The name under which an unreachable or refusing farm is remembered: it is left alone for a
/// moment.
fn absence(farm: &FarmOptions) -> String {
    format!("sending ahead to {}", farm.address())
}

/// Whether to upload what a compile writes: not if the farm was unreachable a moment ago.
#[must_use]
pub fn is_worth_it(farm: &FarmOptions, state_dir: Option<&Path>) -> bool {
    !Throttle::new(state_dir).recently_failed(&absence(farm))
}

/// Returns how many modules have been sent.
///
/// # Errors
/// The last error; only the log reports it.
pub async fn follow(
    engine: &Engine,
    mut wanted: PrefetchRequest,
    options: &Options,
) -> Result<u64, PrefetchError> {
    let is_there = |file: &PathBuf| options.client_context.resolve(file).is_file();
    wanted.files.retain(is_there);
    let throttle = Throttle::new(options.state_dir.as_deref());
    let Some(farm) = &options.farm else {
        return Ok(0);
    };
    if wanted.files.is_empty() || throttle.recently_failed(&absence(farm)) {
        return Ok(0);
    }
    let address = farm.address();
    let compiler = wanted.compiler.take();
    wanted.compiler =
        compiler.filter(|it| throttle.first_time(&format!("`{it}` is on its way to {address}")));
    let (mut count, mut sound) = (0, Ok(()));
    let mut report = |_: &Path, outcome: Result<PrefetchOutcome, PrefetchError>| match outcome {
        Ok(outcome) => count += u64::from(matches!(outcome, PrefetchOutcome::Sent(_))),
        Err(error) => sound = Err(error),
    };
    let sending = prefetch(engine, wanted, options, Events::discarded(), &mut report);
    let sent = sending.await;
    if let Err(PrefetchError::Farm(_) | PrefetchError::NotSent { .. }) = sent {
        throttle.mark_failed(&absence(farm));
    }
    sent.and(sound).map(|()| count)
}

async fn prefetch(
    engine: &Engine,
    wanted: PrefetchRequest,
    options: &Options,
    events: Events,
    report: &mut (dyn FnMut(&Path, Result<PrefetchOutcome, PrefetchError>) + Send),
) -> Result<(), PrefetchError> {
    engine.state().renew();
    let client = match &options.farm {
        None => None,
        Some(farm) => {
            let connected = engine.connect(farm, &events).await;
            Some(connected.map_err(|error| PrefetchError::Farm(Box::new(error)))?)
        }
    };
    let prefetcher = Prefetcher {
        engine,
        options,
        client,
        hash_cache: engine.hash_cache(),
    };
    let sent = prefetcher.all(wanted, report).await;
    prefetcher.hash_cache.flush();
    if let Some(client) = &prefetcher.client {
        client.close().await;
    }
    sent
}

/// One round of files. What it learns about them holds until its end.
struct Prefetcher<'a> {
    engine: &'a Engine,
    options: &'a Options,
    /// Without one files are only hashed.
    client: Option<Client>,
    hash_cache: Arc<HashCache>,
}

impl Prefetcher<'_> {
    async fn all(
        &self,
        wanted: PrefetchRequest,
        report: &mut (dyn FnMut(&Path, Result<PrefetchOutcome, PrefetchError>) + Send),
    ) -> Result<(), PrefetchError> {
        // Modules first: the compiler is large, and a farm that was used before has it.
        let files = wanted.files.into_iter().map(|file| async {
            let outcome = self.module(&file).await;
            (file, outcome)
        });
        let mut files = futures_util::stream::iter(files).buffer_unordered(AT_ONCE);
        while let Some((file, outcome)) = files.next().await {
            match outcome {
                Err(error) if !error.is_of_one_file() => return Err(error),
                outcome => report(&file, outcome),
            }
        }
        match wanted.compiler {
            Some(compiler) => self.compiler(compiler).await,
            None => Ok(()),
        }
    }

    /// Hashes one file and sees to it that the farm has it.
    async fn module(&self, file: &Path) -> Result<PrefetchOutcome, PrefetchError> {
        let host = self.options.client_context.resolve(file);
        wait_until_settled(&host).await;
        let digest = match self.hash(&host).await {
            Ok(Ok(digest)) => digest,
            Ok(Err(error)) => return Ok(PrefetchOutcome::NotAModule(error.to_string())),
            Err(source) => {
                let file = file.to_owned();
                return Err(PrefetchError::Unreadable { file, source });
            }
        };
        let Some(client) = &self.client else {
            return Ok(PrefetchOutcome::Hashed(digest.size));
        };
        let sent = client.upload(&[Blob::from_file(digest, host)], 0).await;
        let sent = sent.map_err(|source| PrefetchError::NotSent {
            file: file.to_owned(),
            source,
        })?;
        Ok(if sent.is_empty() {
            PrefetchOutcome::Present(digest.size)
        } else {
            PrefetchOutcome::Sent(digest.size)
        })
    }

    /// The digest in the farm's function; the ones that a link looks for are computed with it.
    async fn hash(&self, host: &Path) -> io::Result<Result<Digest, NotAModule>> {
        let _turn = self.engine.hashing().acquire().await;
        let (hash_cache, host) = (Arc::clone(&self.hash_cache), host.to_owned());
        let function = self.function();
        spawn_blocking(move || module_digest(&hash_cache, &host, function)).await
    }

    fn function(&self) -> DigestFunction {
        self.client
            .as_ref()
            .map_or(DigestFunction::Sha256, Client::digest_function)
    }

    /// Hashes the compiler with all that it loads, and sees to it that the farm has it, unless
    /// workers have their own.
    async fn compiler(&self, compiler: String) -> Result<(), PrefetchError> {
        let (options, named) = (self.options.clone(), compiler.clone());
        let (state, hash_cache) = (
            Arc::clone(self.engine.state()),
            Arc::clone(&self.hash_cache),
        );
        let function = self.function();
        let found: Task<Result<Vec<Blob>, CompilerError>> = spawn_blocking(move || {
            let tools =
                ResolvedToolchain::resolve(&options.compiler_named(&named), &hash_cache, &state)?;
            toolchain_blobs(tools.for_farm().0, function, &hash_cache)
                .map_err(CompilerError::Unreadable)
        });
        let blobs = found.await.map_err(|source| PrefetchError::Compiler {
            compiler: compiler.clone(),
            source: Box::new(source),
        })?;
        if let Some(client) = &self.client {
            let sent = client.upload(&blobs, 0).await;
            sent.map_err(|source| PrefetchError::NotSent {
                file: compiler.into(),
                source,
            })?;
        }
        Ok(())
    }
}

/// A link of which only the compiler is known.
#[must_use]
pub fn no_jobs(compiler: String) -> JobFile {
    JobFile {
        caller: Caller::Launcher,
        linker_output: String::new(),
        common_arguments: vec![compiler],
        common_inputs: Vec::new(),
        jobs: Vec::new(),
        unknown_keys: Vec::new(),
    }
}
