//! What users, build files and scripts rely on: every option in each of its spellings, every
//! variable, and the exit code of many command lines. The list, `testdata/interface.txt`, was made
//! from the first release.

use crate::support::clean_home::CleanHome;

/// One `option` line of the list.
struct Promised {
    name: &'static str,
    is_switch: bool,
    is_list: bool,
    sample: &'static str,
    may_stand_in_a_tree: bool,
    default: String,
}

fn lines(keyword: &'static str) -> impl Iterator<Item = &'static str> {
    let list = include_str!("testdata/interface.txt").lines();
    list.filter_map(move |line| line.strip_prefix(keyword)?.strip_prefix(' '))
        .map(str::trim)
}

fn options() -> impl Iterator<Item = Promised> {
    lines("option").map(|line| {
        let words: Vec<_> = line.split_whitespace().collect();
        Promised {
            name: words[0],
            is_switch: words[1] == "switch",
            is_list: words[1] == "list",
            sample: words[2],
            may_stand_in_a_tree: words[3] == "tree",
            default: words[4..].join(" "),
        }
    })
}

impl Promised {
    fn spellings(&self) -> Vec<String> {
        let (bazel, sample) = (self.name, self.sample);
        let own = bazel.replace('_', "-");
        if !self.is_switch {
            return vec![format!("--{own}={sample}"), format!("--{bazel}={sample}")];
        }
        let negated = [format!("no-{own}"), format!("no{own}")];
        let negated = negated.into_iter().chain([
            format!("no_{bazel}"),
            format!("no{bazel}"),
            format!("{own}=false"),
            format!("{bazel}=0"),
        ]);
        let names = [own.clone(), bazel.to_owned()].into_iter().chain(negated);
        names.map(|name| format!("--{name}")).collect()
    }

    fn variable(&self) -> String {
        format!("RELTO_{}", self.name.to_uppercase())
    }

    fn key(&self) -> String {
        let (name, sample) = (self.name, self.sample);
        match (self.is_switch, self.is_list) {
            (true, _) => format!("{name} = {sample}\n"),
            (_, true) => format!("{name} = [\"{sample}\"]\n"),
            _ => format!("{name} = \"{sample}\"\n"),
        }
    }
}

const USER: &str = "home/.config/relto/config.toml";
const TREE: &str = "project/.relto.toml";

/// A home where `--config=some` names a table, and each half of a client's identity has its other.
fn place(table_in: &str) -> CleanHome {
    let place = CleanHome::new();
    place.write(table_in, "[config.some]\n");
    place
}

fn relto(place: &CleanHome) -> assert_cmd::Command {
    let mut relto = place.relto();
    relto
        .env("RELTO_TLS_CLIENT_CERTIFICATE", "/certificate.pem")
        .env("RELTO_TLS_CLIENT_KEY", "/key.pem")
        .env("RELTO_QUIET", "true");
    relto
}

const ACCEPTED: &str = "exit 0\n--- stdout\nno links are recorded yet\n";

#[test]
fn every_promised_flag_and_variable_is_accepted_in_each_spelling() {
    let place = place(USER);
    for option in options() {
        let told = place.told(relto(&place).args(option.spellings()).arg("stats"));
        assert_eq!(told, ACCEPTED, "{:?}", option.spellings());
        let variable = option.variable();
        let told = place.told(relto(&place).env(&variable, option.sample).arg("stats"));
        assert_eq!(told, ACCEPTED, "{variable}");
    }
    for variable in lines("variable") {
        let told = place.told(relto(&place).env(variable, "1").arg("stats"));
        assert_eq!(told, ACCEPTED, "{variable}");
    }
}

#[test]
fn every_promised_default_is_in_force_where_no_source_says_otherwise() {
    let told = CleanHome::new().relto_told("config");
    for option in options() {
        let default = format!("{} = {}  (the default)", option.name, option.default);
        let shown = told.lines().any(|line| line == default);
        assert_eq!(shown, option.default != "-", "{default}\n{told}");
    }
}

#[test]
fn every_promised_key_is_accepted_in_the_files_where_it_may_stand() {
    for option in options() {
        let files = [(USER, TREE, true), (TREE, USER, option.may_stand_in_a_tree)];
        for (file, other, accepted) in files {
            let place = place(other);
            place.write(file, &option.key());
            let told = place.told(relto(&place).arg("stats"));
            let code = if accepted { "exit 0\n" } else { "exit 2\n" };
            assert!(told.starts_with(code), "{file}: {}{told}", option.key());
        }
    }
}

#[test]
fn every_promised_command_line_ends_with_its_code() {
    for line in lines("exit") {
        let mut words = line.split_whitespace();
        let code = words.next().expect("a code");
        assert_eq!(words.next(), Some("relto"), "{line}");
        let place = CleanHome::new();
        let path = std::env::var_os("PATH").unwrap_or_default();
        let output = place.relto().env("PATH", path).args(words).output();
        let output = output.expect("started");
        let got = output.status.code().map(|code| code.to_string());
        assert_eq!(got.as_deref(), Some(code), "relto {line}");
    }
}
