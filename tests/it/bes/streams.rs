//! One stream against servers of each kind, and each fault that is known of them.

use std::time::{Duration, Instant};

use relto::internals::bes::{FailedAction, NotPublished, Outcome, ToolLog};
use relto::internals::events::Event;
use relto::internals::pb::build_event_stream::build_event::Payload;
use relto::internals::reapi::{ClientOptions, Header};
use tonic::Code;

use super::{
    assert_complete, assert_graph, closing, finished, options, patient, publish, run_jobs, start,
};
use crate::support::event_server::StreamFault::{
    AcknowledgesBackwards, AcknowledgesForEver, AcknowledgesOften, BreaksAfter, BreaksAtEnd,
    Complains, EndsBehind, EndsEarly, ForeignAcknowledgement, LargeAnswers, LateHeaders,
    NoAcknowledgements, NoHeaders, NoLastAcknowledgement, NoTrailers, ReadsNothing,
};
use crate::support::event_server::{Acknowledges, EventRules, EventServer, StreamFault};
use crate::support::proxy::{End, Proxy, Way};

/// Slower than any of them is a link that waits for something else.
const AT_ONCE: Duration = Duration::from_mins(1);

fn with_faults(acknowledges: Acknowledges, faults: &[StreamFault]) -> EventServer {
    EventServer::start(EventRules::new(acknowledges).faults(faults))
}

#[test]
fn a_server_of_each_kind_gets_all_events_in_order() {
    for acknowledges in Acknowledges::ALL {
        let server = with_faults(acknowledges, &[]);
        let (result, _) = publish(&patient(&server.address()));
        result.unwrap_or_else(|error| panic!("{acknowledges:?}: {error}"));
        let record = server.record();
        assert_eq!(record.streams.len(), 1, "{acknowledges:?}");
        assert_eq!(record.half_closed, 1, "{acknowledges:?}");
        let numbers = &record.streams[0];
        let expected: Vec<i64> = (1..).take(numbers.len()).collect();
        assert_eq!(numbers, &expected, "{acknowledges:?}");
        if acknowledges != Acknowledges::WithoutKeeping {
            assert_complete(&record);
            assert_eq!(finished(&record), Some(("SUCCESS".to_owned(), 0)));
        }
    }
}

#[test]
fn a_stream_that_breaks_is_resent_with_the_same_numbers_and_contents() {
    let kinds = [
        Acknowledges::AtEnd,
        Acknowledges::Each,
        Acknowledges::Batches,
        Acknowledges::Strictly,
    ];
    let faults = [
        BreaksAfter(1, Code::Unavailable),
        BreaksAfter(7, Code::Internal),
        BreaksAfter(12, Code::Cancelled),
        BreaksAtEnd(0),
        BreaksAtEnd(3),
        EndsEarly,
    ];
    std::thread::scope(|scope| {
        for acknowledges in kinds {
            for fault in faults {
                scope.spawn(move || {
                    let server = with_faults(acknowledges, &[fault]);
                    let (result, _) = publish(&patient(&server.address()));
                    result.unwrap_or_else(|error| panic!("{acknowledges:?} {fault:?}: {error}"));
                    let record = server.record();
                    assert_complete(&record);
                    assert_eq!(record.streams.len(), 2, "{acknowledges:?} {fault:?}");
                    let acknowledges_nothing =
                        acknowledges == Acknowledges::AtEnd && !matches!(fault, BreaksAtEnd(3));
                    if acknowledges_nothing {
                        assert_eq!(record.streams[1][0], 1, "{fault:?}");
                    }
                });
            }
        }
    });
}

#[test]
fn a_connection_that_is_reset_at_any_byte_is_opened_again() {
    std::thread::scope(|scope| {
        for after in [1, 200, 700, 1500, 2500] {
            scope.spawn(move || {
                let server = with_faults(Acknowledges::AtEnd, &[]);
                let proxy = Proxy::to(server.port());
                proxy.end_after(Way::Up, after, End::Reset);
                let (result, _) = publish(&patient(&proxy.address()));
                result.unwrap_or_else(|error| panic!("after {after}: {error}"));
                assert_complete(&server.record());
            });
        }
    });
}

