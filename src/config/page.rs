//! Writes the documentation page of the options from the table.

use std::fmt::Write as _;

use super::options::{Class, Group, OPTIONS, Opt, OptionKind};

const GROUPS: [Group; 5] = [
    Group::Where,
    Group::Farm,
    Group::Security,
    Group::Cache,
    Group::Output,
];

/// `docs/options.md`.
fn page() -> String {
    let mut text = String::from(INTRODUCTION);
    for group in GROUPS {
        let _ = writeln!(text, "\n## {}\n", group.title());
        text.push_str(
            "| option | variable | default | in `.relto.toml` | |\n|---|---|---|---|---|\n",
        );
        for option in OPTIONS.iter().filter(|option| option.group == group) {
            text.push_str(&row(option));
        }
    }
    text
}

const INTRODUCTION: &str = "\
# Options

Each option is a flag, an environment variable and a key of the TOML files: `--remote-executor=ADDRESS`,
`RELTO_REMOTE_EXECUTOR`, `remote_executor = \"ADDRESS\"`. Names are Bazel's where Bazel has one; its spellings
`--remote_executor` and `--noquiet` are accepted, too. `relto config` shows the settings in force and where each comes from.

The command line is stronger than the environment, that than the tables `[config.NAME]` chosen by `--config=NAME`, those
than `.relto.toml` in the current directory or the nearest one above, and that than `$XDG_CONFIG_HOME/relto/config.toml`
(`~/.config/relto/config.toml`). Repeatable options add up over all sources; an empty item (`--remote-header=`) drops those
of weaker sources. In a variable, items stand one a line, or are separated by commas.

A `.relto.toml` comes with a source tree. It may set the options that are marked *yes*; those marked *once allowed* wait
until `relto allow` has shown them to you, and so do values of those marked *to take less* that take more of this machine, of the
farm or of your time than what is in force without the file (on takes more than off, no limit more than any, and a lower number of
`remote_execution_priority` or `large_job_bytes` more than a higher one); the others it must not set.
";

fn row(option: &Opt) -> String {
    let flag = match option.kind() {
        OptionKind::Switch => format!("--[no-]{}", option.flag()),
        OptionKind::Value | OptionKind::List | OptionKind::Selection => {
            format!("--{}={}", option.flag(), option.value_name)
        }
    };
    let in_tree = match option.class {
        Class::Harmless => "yes",
        Class::Lowered => "to take less",
        Class::Sensitive => "once allowed",
        Class::UserOnly => "no",
    };
    format!(
        "| `{flag}` | `{}` | {} | {in_tree} | {} |\n",
        option.variable(),
        option.default_text(),
        option.help.replace('|', "\\|")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `INSTA_UPDATE=always` writes the page, as it does snapshots.
    #[test]
    fn the_page_in_docs_is_the_one_that_the_table_makes() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/options.md");
        if std::env::var_os("INSTA_UPDATE").is_some_and(|wanted| wanted == "always") {
            fs_err::write(path, page()).expect("written");
        }
        let written = fs_err::read_to_string(path).unwrap_or_default();
        assert_eq!(written, page(), "write it with INSTA_UPDATE=always");
    }
}
