//! Runs jobs on a farm.
//!
//! Enters: a planned job. Leaves: its outputs, checked, out of the farm's action cache or made by a
//! worker; or `Fallen`, the reason why this machine has to see to it. A result that is bad is
//! executed again, without the cache, before it comes to that. What a failure means is said in
//! `fallen`; who else runs the job is `link`'s business.

mod fallen;
mod prepared;
pub(super) mod room;
mod store;
mod taken;
mod turn;

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::Duration;

use tokio::sync::Semaphore;

pub use fallen::{Cause, Fallen};
use prepared::FarmToolchain;
pub use prepared::toolchain_blobs;
use room::Room;
use turn::{Found, Turn};

use super::{Compiled, Hermetic, Planned, PlannedForm};
use crate::action::toolchain_tree::ToolchainTree;
use crate::action::{Action, ActionTemplate};
use crate::digest::{Digest, DigestFunction};
use crate::events::{Event, Events};
use crate::hash_cache::HashCache;
use crate::reapi::{Client, Failure, OutputStyle, RequestContext};
use crate::task::spawn_blocking;

/// Jobs that are to be on their way when so many `executions` are to be under way: the others are
/// looked up, sent or fetched meanwhile.
#[must_use]
pub fn on_their_way(executions: NonZeroUsize) -> usize {
    executions.get() + executions.get().div_ceil(2)
}

/// What `RequestMetadata` calls our actions.
const MNEMONIC: &str = "ThinLTOBackend";

/// What a farm is told of a link.
#[derive(Debug)]
pub struct Shared {
    /// By SHA256. Without files for a compiler that is on the workers already.
    pub toolchain: Arc<ToolchainTree>,
    /// Digest function and output fields are the farm's to say.
    pub template: ActionTemplate,
    /// Executions under way there at a time.
    pub jobs: NonZeroUsize,
    /// Take results from the action cache.
    pub accept_cached: bool,
    /// Give results of this machine to the action cache.
    pub upload_local_results: bool,
    pub hash_cache: Arc<HashCache>,
    pub events: Events,
}

impl Shared {
    fn toolchain_is_ours(&self) -> bool {
        !self.toolchain.files.is_empty()
    }
}

/// Compiles on a farm, or finds there what was compiled before.
#[derive(Debug)]
pub struct RemoteExecutor {
    shared: Shared,
    client: Client,
    template: ActionTemplate,
    toolchain: FarmToolchain,
    room: Arc<Room>,
    /// Actions that are made at a time: that keeps processors busy, and takes memory.
    making: Semaphore,
}

impl RemoteExecutor {
    /// Blocks while the toolchain is digested, if the farm wants digests that the disk cache has
    /// not.
    ///
    /// # Errors
    /// A file of the toolchain cannot be read.
    pub fn new(client: Client, shared: Shared) -> std::io::Result<Self> {
        let function = client.digest_function();
        let template = ActionTemplate {
            function,
            old_outputs: client.output_style() == OutputStyle::Files,
            ..shared.template.clone()
        };
        Ok(Self {
            toolchain: FarmToolchain::new(&shared.toolchain, function, &shared.hash_cache)?,
            template,
            client,
            room: Room::new(shared.jobs),
            making: Semaphore::new(available_parallelism().map_or(1, NonZeroUsize::get)),
            shared,
        })
    }

    /// Whether the farm compiles, or only remembers.
    pub fn executes(&self) -> bool {
        self.client.capabilities().can_execute
    }

    /// Ends what the link left on the farm, in a few seconds at most, or in `patience`, and reports
    /// what was transferred.
    pub async fn close(&self, patience: Option<Duration>) {
        match patience {
            Some(patience) => self.client.close_within(patience).await,
            None => self.client.close().await,
        }
    }

    /// Finds or makes the outputs of `job`. `executing` hears when a worker begins with it, as far
    /// as the farm tells. Dropping the future cancels the execution as far as the farm can.
    ///
    /// # Errors
    /// Why there are none.
    pub async fn run(
        self: &Arc<Self>,
        job: &Arc<Planned>,
        executing: &(dyn Fn() + Send + Sync),
    ) -> Result<Compiled, Fallen> {
        let PlannedForm::Hermetic(hermetic) = &job.form else {
            return Err(Fallen::miss());
        };
        // Jobs come with the longest first: as long as there is room, none that is sent sooner
        // takes it from those.
        let kept = self.executes().then(|| self.room.keep()).flatten();
        // Most of the action is made only if it has to be sent.
        let mut prepared = None;
        let key = match self.key(hermetic) {
            Some(key) => key,
            None => prepared.insert(self.prepare(job).await?).digest(),
        };
        self.shared.events.send(Event::ActionBuilt {
            job: job.id,
            action: key.to_string(),
        });
        let turn = Turn {
            executor: self,
            job,
            hermetic,
            action: key,
            context: request_context(job, key),
            executing,
        };
        let mut skip_cache = !self.shared.accept_cached;
        if self.shared.accept_cached {
            match turn.look_up().await? {
                Found::Good(compiled) => return Ok(compiled),
                Found::Bad => skip_cache = true,
                Found::Nothing => {}
            }
        }
        if !self.executes() {
            return Err(Fallen::miss());
        }
        let action = match prepared {
            Some(action) => action,
            None => self.prepare(job).await?,
        };
        debug_assert_eq!(action.digest(), key, "both are made of the same");
        turn.upload(action).await?;
        turn.execute(kept, skip_cache).await
    }

    /// Digests on a thread that may block: shards are large, and another digest function reads
    /// files.
    async fn prepare(self: &Arc<Self>, job: &Arc<Planned>) -> Result<Action, Fallen> {
        let _turn = self.making.acquire().await;
        let (executor, planned) = (Arc::clone(self), Arc::clone(job));
        let built = spawn_blocking(move || match &planned.form {
            PlannedForm::Hermetic(hermetic) => executor.action(hermetic).map_err(Fallen::source),
            PlannedForm::InPlace => Err(Fallen::miss()),
        });
        built.await
    }

    /// The digest of the job's action on this farm, where the digests that the disk cache's key is
    /// made of are the farm's too.
    fn key(&self, hermetic: &Hermetic) -> Option<Digest> {
        let same =
            self.template.function == DigestFunction::Sha256 && self.shared.toolchain_is_ours();
        same.then(|| hermetic.action.digest_under(&self.template, &hermetic.job))
    }

    fn action(&self, hermetic: &Hermetic) -> Result<Action, String> {
        let tree = &self.toolchain.tree;
        prepared::action(&self.template, tree, hermetic, &self.shared.hash_cache)
    }

    fn fallen(&self, failure: &Failure) -> Fallen {
        Fallen::from_failure(failure, &self.template.platform)
    }
}

fn request_context(job: &Planned, action: Digest) -> RequestContext {
    RequestContext {
        action: Some(action),
        mnemonic: Some(MNEMONIC.into()),
        target: Some(job.module.as_str().into()),
    }
}
