//! `relto doctor` with farms of all kinds, real and scripted, working and broken.

use fs_err as fs;

use super::{SAME, doctor, doctor_with};
use crate::support::farm::{Farm, Platforms, Profile};
use crate::support::llvm::Llvm;
use crate::support::servers::nginx::{BASIC, Demand, Nginx};
use crate::support::servers::{Kind, Server, Setup, on_each_server};
use crate::support::tls::Tls;

/// Once with the fallback, where a link works all the same, and once without.
fn ailing(environment: &[(&'static str, String)], parts: &[&str]) {
    let told = doctor(environment);
    told.has(parts).has(&[
        "  warning  ",
        "this machine compiled a module in",
        "see the warnings\n",
    ]);
    told.ends(0);
    let fallback = ("RELTO_REMOTE_LOCAL_FALLBACK", "false".to_owned());
    let told = doctor(&[environment, &[fallback]].concat());
    told.has(parts)
        .has(&["  error    ", "a link would fail; see the errors\n"]);
    told.ends(1);
}

#[test]
fn a_working_farm_compiles_the_trial_and_has_it_the_second_time() {
    let farm = Farm::start(Profile::buildbuddy("secret"));
    let told = doctor(&farm.environment());
    told.has(&[
        ": REAPI 2.0 to 99.9\n",
        "the farm executes jobs; its action cache may be written",
    ]);
    told.has(&[
        "digests SHA256; largest batch not named",
        "used: SHA256, batches of 3.88 MiB, zstd\n",
    ]);
    told.has(&["  ok       the farm compiled a module in ", SAME]);
    told.has(&[
        "action cache returned it the second time",
        "\na link works\n",
    ]);
    told.ends(0);
    assert!(!told.text.contains("secret"), "{}", told.text);
}

#[test]
fn the_trial_costs_the_farm_one_job() {
    use crate::support::farm::Method;
    let farm = Farm::start(Profile::plain());
    doctor(&farm.environment()).ends(0);
    let record = farm.record();
    assert_eq!(record.count(Method::Execute), 1);
    assert_eq!(record.count(Method::GetActionResult), 2);
}

#[test]
fn an_unreachable_farm_is_reported_with_a_hint() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = format!("grpc://{}", port.local_addr().expect("bound"));
    drop(port);
    let refused = format!("no connection to `{address}`: Connection refused");
    ailing(
        &[("RELTO_REMOTE_EXECUTOR", address)],
        &[&refused, "hint: check the port, and that the server runs"],
    );
}

#[test]
fn a_strict_doctor_fails_where_a_farm_cannot_be_used_although_a_link_could_do_without() {
    let strict = |environment: &[(&str, String)]| {
        doctor_with(&["--strict"], &Llvm::get().tool("clang"), environment)
    };
    for option in ["RELTO_REMOTE_EXECUTOR", "RELTO_REMOTE_CACHE"] {
        let port = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = format!("grpc://{}", port.local_addr().expect("bound"));
        drop(port);
        let told = strict(&[(option, address)]);
        told.has(&[
            "  error    ",
            "a link or its farm would fail; see the errors\n",
        ]);
        told.ends(1);
    }
    let farm = Farm::start(Profile::plain());
    strict(&farm.environment())
        .has(&["\na link works\n"])
        .ends(0);
    strict(&[]).ends(0);
}

#[test]
fn wrong_credentials_are_reported_with_a_hint() {
    let farm = Farm::start(Profile::buildbuddy("secret"));
    let environment = [
        ("RELTO_REMOTE_EXECUTOR", farm.address()),
        (
            "RELTO_REMOTE_HEADER",
            "x-buildbuddy-api-key=wrong-one".to_owned(),
        ),
    ];
    ailing(
        &environment,
        &[
            "UNAUTHENTICATED",
            "hint: check `credential_helper`, `remote_header` or the client certificate",
        ],
    );
    assert!(!doctor(&environment).text.contains("wrong-one"));
}

#[test]
fn a_farm_without_execution_is_reported_with_a_hint() {
    let farm = Farm::start(Profile::bazel_remote());
    ailing(
        &[("RELTO_REMOTE_EXECUTOR", farm.address())],
        &[
            "does not execute anything",
            "hint: check `remote_instance_name`, or give the address as `remote_cache`",
        ],
    );
}

#[test]
fn a_platform_without_workers_is_reported_with_what_was_sent() {
    let farm = Farm::start(Profile {
        platforms: Platforms::Exact(vec![("OSFamily", "linux"), ("pool", "big")]),
        ..Profile::plain()
    });
    ailing(
        &[
            ("RELTO_REMOTE_EXECUTOR", farm.address()),
            (
                "RELTO_REMOTE_DEFAULT_EXEC_PROPERTIES",
                "OSFamily=linux".to_owned(),
            ),
        ],
        &[
            "platform properties sent: `OSFamily=linux`",
            "hint: check `remote_default_exec_properties`",
        ],
    );
}

#[test]
fn tls_on_one_side_only_is_detected_on_either_side() {
    let plain = Farm::start(Profile::plain());
    let address = plain.address().replace("grpc://", "grpcs://");
    ailing(
        &[("RELTO_REMOTE_EXECUTOR", address)],
        &[
            "does not speak TLS",
            "hint: write the address with `grpc://`",
        ],
    );
    let secured = Farm::start(Profile {
        tls: Some(Tls::new().server_config(false)),
        ..Profile::plain()
    });
    let address = secured.address().replace("grpcs://", "grpc://");
    ailing(
        &[("RELTO_REMOTE_EXECUTOR", address)],
        &["speaks TLS only", "hint: write the address with `grpcs://`"],
    );
}

#[test]
fn mismatched_certificates_are_reported_with_the_option_to_change() {
    let dir = tempfile::tempdir().expect("a directory");
    let write = |name: &str, text: &str| {
        let path = dir.path().join(name);
        fs::write(&path, text).expect("written");
        path.display().to_string()
    };
    let tls = Tls::new();
    let farm = Farm::start(Profile {
        tls: Some(tls.server_config(true)),
        ..Profile::plain()
    });
    let address = farm
        .address()
        .replace("grpc://", "grpcs://")
        .replace("127.0.0.1", "localhost");
    let mut environment = vec![("RELTO_REMOTE_EXECUTOR", address)];
    ailing(
        &environment,
        &[
            "presents a certificate that is not trusted here",
            "hint: set `tls_certificate` to",
        ],
    );
    environment.push(("RELTO_TLS_CERTIFICATE", write("ca.pem", &tls.authority)));
    ailing(
        &environment,
        &[
            "closes the connection instead of answering",
            "set `tls_client_certificate` and `tls_client_key`",
        ],
    );
    environment.push((
        "RELTO_TLS_CLIENT_CERTIFICATE",
        write("c.pem", &tls.client.certificate),
    ));
    environment.push(("RELTO_TLS_CLIENT_KEY", write("c.key", &tls.client.key)));
    let told = doctor(&environment);
    told.has(&["the farm compiled a module in "]).ends(0);
}

fn passes(server: &Server) {
    let told = doctor(&server.environment());
    let made = if server.kind().executes() {
        "  ok       the farm compiled a module in "
    } else {
        "  ok       this machine compiled a module in "
    };
    told.has(&[
        made,
        SAME,
        "action cache returned it the second time",
        "\na link works\n",
    ]);
    told.ends(0);
}

on_each_server!(a_real_server_passes => passes);

#[test]
fn a_real_buildbarn_reports_the_platform_it_requires() {
    let Some(server) = Kind::Buildbarn.shared() else {
        return;
    };
    let environment = [
        ("RELTO_REMOTE_EXECUTOR", server.address()),
        (
            "RELTO_REMOTE_DEFAULT_EXEC_PROPERTIES",
            "OSFamily=beos".to_owned(),
        ),
    ];
    ailing(
        &environment,
        &[
            "REAPI 2.3 to 2.12",
            "No workers exist",
            "platform properties sent: `OSFamily=beos`",
            "hint: check `remote_default_exec_properties`",
        ],
    );
}

#[test]
fn a_real_cache_with_a_password_reports_what_is_missing() {
    let Some(server) = Kind::Casd.shared() else {
        return;
    };
    let nginx = Nginx::in_front_of(server, Demand::Password);
    let mut environment = nginx.environment();
    doctor(&environment)
        .has(&[
            "  warning  ",
            "UNAUTHENTICATED",
            "hint: check `credential_helper`",
        ])
        .ends(0);
    let header = format!("authorization={BASIC}");
    environment.push(("RELTO_REMOTE_HEADER", header));
    doctor(&environment)
        .has(&[
            "is a cache only, jobs run here",
            "action cache returned it the second time",
            "\na link works\n",
        ])
        .ends(0);
}

#[test]
fn a_worker_without_a_compiler_is_reported_with_the_expected_path() {
    let setup = Setup {
        // A blank: the script takes an empty value for none.
        environment: vec![("BINDS".to_owned(), " ".to_owned())],
        ..Setup::default()
    };
    let Some(server) = Kind::Casd.private(&setup) else {
        return;
    };
    let mut environment = server.environment();
    doctor(&environment)
        .has(&["the farm compiled a module in ", SAME])
        .ends(0);
    environment.push(("RELTO_TOOLCHAIN", "worker".to_owned()));
    doctor(&environment)
        .has(&[
            "the workers' own `",
            "  warning  the farm could not compile a module that compiles here:",
            "hint: the workers need this compiler under the same path; `toolchain=upload` uploads yours",
        ])
        .ends(0);
}
