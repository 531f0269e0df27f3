//! The client against a farm in memory: under a paused clock, silence and retries take no time.

mod action;
mod connecting;
mod downloads;
mod executions;
mod farms;
mod lost_blobs;
mod real;
mod uploads;

use std::sync::Arc;

use bytes::Bytes;
use relto::internals::digest::{Digest, DigestFunction};
use relto::internals::events::Events;
use relto::internals::reapi::{self, Address, Blob, Client, ClientOptions, ConnectError, Dials};
use tonic::Status;

use crate::support::farm::{Effect, Failure, Farm, Fault, Method, Profile};

const SHA: DigestFunction = DigestFunction::Sha256;
const MIB: usize = 1 << 20;

/// The farm and a client of it.
struct Fixture {
    farm: Farm,
    client: Client,
}

impl Fixture {
    async fn new() -> Self {
        Self::of(Profile::plain(), &ClientOptions::default()).await
    }

    async fn of(profile: Profile, options: &ClientOptions) -> Self {
        let farm = Farm::in_memory(profile);
        let client = connect(&farm, options).await.expect("connected");
        Self { farm, client }
    }

    async fn with_zstd() -> Self {
        let profile = Profile {
            stream_zstd: true,
            batch_zstd: true,
            ..Profile::plain()
        };
        Self::of(profile, &ClientOptions::default()).await
    }

    /// The farm has `blobs`, or the client believes it.
    async fn upload(&self, blobs: &[Blob]) {
        let uploaded = self.client.ensure_uploaded(blobs).await;
        uploaded.expect("uploaded");
    }

    /// Why the farm does not get all of `blobs`.
    async fn refused(&self, blobs: &[Blob]) -> reapi::Failure {
        let uploaded = self.client.ensure_uploaded(blobs).await;
        uploaded.expect_err("refused")
    }

    fn count(&self, method: Method) -> usize {
        self.farm.record().count(method)
    }

    fn has_all(&self, blobs: &[Blob]) -> bool {
        let has = |blob: &Blob| self.farm.blob(&blob.digest).is_some();
        blobs.iter().all(has)
    }

    fn put(&self, bytes: &[u8]) -> Digest {
        self.farm.put(bytes.to_vec())
    }

    /// The next call of `method` fails.
    fn fail_once(&self, method: Method, status: &Status) {
        let failure = Failure::new(status.code(), status.message());
        self.farm
            .fault(Fault::at(method, Effect::Fail(failure)).call(1));
    }

    /// The digests of each `FindMissingBlobs`.
    fn asked(&self) -> Vec<Vec<Digest>> {
        let record = self.farm.record();
        let calls = record.of(Method::FindMissingBlobs);
        calls.map(|call| call.digests.clone()).collect()
    }
}

async fn connect(farm: &Farm, options: &ClientOptions) -> Result<Client, ConnectError> {
    let address = || Address::Tcp {
        tls: false,
        host: "farm.test".to_owned(),
        port: 80,
    };
    let dialled = farm.dialler();
    let dials = Dials {
        cache: (address(), Arc::new(dialled)),
        execution: Some((address(), None)),
    };
    Client::connect_with(dials, options, Events::discarded()).await
}

/// Small blobs of which no two are alike.
fn many(count: usize) -> Vec<Blob> {
    (0..count)
        .map(|number| blob(format!("blob {number}")))
        .collect()
}

fn blob(contents: impl Into<Bytes>) -> Blob {
    let bytes = contents.into();
    Blob::from_bytes(SHA.digest(&bytes), bytes)
}
