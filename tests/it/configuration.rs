//! Configuration files and variables: which one wins, and how mistakes are reported.

use std::os::unix::fs::PermissionsExt as _;

use assert_cmd::Command;

use crate::support::clean_home::CleanHome;
use crate::support::skip::skip;

#[test]
fn mistakes_in_files_end_with_2_and_name_the_place() {
    let place = CleanHome::new();
    place.write("project/.relto.toml", "jobs = 3\nremote_executr = \"x\"\n");
    insta::assert_snapshot!(place.relto_told("cache"), @r"
    exit 2
    --- stderr
    relto: error: `[T]/project/.relto.toml` line 2: unknown key `remote_executr`
      hint: did you mean `remote_executor`?
    ");
    place.write("project/.relto.toml", "credential_helper = \"./steal\"\n");
    insta::assert_snapshot!(place.relto_told("cache"), @r"
    exit 2
    --- stderr
    relto: error: `[T]/project/.relto.toml` line 1: a `.relto.toml` must not set `credential_helper`
      hint: the file comes with a source tree; use the command line, the environment or your own `config.toml`
    ");
    place.write("project/.relto.toml", "jobs = \n");
    insta::assert_snapshot!(place.relto_told("cache"), @r"
    exit 2
    --- stderr
    relto: error: `[T]/project/.relto.toml` line 1 is not valid TOML: string values must be quoted, expected literal string
    ");
}

/// Packages install it beside the documentation.
#[test]
fn the_example_configuration_is_valid_with_every_line_in_force() {
    let place = CleanHome::new();
    let example = include_str!("../../packaging/config.toml");
    let is_setting = |line: &&str| line.contains(" = ") || line.starts_with('[');
    let lines = example
        .lines()
        .filter_map(|line| line.strip_prefix("# "))
        .filter(is_setting);
    let home = place.path("home").display().to_string();
    let text = lines
        .collect::<Vec<_>>()
        .join("\n")
        .replace("/home/me", &home);
    for name in ["farm-token", "client.crt", "client.key"] {
        place.write(&format!("home/.config/relto/{name}"), "secret");
    }
    place.write("home/.config/relto/config.toml", &text);
    let told = place.relto_told("config --config=ci");
    assert!(told.starts_with("exit 0\n"), "{told}\n{text}");
    for name in ["remote_executor", "verify", "remote_upload_local_results"] {
        assert!(told.contains(name), "{told}");
    }
    // As it is, it sets nothing.
    place.write("home/.config/relto/config.toml", example);
    assert!(!place.relto_told("config").contains("farm.example.com"));
}

#[test]
fn a_project_file_that_others_may_write_is_ignored_with_a_warning() {
    let place = CleanHome::new();
    let path = place.write("project/.relto.toml", "disk_cache = \"/evil\"\n");
    fs_err::set_permissions(&path, std::fs::Permissions::from_mode(0o666)).expect("changed");
    insta::assert_snapshot!(place.relto_told("cache"), @r"
    exit 0
    --- stdout
    [T]/home/.cache/relto does not exist yet
    --- stderr
    relto: warning: ignored `[T]/project/.relto.toml`: every user may write it
      hint: only you or root may own it, and no other user may write it
    ");
    fs_err::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).expect("changed");
    place.relto().arg("allow").assert().success();
    insta::assert_snapshot!(place.relto_told("cache"), @r"
    exit 0
    --- stdout
    /evil does not exist yet
    ");
}

#[test]
fn a_mistyped_variable_is_a_warning() {
    let place = CleanHome::new();
    let told = place.told(
        place
            .relto()
            .env("RELTO_DISK_CACHE_SIZE", "1G")
            .arg("cache"),
    );
    insta::assert_snapshot!(told, @r"
    exit 0
    --- stdout
    [T]/home/.cache/relto does not exist yet
    --- stderr
    relto: warning: unknown environment variable `RELTO_DISK_CACHE_SIZE`
      hint: did you mean `RELTO_DISK_CACHE_MAX_SIZE`?
    ");
}

#[test]
fn neither_a_key_in_a_variable_nor_a_secret_in_an_address_is_printed() {
    let place = CleanHome::new();
    place.write(
        "project/.relto.toml",
        "remote_cache = \"grpcs://ada:hunter2@f:1\"\n",
    );
    place.write("home/c.pem", "");
    place.write("project/jobs.json", "{}");
    let secrets = [
        (
            "RELTO_TLS_CLIENT_KEY",
            "-----BEGIN PRIVATE KEY-----\nhunter2=\n",
        ),
        ("RELTO_REMOTE_EXECUTOR", "grpcs://f:1/?key=hunter2"),
        ("RELTO_BES_BACKEND", "ada:hunter2@f:1"),
        ("RELTO_LOG", "trace"),
    ];
    for (variable, secret) in secrets {
        for command in [
            "config",
            "doctor",
            "allow",
            "allow --list",
            "cache",
            "jobs.json",
        ] {
            let mut relto = place.relto();
            relto.env("RELTO_TLS_CLIENT_CERTIFICATE", place.path("home/c.pem"));
            relto.env(variable, secret);
            let told = place.told(relto.args(command.split(' ')));
            assert!(!told.contains("hunter2"), "{command}: {told}");
        }
    }
    let told = place.relto_told("allow");
    assert!(told.starts_with("exit 2\n"), "{told}");
    assert!(told.contains("`grpcs://***@f:1`"), "{told}");
    assert_eq!(
        place.relto_told("allow --list"),
        "exit 0\n--- stdout\nnothing is allowed\n"
    );
}

#[test]
fn command_line_beats_environment_beats_project_beats_user_beats_default() {
    let place = CleanHome::new();
    let shown = |command: &mut Command| {
        let told = place.told(command.arg("cache"));
        let path = told
            .trim_end()
            .strip_suffix(" does not exist yet")
            .expect("an answer");
        path.rsplit('\n').next().expect("a line").to_owned()
    };
    assert_eq!(shown(&mut place.relto()), "[T]/home/.cache/relto");
    place.write(
        "home/.config/relto/config.toml",
        "disk_cache = \"user\"\n[config.c]\ndisk_cache = \"chosen\"\n",
    );
    assert_eq!(shown(&mut place.relto()), "[T]/home/.config/relto/user");
    place.write("project/.relto.toml", "disk_cache = \"project\"\n");
    place.relto().arg("allow").assert().success();
    assert_eq!(shown(&mut place.relto()), "[T]/project/project");
    assert_eq!(
        shown(place.relto().arg("--config=c")),
        "[T]/home/.config/relto/chosen"
    );
    let variable = ("RELTO_DISK_CACHE", "variable");
    assert_eq!(
        shown(place.relto().env(variable.0, variable.1)),
        "[T]/project/variable"
    );
    assert_eq!(
        shown(
            place
                .relto()
                .env(variable.0, variable.1)
                .arg("--disk-cache=flag")
        ),
        "[T]/project/flag"
    );
}

/// The indented lines of each section that hold assignments, as a user would paste them.
fn pasted(page: &str) -> Vec<String> {
    let sections = page.split("\n## ").skip(1);
    let settings = |section: &str| {
        let lines = section.lines().filter_map(|line| line.strip_prefix("    "));
        let lines = lines.filter(|line| line.contains(" = "));
        lines.collect::<Vec<_>>().join("\n")
    };
    sections
        .map(settings)
        .filter(|text| !text.is_empty())
        .collect()
}

#[test]
fn the_lines_that_the_page_on_farms_gives_are_accepted() {
    let page = fs_err::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/farms.md"));
    let pasted = pasted(&page.expect("the page"));
    assert_eq!(
        pasted.len(),
        10,
        "one for each farm or cache, one for large jobs, one for slice keys"
    );
    for text in pasted {
        let place = CleanHome::new();
        for file in text.split("@~/").skip(1) {
            let name = file.split('"').next().expect("the end of a string");
            place.write(&format!("home/{name}"), "secret\n");
        }
        place.write("home/.config/relto/config.toml", &text);
        let told = place.told(place.relto().arg("cache"));
        let good = "exit 0\n--- stdout\n[T]/home/.cache/relto does not exist yet\n";
        assert_eq!(told, good, "{text}");
    }
}

#[test]
fn a_secret_is_never_shown() {
    let place = CleanHome::new();
    place.write(
        "home/.config/relto/config.toml",
        "remote_header = { authorization = \"Bearer hunter2\" }\n",
    );
    let told = place.told(
        place
            .relto()
            .env("RELTO_LOG", "trace")
            .env("RELTO_REMOTE_EXEC_HEADER", "x-key=hunter3")
            .args(["--remote-cache-header=hunter4", "doctor"]),
    );
    assert!(told.contains("remote_cache_header"), "{told}");
    assert!(!told.contains("hunter"), "{told}");
}

#[test]
fn the_settings_of_a_tree_are_shown_allowed_listed_and_denied() {
    let place = CleanHome::new();
    place.write(
        "home/.config/relto/config.toml",
        "remote_header = { x-key = \"hunter2\" }\n",
    );
    place.write(
        "project/.relto.toml",
        "jobs = 3\nremote_executor = \"grpc://127.0.0.1:1\"\nprofile = \"~/.bashrc\"\n",
    );
    let steps = ["cache", "allow", "cache", "allow --list", "deny", "deny"];
    let told = steps.map(|step| format!("$ relto {step}\n{}", place.relto_told(step)));
    let told = told.concat();
    assert!(!told.contains("hunter2"), "{told}");
    insta::assert_snapshot!(told, @r"
    $ relto cache
    exit 0
    --- stdout
    [T]/home/.cache/relto does not exist yet
    --- stderr
    relto: warning: `[T]/project/.relto.toml` is not allowed yet; ignored: `profile`, `remote_executor`
      hint: `relto allow` shows what it asks for, and allows it
    $ relto allow
    exit 0
    --- stdout
    allowed, as long as `[T]/project/.relto.toml` does not change:
      remote_executor = grpc://127.0.0.1:1
      profile = ~/.bashrc
      your credentials that go to grpc://127.0.0.1:1: remote_header x-key
    `relto deny` revokes this
    $ relto cache
    exit 0
    --- stdout
    [T]/home/.cache/relto does not exist yet
    $ relto allow --list
    exit 0
    --- stdout
    [T]/project/.relto.toml
      your credentials that go to grpc://127.0.0.1:1: remote_header x-key
    $ relto deny
    exit 0
    --- stdout
    `[T]/project/.relto.toml` is no longer allowed
    $ relto deny
    exit 0
    --- stdout
    nothing was allowed for `[T]/project`
    ");
}

#[test]
fn a_tree_that_has_only_a_bazelrc_is_denied_also_after_that_is_gone() {
    let place = CleanHome::new();
    let path = place.write(
        "project/.bazelrc",
        "build --remote_executor=grpc://127.0.0.1:1\n",
    );
    let told = |step: &str| {
        let mut relto = place.relto();
        relto.env("RELTO_BAZELRC", ".bazelrc").args(step.split(' '));
        format!("$ relto {step}\n{}", place.told(&mut relto))
    };
    let steps = ["allow", "deny", "cache", "deny"].map(told).concat();
    insta::assert_snapshot!(steps, @r"
    $ relto allow
    exit 0
    --- stdout
    allowed, as long as `[T]/project/.bazelrc` does not change:
      remote_executor = grpc://127.0.0.1:1
      your credentials that go to grpc://127.0.0.1:1: none
    `relto deny` revokes this
    $ relto deny
    exit 0
    --- stdout
    `[T]/project/.bazelrc` is no longer allowed
    $ relto cache
    exit 0
    --- stdout
    [T]/home/.cache/relto does not exist yet
    --- stderr
    relto: warning: `[T]/project/.bazelrc` is not allowed yet; ignored: `remote_executor`
      hint: `relto allow` shows what it asks for, and allows it
    $ relto deny
    exit 0
    --- stdout
    nothing was allowed for `[T]/project`
    ");
    told("allow");
    fs_err::remove_file(path).expect("removed");
    insta::assert_snapshot!(["deny", "allow --list"].map(told).concat(), @r"
    $ relto deny
    exit 0
    --- stdout
    `[T]/project/.bazelrc` is no longer allowed
    $ relto allow --list
    exit 0
    --- stdout
    nothing is allowed
    ");
}

/// Who denies does not know which options there were when it was allowed.
#[test]
fn a_bazelrc_that_was_allowed_by_option_is_denied_without_it_from_wherever_it_was_named() {
    let place = CleanHome::new();
    let farm = "build --remote_executor=grpc://127.0.0.1:1\n";
    place.write("project/.bazelrc", farm);
    place.write("project/sub/x.bazelrc", farm);
    place.write("elsewhere/.bazelrc", farm);
    let allow = |dir: &str, named: &str| {
        let mut relto = place.relto();
        relto.env("RELTO_BAZELRC", named).args(["allow", dir]);
        place.told(&mut relto)
    };
    allow("sub", "../.bazelrc");
    allow(".", ".bazelrc");
    allow(".", "sub/x.bazelrc");
    let told = allow(".", "../elsewhere/.bazelrc");
    assert!(
        told.ends_with("`relto deny [T]/project/../elsewhere` revokes this\n"),
        "{told}"
    );
    let steps = [
        "deny sub",
        "deny sub",
        "deny",
        "deny ../elsewhere",
        "allow --list",
    ];
    let told = steps.map(|step| format!("$ relto {step}\n{}", place.relto_told(step)));
    insta::assert_snapshot!(told.concat(), @r"
    $ relto deny sub
    exit 0
    --- stdout
    `[T]/project/sub/x.bazelrc` is no longer allowed
    $ relto deny sub
    exit 0
    --- stdout
    `[T]/project/.bazelrc` is no longer allowed
    `[T]/project/sub/../.bazelrc` is no longer allowed
    $ relto deny
    exit 0
    --- stdout
    nothing was allowed for `[T]/project`
    $ relto deny ../elsewhere
    exit 0
    --- stdout
    `[T]/project/../elsewhere/.bazelrc` is no longer allowed
    $ relto allow --list
    exit 0
    --- stdout
    nothing is allowed
    ");
}

#[test]
fn a_tree_whose_file_is_no_longer_valid_or_gone_is_denied() {
    let place = CleanHome::new();
    let allow = || {
        let path = place.write("project/.relto.toml", "disk_cache = \"c\"\n");
        place.relto().arg("allow").assert().success();
        path
    };
    let denied = "exit 0\n--- stdout\n`[T]/project/.relto.toml` is no longer allowed\n";
    fs_err::write(allow(), "disk_cahce = \"c\"\n").expect("written");
    assert_eq!(place.relto_told("deny"), denied);
    insta::assert_snapshot!(place.relto_told("deny"), @r"
    exit 2
    --- stderr
    relto: error: `[T]/project/.relto.toml` line 1: unknown key `disk_cahce`
      hint: did you mean `disk_cache`?
    ");
    fs_err::remove_file(allow()).expect("removed");
    assert_eq!(place.relto_told("deny"), denied);
}

#[test]
fn a_user_file_of_another_user_is_ignored_with_a_warning() {
    let place = CleanHome::new();
    let path = place.write("home/.config/relto/config.toml", "disk_cache = \"/evil\"\n");
    // Only root can give a file away; for everybody else the mode stands for the owner.
    let given = std::os::unix::fs::chown(&path, Some(12345), Some(12345)).is_ok();
    if !given {
        fs_err::set_permissions(&path, std::fs::Permissions::from_mode(0o666)).expect("changed");
    }
    let told = place.relto_told("cache");
    assert!(
        told.contains("warning: ignored `[T]/home/.config"),
        "{told}"
    );
    assert!(!told.contains("/evil"), "{told}");
}

/// Who owns a link chooses what it leads to.
#[test]
fn the_file_of_a_tree_counts_only_if_link_and_target_are_the_users_own() {
    use std::os::unix::fs::{lchown, symlink};
    if !rustix::process::geteuid().is_root() {
        return skip("only root can give files away");
    }
    let place = CleanHome::new();
    let target = place.write("settings.toml", "jobs = \"none\"\n");
    let link = place.path("project/.relto.toml");
    symlink(&target, &link).expect("linked");
    let ignored = "warning: ignored `[T]/project/.relto.toml`";
    let told = || place.relto_told("cache");
    assert!(told().contains("invalid value `none`"), "it is read");
    lchown(&link, Some(12345), Some(12345)).expect("given away");
    assert!(told().contains(ignored), "{}", told());
    lchown(&link, Some(0), Some(0)).expect("taken back");
    lchown(&target, Some(12345), Some(12345)).expect("given away");
    assert!(told().contains(ignored), "{}", told());
}

/// In a user namespace it is the owner of what has none there; elsewhere a user as any other.
#[test]
fn the_cache_in_a_home_of_nobody_is_used_only_in_a_user_namespace() {
    if !rustix::process::geteuid().is_root() {
        return skip("only root can give files away");
    }
    let place = CleanHome::new();
    let home = place.path("home");
    std::os::unix::fs::chown(home, Some(65534), Some(65534)).expect("given away");
    let map = fs_err::read_to_string("/proc/self/uid_map").expect("a map");
    if map.split_whitespace().eq(["0", "0", "4294967295"]) {
        let told = place.relto_told("cache");
        assert!(told.contains("belongs to another user"), "{told}");
    }
    let mut within = Command::new("unshare");
    within.env_clear().current_dir(place.path("project"));
    within.env("HOME", place.path("home"));
    within.args(["--user", "--map-root-user"]);
    within.arg(env!("CARGO_BIN_EXE_relto")).arg("cache");
    let told = place.told(&mut within);
    if told.contains("unshare: ") {
        return skip("no user namespace can be made here");
    }
    assert!(!told.contains("belongs to another user"), "{told}");
}

#[test]
fn the_cache_in_a_home_of_another_user_is_not_used() {
    if !rustix::process::geteuid().is_root() {
        return skip("only root can give files away");
    }
    let place = CleanHome::new();
    let theirs = place.path("home");
    std::os::unix::fs::chown(&theirs, Some(12345), Some(12345)).expect("given away");
    let told = place.relto_told("cache");
    assert!(
        told.contains("warning: `[T]/home/.cache/relto` is not used"),
        "{told}"
    );
    assert!(!theirs.join(".cache").exists());
    // A directory that the user names is the user's own choice.
    let mut named = place.relto();
    named
        .env("RELTO_DISK_CACHE", place.path("cache"))
        .arg("cache");
    let told = place.told(&mut named);
    assert!(
        told.starts_with("exit 0") && told.contains("[T]/cache"),
        "{told}"
    );
}

#[test]
fn without_a_home_directory_one_warning_says_that_nothing_is_cached() {
    let place = CleanHome::new();
    fs_err::create_dir(place.path("tmp")).expect("created");
    let told = |line: &str| {
        let mut relto = place.relto();
        // The user database would name one if this were missing.
        relto
            .env("HOME", "no/absolute/path")
            .env("TMPDIR", place.path("tmp"));
        place.told(relto.args(line.split_whitespace()))
    };
    let warning = "warning: nothing is cached, and nothing remembered: there is no home directory";
    let config = told("config");
    assert!(config.contains(warning), "{config}");
    let line = "disk_cache = off  (no home directory can be used)\n";
    assert!(config.contains(line), "{config}");
    let cache = told("cache");
    assert!(cache.contains("`relto config` shows why"), "{cache}");

    let backend = "--daemon=off /bin/false -c -x ir a.o -fthinlto-index=a.o.thinlto.bc -o b.o";
    let (first, second) = (
        told(&format!("cc {backend}")),
        told(&format!("cc {backend}")),
    );
    assert!(first.contains(warning), "{first}");
    assert!(!second.contains(warning), "{second}");

    // The user's own choices need no warning.
    for chosen in ["off", "cache"] {
        let config = told(&format!("--disk-cache={chosen} config"));
        assert!(!config.contains("warning"), "{config}");
        let line = format!("disk_cache = {chosen}  (from the command line)\n");
        assert!(config.contains(&line), "{config}");
    }
    let unset = told("--disk-cache= config");
    assert!(unset.contains("disk_cache =   (from"), "{unset}");
}
