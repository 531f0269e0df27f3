//! What goes wrong, and when: a [`Fault`] is a method, the calls it is meant for and an [`Effect`].
//! The services carry the effects out.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use relto::internals::digest::Digest;
use relto::internals::pb::reapi::ActionResult;
use tonic::Code;

use super::failure::Failure;
use super::record::Method;
use super::store::Store;

/// Which of the calls that a fault's method and digest match it is for.
#[derive(Debug, Clone, Copy)]
enum Calls {
    All,
    Nth(u32),
    First(u32),
    From(u32),
}

/// One thing that goes wrong. Without `call` and the like it happens each time; without `digest` to
/// any blob.
#[derive(Debug, Clone)]
pub struct Fault {
    method: Method,
    calls: Calls,
    digest: Option<Digest>,
    effect: Effect,
    seen: u32,
}

impl Fault {
    pub fn at(method: Method, effect: Effect) -> Self {
        Self {
            method,
            calls: Calls::All,
            digest: None,
            effect,
            seen: 0,
        }
    }

    /// Only the nth matching call, from 1.
    pub fn call(mut self, nth: u32) -> Self {
        self.calls = Calls::Nth(nth);
        self
    }

    /// Only the first `count` matching calls.
    pub fn first(mut self, count: u32) -> Self {
        self.calls = Calls::First(count);
        self
    }

    /// The nth matching call and all that follow.
    pub fn from(mut self, nth: u32) -> Self {
        self.calls = Calls::From(nth);
        self
    }

    /// Only calls about this blob; about this action for `Execute` and the action cache.
    pub fn digest(mut self, digest: Digest) -> Self {
        self.digest = Some(digest);
        self
    }

    fn strikes(&mut self, method: Method, digests: &[Digest]) -> bool {
        if self.method != method || self.digest.is_some_and(|digest| !digests.contains(&digest)) {
            return false;
        }
        self.seen += 1;
        match self.calls {
            Calls::All => true,
            Calls::Nth(nth) => self.seen == nth,
            Calls::First(count) => self.seen <= count,
            Calls::From(nth) => self.seen >= nth,
        }
    }
}

/// The faults of a farm. Empty: all goes well.
#[derive(Debug, Default)]
pub struct FaultPlan {
    faults: Vec<Fault>,
}

impl FaultPlan {
    pub fn add(&mut self, fault: Fault) {
        self.faults.push(fault);
    }

    pub fn clear(&mut self) {
        self.faults.clear();
    }

    /// Counts the call in every fault that matches it, and gives those that strike.
    pub(super) fn strike(&mut self, method: Method, digests: &[Digest]) -> Effects {
        let struck = self
            .faults
            .iter_mut()
            .filter_map(|fault| {
                let strikes = fault.strikes(method, digests);
                strikes.then(|| (fault.digest, fault.effect.clone()))
            })
            .collect();
        Effects(struck)
    }
}

/// What strikes one call, each with the digest it was meant for.
#[derive(Debug, Clone, Default)]
pub(super) struct Effects(pub(super) Vec<(Option<Digest>, Effect)>);

impl Effects {
    pub(super) fn iter(&self) -> impl Iterator<Item = &Effect> {
        self.0.iter().map(|(_, effect)| effect)
    }

    /// What `pick` finds in the effects that are for `digest`.
    pub(super) fn on<'a, T>(
        &'a self,
        digest: Digest,
        pick: impl Fn(&'a Effect) -> Option<T>,
    ) -> Option<T> {
        self.0
            .iter()
            .filter(|(meant, _)| meant.is_none_or(|meant| meant == digest))
            .find_map(|(_, effect)| pick(effect))
    }

    pub(super) fn find<'a, T>(&'a self, pick: impl Fn(&'a Effect) -> Option<T>) -> Option<T> {
        self.iter().find_map(pick)
    }

    /// Carries out `Effect::Evict`; `related` is what an empty list means.
    pub(super) fn evict(&self, store: &mut Store, related: &[Digest]) {
        for effect in self.iter() {
            if let Effect::Evict(digests) = effect {
                let evicted = if digests.is_empty() { related } else { digests };
                for digest in evicted {
                    store.evict(digest);
                }
            }
        }
    }
}

/// How a stream ends too early.
#[derive(Debug, Clone)]
pub enum Break {
    /// As if all had been sent: OK.
    End,
    Fail(Failure),
    /// The TCP connection goes away.
    Drop,
    /// Nothing more comes, the connection stays.
    Stall,
}

type Edit = Arc<dyn Fn(&mut ActionResult) + Send + Sync>;
type Hook = Arc<dyn Fn() + Send + Sync>;

