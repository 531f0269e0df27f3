//! The client with every kind of farm and a strict validator, and with farms that misbehave.

use std::sync::Arc;

use bytes::Bytes;
use relto::internals::events::Events;
use relto::internals::reapi::{
    Blob, Client, ClientOptions, FailureKind, Header, RequestContext, Stage, declared_outputs,
};
use tonic::Code;

use crate::client::action::{ActionShape, Prepared, job, prepare};
use crate::support::farm::{Break, Effect, Farm, Fault, Method, Outcome, Platforms, Profile};

const MIB: usize = 1 << 20;

fn options(farm: &Farm) -> ClientOptions {
    let profile = farm.profile();
    let header = profile.header.iter().map(|header| Header {
        name: header.name.to_owned(),
        value: header.value.clone(),
    });
    ClientOptions {
        executor: profile
            .executes
            .then(|| farm.address().parse().expect("an address")),
        cache: Some(farm.address().parse().expect("an address")),
        instance_name: profile.instance.unwrap_or("main").to_owned(),
        headers: header.collect(),
        ..ClientOptions::default()
    }
}

async fn connect(farm: &Farm) -> Client {
    Client::connect(&options(farm), Events::discarded())
        .await
        .expect("connected")
}

fn shape(farm: &Farm, client: &Client) -> ActionShape {
    let properties = match &farm.profile().platforms {
        Platforms::Any => Vec::new(),
        Platforms::Exact(list) => list
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect(),
        Platforms::Demands(name) => vec![((*name).to_owned(), "docker://image".to_owned())],
    };
    ActionShape {
        function: client.digest_function(),
        style: client.output_style(),
        properties,
        busybox: b"stands for an interpreter".to_vec(),
    }
}

/// A farm whose worker makes `object` of everything.
fn scripted(profile: Profile) -> Farm {
    Farm::scripted(profile, |job| Outcome::object(job, "object"))
}

fn blobs(client: &Client, sizes: &[usize]) -> Vec<Blob> {
    let numbered = sizes.iter().enumerate();
    let made = numbered.map(|(number, size)| {
        let mut bytes = vec![7; *size];
        bytes[..8].copy_from_slice(&number.to_le_bytes());
        let bytes = Bytes::from(bytes);
        Blob::from_bytes(client.digest_function().digest(&bytes), bytes)
    });
    made.collect()
}

async fn object_of(client: &Client, result: &relto::internals::pb::reapi::ActionResult) -> Bytes {
    let outputs = declared_outputs(result, &["relto/out".to_owned()]).expect("good digests");
    let (output, about) = (&outputs[0], RequestContext::default());
    let fetched = client.fetch(&output.digest, output.inline.clone(), &about);
    fetched.await.expect("fetched")
}