#[test]
fn a_server_that_stalls_anywhere_costs_no_more_than_the_timeout() {
    let faults = [
        NoHeaders,
        NoAcknowledgements,
        NoLastAcknowledgement,
        ReadsNothing,
        AcknowledgesForEver,
    ];
    std::thread::scope(|scope| {
        for fault in faults {
            scope.spawn(move || {
                let server = with_faults(Acknowledges::Each, &[fault]);
                let (result, took) = publish(&options(&server.address()));
                assert!(matches!(result, Err(NotPublished::TooLate(_))), "{fault:?}");
                assert!(took < AT_ONCE, "{fault:?}: {took:?}");
            });
        }
        for scheme in ["grpc", "grpcs"] {
            scope.spawn(move || {
                let server = with_faults(Acknowledges::Each, &[]);
                let proxy = Proxy::to(server.port());
                proxy.silence(true);
                let address = proxy.address().replacen("grpc", scheme, 1);
                let (result, took) = publish(&options(&address));
                assert!(matches!(result, Err(NotPublished::TooLate(_))), "{scheme}");
                assert!(took < AT_ONCE, "{scheme}: {took:?}");
            });
        }
    });
}

#[test]
fn a_stream_that_is_acknowledged_but_does_not_end_is_good() {
    let server = with_faults(Acknowledges::Each, &[NoTrailers]);
    let (result, _) = publish(&patient(&server.address()));
    result.expect("published");
    assert_complete(&server.record());
}

#[test]
fn the_first_event_does_not_wait_for_the_answers_headers() {
    let server = with_faults(Acknowledges::Each, &[LateHeaders]);
    let (result, _) = publish(&patient(&server.address()));
    result.expect("published");
    assert_eq!(server.record().streams.len(), 1);
}

#[test]
fn a_server_that_sheds_every_stream_is_given_up() {
    let always = [BreaksAfter(1, Code::Unavailable); 200];
    let server = with_faults(Acknowledges::AtEnd, &always);
    let (result, _) = publish(&patient(&server.address()));
    assert!(matches!(result, Err(NotPublished::Failed(_))), "{result:?}");
    let streams = server.record().streams.len();
    assert!((2..10).contains(&streams), "{streams} streams");
}

#[test]
fn a_refusal_is_not_repeated() {
    for code in [
        Code::InvalidArgument,
        Code::FailedPrecondition,
        Code::PermissionDenied,
        Code::Unauthenticated,
        Code::Unimplemented,
    ] {
        let server = with_faults(Acknowledges::Each, &[BreaksAfter(1, code)]);
        let (result, _) = publish(&patient(&server.address()));
        assert!(matches!(result, Err(NotPublished::Failed(_))), "{code:?}");
        assert_eq!(server.record().streams.len(), 1, "{code:?}");
    }
}

#[test]
fn acknowledgements_of_events_that_were_not_sent_end_the_stream() {
    for foreign in [1000, i64::MAX] {
        let server = with_faults(Acknowledges::Each, &[ForeignAcknowledgement(foreign)]);
        let (result, _) = publish(&patient(&server.address()));
        let error = result.expect_err("a lie").to_string();
        assert!(error.contains("was not sent"), "{error}");
    }
}

#[test]
fn acknowledgements_again_and_backwards_change_nothing() {
    for fault in [AcknowledgesBackwards, AcknowledgesOften] {
        for acknowledges in [Acknowledges::Each, Acknowledges::AtEnd] {
            let server = with_faults(acknowledges, &[fault]);
            let (result, _) = publish(&patient(&server.address()));
            result.unwrap_or_else(|error| panic!("{fault:?}, {acknowledges:?}: {error}"));
            assert_complete(&server.record());
            assert_eq!(server.record().streams.len(), 1, "{fault:?}");
        }
    }
}

