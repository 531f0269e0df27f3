//! Farms, and what stands in front of them, that want time, memory or the terminal. No case may
//! take more memory than any other, and no control character reaches stderr: `play` checks both.

use bytes::Bytes;
use tonic::Code;

use crate::support::farm::{Effect, Fault, Method, Profile};
use crate::support::flood::{Flood, FloodServer};
use crate::support::remote::here;
use crate::support::tls::Tls;
use crate::support::web::WebServer;

use super::case::{Case, Step};
use super::{campaign, campaign_of_answers, known, play};

const MIB: usize = 1 << 20;

/// What a terminal would act on, and a line that looks like relto's own.
const ESCAPES: &str = "evil\u{1b}[2J\u{1b}]0;owned\u{7}\u{9b}1m\r\u{8}";

#[test]
fn messages_without_content_are_no_progress() {
    let step = Step::DownloadStream;
    let silent = |fault: &str| Case::says(step, fault, &["no answer for", "remote_local_fallback"]);
    let zstd = || Profile {
        stream_zstd: true,
        ..Profile::plain()
    };
    let skippable = [&[0x50, 0x2a, 0x4d, 0x18, 4, 0, 0, 0][..], b"skip"].concat();
    let empty_frame = zstd::bulk::compress(b"", 1).expect("compressed");
    campaign(vec![
        silent("empty messages for ever").effect(Effect::Repeat(Bytes::new()), false),
        silent("empty compressed messages for ever")
            .on(zstd())
            .effect(Effect::Repeat(Bytes::new()), false),
        silent("skippable frames for ever")
            .on(zstd())
            .effect(Effect::Repeat(skippable.into()), false),
        silent("frames without content for ever")
            .on(zstd())
            .effect(Effect::Repeat(empty_frame.into()), false),
        Case::works(step, "empty messages for ever, once")
            .effect(Effect::Repeat(Bytes::new()), true),
    ]);
}

#[test]
fn huge_results_take_no_memory() {
    let huge = || Effect::oversized_output(900 << 20);
    let no_object = Effect::Repeat(Bytes::from(vec![b'x'; 64 << 10]));
    let in_stream = |step: Step, method: Method, times: u32, fault: &str| {
        Case::new(step, fault, super::case::Ends::Works)
            .fault(Fault::at(method, huge()).first(times))
            .fault(Fault::at(Method::Read, no_object.clone()))
    };
    campaign_of_answers(vec![
        in_stream(
            Step::Execute,
            Method::Execute,
            // A job may not get two: its second bad result is its last.
            1,
            "900 MiB that are no objects, once",
        ),
        in_stream(
            Step::CachedResult,
            Method::GetActionResult,
            3,
            "900 MiB that are no objects, in the action cache",
        ),
        Case::says(
            Step::Execute,
            "900 MiB that are no objects, always",
            &["expected ELF object output"],
        )
        .fault(Fault::at(Method::Execute, huge()))
        .fault(Fault::at(Method::Read, no_object.clone())),
        Case::works(Step::CachedResult, "results full of what no job asked for").effect(
            Effect::edit(|result| {
                result.stdout_raw = vec![b'x'; 3 * MIB].into();
                let mut extra = result.output_files[0].clone();
                (extra.path, extra.contents) = ("extra".to_owned(), vec![b'x'; 4 * MIB].into());
                result.output_files.push(extra);
            }),
            false,
        ),
    ]);
}

#[test]
fn no_control_character_of_a_farm_reaches_the_terminal() {
    let step = Step::Execute;
    let status = |code| Effect::fail(code, ESCAPES);
    let said = |fault: &str| Case::says(step, fault, &["evil"]);
    campaign_of_answers(vec![
        said("escapes in the status of a call").effect(status(Code::InvalidArgument), false),
        said("escapes in a status that is tried again").effect(status(Code::Unavailable), false),
        said("escapes in the status of an execution").effect(
            Effect::RunStatus(crate::support::farm::Failure::new(
                Code::InvalidArgument,
                ESCAPES,
            )),
            false,
        ),
        said("escapes in the status of an operation").effect(
            Effect::OperationError(crate::support::farm::Failure::new(
                Code::PermissionDenied,
                ESCAPES,
            )),
            false,
        ),
        Case::works(step, "escapes in a warning").effect(Effect::stderr(ESCAPES), false),
        Case::works(Step::CachedResult, "escapes in a kept warning")
            .effect(Effect::stderr(ESCAPES), false),
        Case::says(
            Step::LookUp,
            "escapes in the status of a look-up",
            &["evil"],
        )
        .effect(status(Code::PermissionDenied), false),
    ]);
}

