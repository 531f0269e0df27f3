//! `relto doctor` on farms of all kinds, real and scripted, sound and not: what it finds, what it advises, how it ends.

use std::path::{Path, PathBuf};
use std::process::Command;

use fs_err as fs;

use crate::support::farm::{Farm, Platforms, Profile};
use crate::support::link::Home;
use crate::support::llvm::Llvm;
use crate::support::servers::{Kind, Setup};
use crate::support::tls::Tls;

/// What doctor said, and its exit code.
struct Told {
    code: Option<i32>,
    text: String,
}

impl Told {
    fn has(&self, parts: &[&str]) -> &Self {
        for part in parts {
            assert!(self.text.contains(part), "no `{part}` in:\n{}", self.text);
        }
        self
    }

    fn ends(&self, code: i32) {
        assert_eq!(self.code, Some(code), "{}", self.text);
    }
}

fn doctor_of(compiler: &Path, environment: &[(&str, String)]) -> Told {
    let home = Home::new();
    let mut command = Command::new(env!("CARGO_BIN_EXE_relto"));
    home.apply(&mut command);
    let output = command
        .current_dir(home.path())
        .arg("doctor")
        .arg(compiler)
        .envs(environment.iter().map(|(name, value)| (*name, value)))
        .output()
        .expect("relto starts");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(stderr, "", "everything is on stdout");
    Told {
        code: output.status.code(),
        text: String::from_utf8(output.stdout).expect("text"),
    }
}

fn doctor(environment: &[(&str, String)]) -> Told {
    doctor_of(&Llvm::get().tool("clang"), environment)
}

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

const SAME: &str = "its object is the one that the compiler writes in place, bit by bit";

#[test]
fn without_a_farm_the_trial_runs_here() {
    let told = doctor(&[]);
    told.has(&[
        "Toolchain\n  ok       `",
        "are all that it needs: tree ",
        "/ld.lld` is ",
    ]);
    told.has(&[
        "  ok       this machine compiled a module in ",
        SAME,
        "\na link works\n",
    ]);
    told.ends(0);
}

#[test]
fn a_sound_farm_compiles_the_trial_and_has_it_the_second_time() {
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
    told.has(&["action cache had it the second time", "\na link works\n"]);
    told.ends(0);
    assert!(!told.text.contains("secret"), "{}", told.text);
}

#[test]
fn what_the_trial_does_to_the_farm_is_one_job_and_no_more() {
    use crate::support::farm::Method;
    let farm = Farm::start(Profile::plain());
    doctor(&farm.environment()).ends(0);
    let record = farm.record();
    assert_eq!(record.count(Method::Execute), 1);
    assert_eq!(record.count(Method::GetActionResult), 2);
}

#[test]
fn an_unreachable_farm_is_told_with_a_way_out() {
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
fn wrong_credentials_are_told_with_a_way_out() {
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
fn a_farm_that_executes_nothing_is_told_with_a_way_out() {
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
fn a_platform_without_workers_is_told_with_what_was_sent() {
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
fn tls_on_one_side_only_is_seen_from_both() {
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
fn certificates_that_do_not_fit_are_told_with_the_option_that_names_others() {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
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
            "shows a certificate that is not trusted here",
            "hint: let `tls_certificate` name",
        ],
    );
    environment.push(("RELTO_TLS_CERTIFICATE", write("ca.pem", &tls.authority)));
    ailing(
        &environment,
        &[
            "ends the connection once TLS is agreed",
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

#[test]
fn what_is_no_compiler_is_told_with_a_way_out() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    let program = |name: &str, bytes: &[u8]| -> PathBuf {
        fs::write(path(name), bytes).expect("written");
        fs::set_permissions(path(name), std::fs::Permissions::from_mode(0o755)).expect("set");
        path(name)
    };
    let script = program("clang", b"#!/bin/sh\nexec clang-22 \"$@\"\n");
    doctor_of(&script, &[])
        .has(&["is a script for `/bin/sh`", "hint: ", "a link would fail"])
        .ends(1);
    program("ccache", b"not read");
    fs_err::os::unix::fs::symlink(path("ccache"), path("clang-cached")).expect("linked");
    doctor_of(&path("clang-cached"), &[])
        .has(&[
            "is `ccache`, which starts another compiler",
            "hint: point the compiler option",
        ])
        .ends(1);
    let mut foreign = fs::read(Llvm::get().tool("clang")).expect("read");
    // e_machine of an ELF header: AArch64, or on that machine x86-64.
    let other = if foreign[18] == 183 { 62 } else { 183 };
    foreign[18..20].copy_from_slice(&[other, 0]);
    let foreign = program("clang-foreign", &foreign);
    doctor_of(&foreign, &[])
        .has(&["clang-foreign` is for ", "hint: use a clang built for "])
        .ends(1);
    doctor_of(&path("missing"), &[])
        .has(&["cannot use compiler", "missing`", "hint: "])
        .ends(1);
}

#[test]
fn a_compiler_without_its_libraries_is_told_with_the_library() {
    let shop = crate::workshop::Workshop::new();
    let library = shop.library("lib", "x", &[]);
    let program = shop.program(&["-Llib", "-lx"]);
    fs::remove_file(library).expect("removed");
    doctor_of(&program, &[])
        .has(&[
            "needs the library `libx.so`",
            "hint: install the library, or set `LD_LIBRARY_PATH`",
        ])
        .ends(1);
}

#[test]
fn a_disk_cache_that_cannot_be_used_is_a_warning() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("cache");
    fs::write(&file, "a file").expect("written");
    let told = doctor(&[("RELTO_DISK_CACHE", file.display().to_string())]);
    told.has(&[
        "  warning  cannot use the disk cache",
        "hint: let `disk_cache` name",
        "see the warnings",
    ]);
    told.ends(0);
    doctor(&[("RELTO_DISK_CACHE", "off".to_owned())])
        .has(&["  warning  there is no disk cache"])
        .ends(0);
}

#[test]
fn real_farms_pass() {
    for server in Kind::ALL.into_iter().filter_map(Kind::shared) {
        let told = doctor(&server.environment());
        let made = if server.kind().executes() {
            "  ok       the farm compiled a module in "
        } else {
            "  ok       this machine compiled a module in "
        };
        told.has(&[
            made,
            SAME,
            "action cache had it the second time",
            "\na link works\n",
        ]);
        told.ends(0);
    }
}

#[test]
fn a_real_buildbarn_tells_its_demand() {
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
fn a_real_cache_with_a_password_tells_what_is_missing() {
    let folder = tempfile::tempdir().expect("a folder");
    let passwords = folder.path().join("passwords");
    // "open sesame", as `htpasswd -s` writes it.
    fs::write(&passwords, "relto:{SHA}W8r/fyL/UzygmbNAjq2HbA67qac=\n").expect("written");
    let setup = Setup {
        arguments: vec![format!("--htpasswd_file={}", passwords.display())],
        ..Setup::default()
    };
    let Some(server) = Kind::BazelRemote.private(&setup) else {
        return;
    };
    let mut environment = server.environment();
    doctor(&environment)
        .has(&[
            "  warning  ",
            "UNAUTHENTICATED",
            "hint: check `credential_helper`",
        ])
        .ends(0);
    let header = "authorization=Basic cmVsdG86b3BlbiBzZXNhbWU=".to_owned();
    environment.push(("RELTO_REMOTE_HEADER", header));
    doctor(&environment)
        .has(&[
            "is a cache only, jobs run here",
            "action cache had it the second time",
            "\na link works\n",
        ])
        .ends(0);
}