#[test]
fn a_stream_that_the_server_ends_well_while_events_are_sent_is_resumed() {
    let server = with_faults(Acknowledges::Each, &[EndsBehind(1), EndsBehind(3)]);
    let (result, _) = publish(&patient(&server.address()));
    result.expect("published");
    assert_complete(&server.record());
    let first: Vec<i64> = server.record().streams.iter().map(|it| it[0]).collect();
    assert_eq!(first, [1, 2, 5]);
}

#[test]
fn large_answers_end_the_stream_and_long_complaints_are_shortened() {
    for fault in [
        LargeAnswers(1 << 20),
        Complains(Code::PermissionDenied, 1 << 10),
        Complains(Code::InvalidArgument, 1 << 20),
        Complains(Code::Unavailable, 1 << 10),
    ] {
        let server = with_faults(Acknowledges::Each, &[fault; 100]);
        let (result, _) = publish(&patient(&server.address()));
        let mut error: &dyn std::error::Error = &result.expect_err("nothing is acknowledged");
        loop {
            let text = error.to_string();
            assert!(text.len() < 4096, "{fault:?}: {} bytes", text.len());
            assert!(!text.contains(char::is_control), "{fault:?}: {text:?}");
            match error.source() {
                Some(source) => error = source,
                None => break,
            }
        }
    }
}

#[test]
fn a_server_that_comes_back_during_the_link_gets_everything() {
    let server = with_faults(Acknowledges::Each, &[]);
    let proxy = Proxy::to(server.port());
    proxy.refuse(true);
    let publisher = start(&patient(&proxy.address()));
    run_jobs(&publisher, 3);
    proxy.refuse(false);
    server.wait_for(|record| !record.streams.is_empty());
    publisher
        .end(closing(Outcome::Succeeded))
        .expect("published");
    assert_complete(&server.record());
}

#[test]
fn acknowledgements_are_read_while_events_are_sent() {
    let rules = EventRules {
        window: Some(1 << 16),
        ..EventRules::new(Acknowledges::Each)
    };
    let server = EventServer::start(rules);
    let publisher = start(&patient(&server.address()));
    run_jobs(&publisher, 20_000);
    publisher
        .end(closing(Outcome::Succeeded))
        .expect("published");
    assert_complete(&server.record());
}

#[test]
fn thirty_thousand_jobs_that_print_much_stay_small_and_quick() {
    let server = with_faults(Acknowledges::AtEnd, &[]);
    let publisher = start(&patient(&server.address()));
    let began = Instant::now();
    run_jobs(&publisher, 30_000);
    let observe = publisher.observer();
    for job in 0..30_000 {
        let text = "in file included from here: warning: unused\n".repeat(100);
        observe(&Event::CompilerMessage { job, text });
    }
    let took = began.elapsed();
    assert!(took < AT_ONCE, "the link waited {took:?} for its events");
    let mut closing = closing(Outcome::Failed("cannot compile `7.o`".to_owned()));
    closing.failed = Some(FailedAction {
        module: "7.o".to_owned(),
        exit_code: 1,
        stderr: "error: x\n".repeat(600_000),
        reason: "exit code 1".to_owned(),
    });
    publisher.end(closing).expect("published");
    let record = server.record();
    assert_complete(&record);
    assert_eq!(finished(&record), Some(("BUILD_FAILURE".to_owned(), 1)));
    assert!(record.largest_message <= 1 << 20);
    assert!(record.events.len() < 300, "{} events", record.events.len());
    assert!(record.wire.len() < 2 << 20, "{} bytes", record.wire.len());
}

#[test]
fn a_burst_while_the_server_reads_nothing_does_not_hold_up_the_link() {
    let server = with_faults(Acknowledges::Each, &[ReadsNothing]);
    let publisher = start(&options(&server.address()));
    let began = Instant::now();
    run_jobs(&publisher, 100_000);
    assert!(began.elapsed() < AT_ONCE, "{:?}", began.elapsed());
    let result = publisher.end(closing(Outcome::Succeeded));
    assert!(matches!(result, Err(NotPublished::TooLate(_))));
}