/// What happens to a call. Those of one call add up: a delay and then a failure is two effects.
#[derive(Clone)]
pub enum Effect {
    /// The call fails with this status.
    Fail(Failure),
    Delay(Duration),
    /// Something happens elsewhere when the call arrives; the call goes on.
    Call(Hook),
    /// All blobs are gone when the call arrives.
    EvictAll,
    /// The server starts anew with nothing: blobs, results, operations and connections are gone,
    /// this call's too.
    Restart,
    /// No answer, ever.
    Hang,
    /// The TCP connection goes away before an answer.
    DropConnection,
    /// A response stream breaks after so many bytes (`Read`) or messages (`Execute`,
    /// `WaitExecution`).
    BreakAfter(usize, Break),
    /// One bit of the blob is another (`Read`, `BatchReadBlobs`).
    WrongBytes,
    /// The blob is shorter by so many bytes, and nothing says so (`Read`, `BatchReadBlobs`).
    Shorten(usize),
    /// The blob is followed by so many bytes more (`Read`, `BatchReadBlobs`).
    Lengthen(usize),
    /// `Read` repeats the blob for ever.
    Endless,
    /// `Read` sends this message for ever, whichever blob is asked for.
    Repeat(Bytes),
    /// `Write` answers after the first message: this committed size; `None` is the full size.
    EarlyReturn(Option<i64>),
    /// `Write` takes all and answers this committed size.
    CommittedSize(i64),
    /// A batch is answered in reverse order.
    Shuffle,
    /// The blob's entry in a batch fails.
    FailBlob(Failure),
    /// A batch, or the list of missing blobs, has no entry for the blob.
    ForgetBlob,
    /// After the answer these are gone; an empty list is all that the call was about, outputs for
    /// an `Execute`.
    Evict(Vec<Digest>),
    /// `ExecuteResponse.status`, or that of a run on the way: the call itself is fine.
    RunStatus(Failure),
    /// Changes an action result on its way out (`Execute`, `GetActionResult`).
    EditResult(Edit),
    /// `Operation.error` instead of a response.
    OperationError(Failure),
    DoneWithoutResponse,
    /// No operation has metadata, so stages stay unknown.
    WithoutMetadata,
    /// The stages that are reported before the end, in this order, as numbers of
    /// `ExecutionStage.Value`.
    Stages(Vec<i32>),
    /// The operation is queued for ever.
    NeverEnds,
}

impl std::fmt::Debug for Effect {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Fail(failure) => write!(f, "fail with {failure:?}"),
            Self::RunStatus(failure) => write!(f, "run fails with {failure:?}"),
            _ => f.write_str("effect"),
        }
    }
}

impl Effect {
    pub fn fail(code: Code, message: &str) -> Self {
        Self::Fail(Failure::new(code, message))
    }

    pub fn edit(change: impl Fn(&mut ActionResult) + Send + Sync + 'static) -> Self {
        Self::EditResult(Arc::new(change))
    }

    pub fn call(hook: impl Fn() + Send + Sync + 'static) -> Self {
        Self::Call(Arc::new(hook))
    }

    /// The first output is not in the result.
    pub fn missing_output() -> Self {
        Self::edit(|result| {
            let rest = result.output_files.iter().skip(1);
            result.output_files = rest.cloned().collect();
        })
    }

    /// Exit 0, and the object is there but empty (by SHA256): what clang does with a damaged index.
    pub fn empty_output() -> Self {
        Self::edit(|result| {
            let empty = relto::internals::digest::DigestFunction::Sha256.digest(b"");
            for output in &mut result.output_files {
                output.digest = Some(empty.to_pb());
                output.contents.clear();
            }
        })
    }

    /// The result claims that each output has `size` bytes.
    pub fn oversized_output(size: i64) -> Self {
        Self::edit(move |result| {
            for digest in result.output_files.iter_mut().flat_map(|o| &mut o.digest) {
                digest.size_bytes = size;
            }
        })
    }

    /// One output that was not asked for, with the first one's contents.
    pub fn extra_output(path: &str) -> Self {
        let path = path.to_owned();
        Self::edit(move |result| {
            let mut extra = result.output_files.first().cloned().unwrap_or_default();
            extra.path.clone_from(&path);
            result.output_files.push(extra);
        })
    }

    pub fn exit_code(code: i32) -> Self {
        Self::edit(move |result| result.exit_code = code)
    }

    pub fn stderr(text: &'static str) -> Self {
        Self::edit(move |result| {
            result.stderr_raw = text.into();
            result.stderr_digest = None;
        })
    }
}