/// How relto ends with these variables, and what it says.
fn told(environment: &[(&str, String)]) -> (Option<i32>, String) {
    let saved = known::saved();
    let mut command = saved.command();
    here().apply(&mut command);
    command.envs(play::SETTINGS.iter().copied());
    command.env("RELTO_REMOTE_LOCAL_FALLBACK", "false");
    command.env("RELTO_STRATEGY", "remote");
    command.envs(environment.iter().map(|(name, value)| (name, value)));
    let output = command.output().expect("relto starts");
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.code(), stderr)
}

#[test]
fn a_web_server_in_the_farms_place_is_called_one_with_its_status() {
    for (status, says) in [
        (200, "a web server or proxy answers there, not the farm"),
        (401, "credential_helper"),
        (403, "does not allow this"),
        (404, "routes of the proxy"),
        (502, "is it running?"),
    ] {
        let page = "<html>\u{1b}[2Jno such page</html>";
        let server = WebServer::answering(status, page);
        let (code, stderr) = told(&[("RELTO_REMOTE_EXECUTOR", server.address())]);
        assert_eq!(code, Some(1), "{stderr}");
        for part in [&format!("HTTP {status}"), "text/html", "hint: ", says] {
            assert!(stderr.contains(part), "{status}, `{part}`: {stderr}");
        }
        assert!(!stderr.contains("<html>"), "{stderr}");
    }
}

/// A link of which no attempt has seen more than the end of its connection does not know.
#[test]
fn a_web_server_of_http_1_in_the_farms_place_gets_a_hint() {
    for status in [200, 401, 502] {
        let head = format!("HTTP/1.1 {status} Scripted\r\n\r\n");
        let server = FloodServer::http1(Flood::new(head.as_bytes(), b"page"));
        let address = format!("grpc://{}", server.authority());
        let is_told = || {
            let (code, stderr) = told(&[("RELTO_REMOTE_EXECUTOR", address.clone())]);
            assert_eq!(code, Some(1), "{stderr}");
            stderr.contains("does not speak HTTP/2")
        };
        assert!((0..6).any(|_| is_told()), "{status}");
    }
}

#[test]
fn client_certificates_that_cannot_be_used_name_their_option() {
    let (tls, other) = (Tls::new(), Tls::new());
    let dir = tempfile::tempdir().expect("a directory");
    let file = |name: &str, text: &str| {
        let path = dir.path().join(name);
        fs_err::write(&path, text).expect("written");
        path.display().to_string()
    };
    let encrypted =
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAA==\n-----END ENCRYPTED PRIVATE KEY-----\n";
    let certificate = tls.client.certificate.as_str();
    for (certificate, key, option, says) in [
        (certificate, encrypted, "tls_client_key", "is encrypted"),
        (
            certificate,
            other.client.key.as_str(),
            "tls_client_key",
            "does not belong",
        ),
        (certificate, "no key", "tls_client_key", "no private key"),
        (
            "no PEM",
            tls.client.key.as_str(),
            "tls_client_certificate",
            "no certificate",
        ),
    ] {
        let (code, stderr) = told(&[
            ("RELTO_REMOTE_EXECUTOR", "grpcs://127.0.0.1:1".to_owned()),
            (
                "RELTO_TLS_CLIENT_CERTIFICATE",
                file("client.pem", certificate),
            ),
            ("RELTO_TLS_CLIENT_KEY", file("client.key", key)),
        ]);
        assert_eq!(code, Some(1), "{stderr}");
        for part in [option, says, "client.", "hint: "] {
            assert!(stderr.contains(part), "`{part}`: {stderr}");
        }
    }
}