#[test]
fn lifecycle_events_are_sent_if_asked_for_and_their_failure_changes_nothing() {
    for lifecycle in [
        None,
        Some(Some(Code::Unimplemented)),
        Some(Some(Code::DeadlineExceeded)),
        Some(None),
    ] {
        let server = EventServer::start(EventRules {
            lifecycle,
            ..EventRules::new(Acknowledges::Strictly)
        });
        let mut asked = patient(&server.address());
        asked.lifecycle_events = true;
        let (result, _) = publish(&asked);
        result.unwrap_or_else(|error| panic!("{lifecycle:?}: {error}"));
        let record = server.record();
        assert_complete(&record);
        let numbers: Vec<_> = record
            .lifecycle
            .iter()
            .map(|call| call.build_event.as_ref().map_or(0, |it| it.sequence_number))
            .collect();
        match lifecycle {
            None => assert_eq!(numbers, [1, 1, 2, 2]),
            Some(_) => assert_eq!(numbers, [1, 2]),
        }
    }
    let server = with_faults(Acknowledges::Each, &[]);
    publish(&patient(&server.address())).0.expect("published");
    assert!(server.record().lifecycle.is_empty());
}

#[test]
fn the_start_has_what_pages_are_made_of() {
    let server = with_faults(Acknowledges::AtEnd, &[]);
    let mut with_instance = patient(&server.address());
    with_instance.instance_name = "main".to_owned();
    publish(&with_instance).0.expect("published");
    let record = server.record();
    assert!(record.projects.iter().all(|project| project == "main"));
    assert_eq!(record.keywords, ["command_name=link", "protocol_name=BEP"]);
    let events = record.build_events();
    let Some(Payload::Started(started)) = &events[0].payload else {
        panic!("{:?}", events[0]);
    };
    assert_eq!(started.uuid, record.invocations()[0]);
    assert_eq!(started.uuid, started.uuid.to_lowercase());
    assert!(!started.options_description.is_empty());
    assert_eq!(started.workspace_directory, "build");
    let label = events.iter().find_map(|event| match &event.payload {
        Some(Payload::Configured(_)) => event.id.clone(),
        _ => None,
    });
    let label = format!("{label:?}");
    assert!(label.contains("//bin:app"), "{label}");
}

#[test]
fn headers_go_to_the_server_and_nowhere_else() {
    let rules = EventRules {
        header: Some(("x-api-key", "s3cret")),
        ..EventRules::new(Acknowledges::Each)
    };
    let server = EventServer::start(rules);
    let mut with_key = patient(&server.address());
    with_key.headers = vec![Header {
        name: "x-api-key".to_owned(),
        value: "s3cret".to_owned(),
    }];
    publish(&with_key).0.expect("published");
    let text = format!("{:?}", server.record().build_events());
    assert!(!text.contains("s3cret"));
    let (result, _) = publish(&patient(&server.address()));
    assert!(matches!(result, Err(NotPublished::Failed(_))));
}

#[test]
fn logs_that_cannot_be_uploaded_are_not_named() {
    let server = with_faults(Acknowledges::AtEnd, &[]);
    let publisher = start(&patient(&server.address()));
    run_jobs(&publisher, 2);
    let mut closing = closing(Outcome::Succeeded);
    closing.logs = vec![ToolLog {
        gzipped: false,
        name: "command.profile.json".to_owned(),
        path: "/nonexistent".into(),
    }];
    closing.farm = Some(ClientOptions {
        executor: Some("grpc://127.0.0.1:1".parse().expect("an address")),
        ..ClientOptions::default()
    });
    publisher.end(closing).expect("published");
    let record = server.record();
    assert_graph(&record.build_events());
    let text = format!("{:?}", record.build_events());
    assert!(!text.contains("bytestream://"), "{text}");
}

#[test]
fn an_id_that_servers_do_not_accept_is_said_and_nothing_is_sent() {
    let mut named = options("grpc://127.0.0.1:1");
    named.transport.caller.invocation_id = "nightly-17".to_owned();
    let started =
        relto::internals::bes::Publisher::start(&named, "link", "app", std::path::Path::new("/d"));
    assert!(matches!(started, Err(NotPublished::NotAUuid(_))));
}