#[tokio::test(flavor = "multi_thread")]
async fn blobs_go_up_once_and_come_down_whole_on_every_kind_of_farm() {
    for profile in Profile::all() {
        let (name, farm) = (profile.name, Farm::start(profile));
        let client = connect(&farm).await;
        let mut sizes = vec![3 * MIB, 9 * MIB, MIB, 70_000, 60_000];
        sizes.extend((0..200).map(|n| 100 + n * 50));
        let blobs = blobs(&client, &sizes);
        let jobs = blobs.chunks(10).map(|job| client.ensure_uploaded(job));
        for uploaded in futures_util::future::join_all(jobs).await {
            uploaded.unwrap_or_else(|failure| panic!("{name}: {failure}"));
        }
        let about = RequestContext::default();
        let fetches = blobs
            .iter()
            .map(|blob| client.fetch(&blob.digest, None, &about));
        for (fetched, blob) in futures_util::future::join_all(fetches)
            .await
            .into_iter()
            .zip(&blobs)
        {
            let bytes = fetched.unwrap_or_else(|failure| panic!("{name}: {failure}"));
            assert_eq!(bytes.len() as u64, blob.digest.size, "{name}");
        }
        let record = farm.record();
        record.assert_no_violations();
        record.assert_nothing_twice();
        assert_eq!(record.invocations().len(), 1, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_action_runs_on_every_kind_of_farm_even_if_nothing_was_uploaded_before() {
    for profile in Profile::all()
        .into_iter()
        .filter(|profile| profile.executes)
    {
        let (name, farm) = (profile.name, scripted(profile));
        let client = connect(&farm).await;
        let prepared = prepare(&shape(&farm, &client), "unused", "input");
        let executed = client.execute(&job(&prepared), &|_| ()).await;
        let executed = executed.unwrap_or_else(|failure| panic!("{name}: {failure}"));
        assert_eq!(
            &object_of(&client, &executed.result).await[..],
            b"object",
            "{name}"
        );
        let record = farm.record();
        record.assert_no_violations();
        assert_eq!(record.uploaded_twice(), [], "{name}");
        assert_eq!(record.executed.len(), 1, "{name}");
        let hit = client
            .action_result(&prepared.action, &[], &RequestContext::default())
            .await;
        assert!(hit.expect("an answer").is_some(), "{name}");
    }
}

async fn uploaded(farm: &Farm, client: &Client, input: &str) -> Prepared {
    let prepared = prepare(&shape(farm, client), "unused", input);
    client
        .ensure_uploaded(&prepared.blobs)
        .await
        .expect("uploaded");
    prepared
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_evicted_between_upload_and_execution_is_sent_again() {
    for profile in [Profile::plain(), Profile::buildbarn(), Profile::casd()] {
        let (name, farm) = (profile.name, scripted(profile));
        let client = connect(&farm).await;
        let mut jobs = Vec::new();
        for n in 0..20 {
            jobs.push(uploaded(&farm, &client, &format!("input {n}")).await);
        }
        farm.evict_all();
        let executions = jobs.iter().map(|prepared| {
            let (client, job) = (&client, job(prepared));
            async move { client.execute(&job, &|_| ()).await }
        });
        for executed in futures_util::future::join_all(executions).await {
            executed.unwrap_or_else(|failure| panic!("{name}: {failure}"));
        }
        farm.record().assert_no_violations();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn read_only_credentials_are_detected() {
    let farm = scripted(Profile::buildbuddy_read_only("secret"));
    let client = connect(&farm).await;
    let prepared = uploaded(&farm, &client, "never kept").await;
    let failure = client
        .execute(&job(&prepared), &|_| ())
        .await
        .expect_err("nothing is kept");
    assert!(
        matches!(failure.kind, FailureKind::MissingBlobs(_)),
        "{failure}"
    );
    assert!(farm.record().count(Method::Execute) <= 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn broken_connections_and_lost_operations_fail_no_job() {
    let farm = scripted(Profile::plain());
    farm.fault(Fault::at(Method::Execute, Effect::DropConnection).call(1));
    let broken = Effect::BreakAfter(1, Break::Drop);
    farm.fault(Fault::at(Method::Execute, broken).call(2));
    farm.fault(Fault::at(Method::FindMissingBlobs, Effect::DropConnection).call(1));
    farm.fault(
        Fault::at(
            Method::BatchUpdateBlobs,
            Effect::fail(Code::Unavailable, "restart"),
        )
        .call(1),
    );
    farm.fault(Fault::at(Method::GetActionResult, Effect::DropConnection).call(2));
    let client = connect(&farm).await;
    let prepared = uploaded(&farm, &client, "input").await;
    let executed = client
        .execute(&job(&prepared), &|_| ())
        .await
        .expect("executed");
    for _ in 0..3 {
        let hit = client
            .action_result(&prepared.action, &[], &RequestContext::default())
            .await;
        assert!(hit.expect("an answer").is_some());
    }
    assert_eq!(&object_of(&client, &executed.result).await[..], b"object");
    farm.record().assert_no_violations();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_short_long_or_endless_download_is_never_returned() {
    let farm = Farm::start(Profile::plain());
    let client = connect(&farm).await;
    let (small, large) = (farm.put(vec![1; 1000]), farm.put(vec![2; 3 * MIB]));
    for effect in [
        Effect::WrongBytes,
        Effect::Shorten(1),
        Effect::Lengthen(1),
        Effect::Endless,
    ] {
        farm.fault(Fault::at(Method::BatchReadBlobs, effect.clone()));
        farm.fault(Fault::at(Method::Read, effect));
        for digest in [&large, &small] {
            let fetched = client.fetch(digest, None, &RequestContext::default()).await;
            if let Ok(bytes) = &fetched {
                assert_eq!(client.digest_function().digest(bytes), *digest);
            }
            assert!(
                fetched.is_err() || *digest == small,
                "a stream has nothing to fall back to"
            );
        }
        farm.clear_faults();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn uploads_survive_early_answers_and_strange_sizes() {
    for effect in [
        Effect::EarlyReturn(None),
        Effect::EarlyReturn(Some(-1)),
        Effect::CommittedSize(-1),
    ] {
        let farm = Farm::start(Profile::plain());
        farm.fault(Fault::at(Method::Write, effect));
        let client = connect(&farm).await;
        let blobs = blobs(&client, &[20 * MIB, 2 * MIB]);
        client.ensure_uploaded(&blobs).await.expect("uploaded");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_execution_that_is_dropped_is_cancelled_and_leaves_no_call_open() {
    let farm = scripted(Profile::plain());
    farm.fault(Fault::at(Method::Execute, Effect::NeverEnds));
    let client = connect(&farm).await;
    let prepared = uploaded(&farm, &client, "input").await;
    let running = Arc::new(tokio::sync::Notify::new());
    let progress = |_: Stage| running.notify_one();
    let job = job(&prepared);
    tokio::select! {
        ended = client.execute(&job, &progress) => panic!("{ended:?}"),
        () = running.notified() => {}
    }
    client.close().await;
    assert_eq!(farm.record().cancelled.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cached_link_takes_four_round_trips() {
    let farm = scripted(Profile::plain());
    let warm = connect(&farm).await;
    let mut actions = Vec::new();
    for n in 0..50 {
        let prepared = uploaded(&farm, &warm, &format!("input {n}")).await;
        warm.execute(&job(&prepared), &|_| ())
            .await
            .expect("executed");
        actions.push(prepared.action);
    }
    farm.forget_record();
    let client = connect(&farm).await;
    let lookups = actions.iter().map(|action| {
        let client = &client;
        async move {
            let inline = ["relto/out".to_owned()];
            let hit = client
                .action_result(action, &inline, &RequestContext::default())
                .await;
            object_of(client, &hit.expect("an answer").expect("a hit")).await
        }
    });
    for object in futures_util::future::join_all(lookups).await {
        assert_eq!(&object[..], b"object");
    }
    let record = farm.record();
    record.assert_no_violations();
    assert_eq!(record.count(Method::GetCapabilities), 1);
    assert_eq!(record.count(Method::GetActionResult), 50);
    assert_eq!(record.count(Method::FindMissingBlobs), 0);
    assert_eq!(record.connections, 1);
}
