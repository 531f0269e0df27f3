//! Who asks, as far as the environment says: the run of a continuous-integration service, and a
//! trace that relto's calls belong to.

use super::address::without_login;
use super::environment::Environment;

/// Which variables of the services say what is built: the address of its repository, the branch and
/// the commit.
const SOURCES: [(&str, [&[&str]; 3]); 5] = [
    (
        "GITHUB_ACTIONS",
        [
            &["GITHUB_SERVER_URL", "GITHUB_REPOSITORY"],
            &["GITHUB_REF_NAME"],
            &["GITHUB_SHA"],
        ],
    ),
    (
        "GITLAB_CI",
        [
            // CI_REPOSITORY_URL has a password in it.
            &["CI_PROJECT_URL"],
            &["CI_COMMIT_REF_NAME"],
            &["CI_COMMIT_SHA"],
        ],
    ),
    (
        "BUILDKITE",
        [
            &["BUILDKITE_REPO"],
            &["BUILDKITE_BRANCH"],
            &["BUILDKITE_COMMIT"],
        ],
    ),
    (
        "JENKINS_URL",
        [&["GIT_URL"], &["GIT_BRANCH"], &["GIT_COMMIT"]],
    ),
    (
        "CIRCLECI",
        [
            &["CIRCLE_REPOSITORY_URL"],
            &["CIRCLE_BRANCH"],
            &["CIRCLE_SHA1"],
        ],
    ),
];

/// Who builds what where, as pages of build events show it: the user, the machine and, in a
/// continuous-integration service, the sources. Nothing else of the environment is published.
pub(super) fn workspace_status(environment: &Environment) -> Vec<(String, String)> {
    let text = |name: &str| {
        let text = environment.get(name)?.to_str()?;
        is_identifier(text).then(|| text.to_owned())
    };
    let mut items = Vec::new();
    let mut add = |key: &str, value: Option<String>| {
        items.extend(value.map(|value| (key.to_owned(), value)));
    };
    add("BUILD_USER", text("USER").or_else(|| text("LOGNAME")));
    add("BUILD_HOST", Some(crate::fs::host_name()));
    let service = SOURCES.iter().find(|(mark, _)| environment.is_on(mark));
    if let Some((_, variables)) = service {
        for (key, names) in ["REPO_URL", "GIT_BRANCH", "COMMIT_SHA"]
            .iter()
            .zip(variables)
        {
            let parts: Option<Vec<String>> = names.iter().map(|name| text(name)).collect();
            let joined = parts.map(|parts| parts.join("/"));
            add(key, joined.map(|text| without_login(&text).into_owned()));
        }
    }
    items
}

/// The header of W3C Trace Context, and the variable that carries it between processes.
const TRACEPARENT: &str = "TRACEPARENT";

/// What identifies a run of the service that sets the first of the variables. The others are joined
/// to one text.
const SERVICES: [(&str, &[&str]); 5] = [
    (
        "GITHUB_ACTIONS",
        &["GITHUB_REPOSITORY", "GITHUB_RUN_ID", "GITHUB_RUN_ATTEMPT"],
    ),
    ("GITLAB_CI", &["CI_PROJECT_PATH", "CI_PIPELINE_ID"]),
    ("BUILDKITE", &["BUILDKITE_BUILD_ID"]),
    ("JENKINS_URL", &["BUILD_TAG"]),
    ("CIRCLECI", &["CIRCLE_WORKFLOW_ID"]),
];

/// What ties the links of one run together; `None` outside such services.
pub(super) fn build_request_id(environment: &Environment) -> Option<String> {
    let (_, names) = SERVICES.iter().find(|(mark, _)| environment.is_on(mark))?;
    let parts = names.iter().filter_map(|name| {
        let text = environment.get(name)?.to_str()?;
        is_identifier(text).then_some(text)
    });
    let parts: Vec<_> = parts.collect();
    (!parts.is_empty()).then(|| parts.join("/"))
}

/// The trace, if its form is that of the standard: other text would make a server refuse the call.
pub(super) fn traceparent(environment: &Environment) -> Option<String> {
    let text = environment.get(TRACEPARENT)?.to_str()?;
    let parts: Vec<&str> = text.split('-').collect();
    let is_hex = |part: &str, length: usize| {
        part.len() == length
            && part
                .bytes()
                .all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
    };
    let is_set = |part: &str| part.bytes().any(|byte| byte != b'0');
    let [version, trace, parent, flags, rest @ ..] = &parts[..] else {
        return None;
    };
    let is_valid = is_hex(version, 2)
        && *version != "ff"
        && (*version != "00" || rest.is_empty())
        && is_hex(trace, 32)
        && is_set(trace)
        && is_hex(parent, 16)
        && is_set(parent)
        && is_hex(flags, 2);
    (is_valid && text.len() <= LONGEST_IDENTIFIER && is_identifier(text)).then(|| text.to_owned())
}

/// The longest identifier: servers bound the headers of a call.
const LONGEST_IDENTIFIER: usize = 256;

/// Whether a server can show `text` and carry it in a header.
pub(super) fn is_identifier(text: &str) -> bool {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_graphic());
    is_plain && !text.is_empty() && text.len() <= LONGEST_IDENTIFIER
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(variables: &[(&'static str, &str)]) -> Environment {
        let variables = variables.iter();
        Environment::new(
            "/",
            variables.map(|(name, value)| (*name, (*value).to_owned())),
        )
    }

    #[test]
    fn the_run_of_each_service_is_recognised() {
        type Case = (
            &'static [(&'static str, &'static str)],
            Option<&'static str>,
        );
        let cases: [Case; 7] = [
            (
                &[
                    ("GITHUB_ACTIONS", "true"),
                    ("GITHUB_REPOSITORY", "a/b"),
                    ("GITHUB_RUN_ID", "17"),
                    ("GITHUB_RUN_ATTEMPT", "2"),
                ],
                Some("a/b/17/2"),
            ),
            (
                &[
                    ("GITLAB_CI", "true"),
                    ("CI_PROJECT_PATH", "group/p"),
                    ("CI_PIPELINE_ID", "5"),
                ],
                Some("group/p/5"),
            ),
            (
                &[("BUILDKITE", "true"), ("BUILDKITE_BUILD_ID", "0-1-2")],
                Some("0-1-2"),
            ),
            (
                &[("JENKINS_URL", "http://j/"), ("BUILD_TAG", "jenkins-x-9")],
                Some("jenkins-x-9"),
            ),
            (
                &[("CIRCLECI", "true"), ("CIRCLE_WORKFLOW_ID", "w")],
                Some("w"),
            ),
            (&[("GITHUB_RUN_ID", "17")], None),
            (
                &[("CIRCLECI", "true"), ("CIRCLE_WORKFLOW_ID", "a\nb")],
                None,
            ),
        ];
        for (variables, expected) in cases {
            let found = build_request_id(&environment(variables));
            assert_eq!(found.as_deref(), expected, "{variables:?}");
        }
    }

    #[test]
    fn the_sources_of_a_service_are_shown_without_the_password_in_their_address() {
        let variables = [
            ("USER", "ada"),
            ("BUILDKITE", "true"),
            (
                "BUILDKITE_REPO",
                "https://ada:sec/ret@git.example.com/p.git",
            ),
            ("BUILDKITE_BRANCH", "main"),
            ("BUILDKITE_COMMIT", "0abc"),
            ("BUILDKITE_AGENT_ACCESS_TOKEN", "secret"),
        ];
        let mut items = workspace_status(&environment(&variables));
        items.retain(|(key, _)| key != "BUILD_HOST");
        let items: Vec<_> = items
            .iter()
            .map(|(k, v)| (k.as_str(), v.as_str()))
            .collect();
        assert_eq!(
            items,
            [
                ("BUILD_USER", "ada"),
                ("REPO_URL", "https://git.example.com/p.git"),
                ("GIT_BRANCH", "main"),
                ("COMMIT_SHA", "0abc"),
            ]
        );
    }

    #[test]
    fn only_a_valid_trace_is_passed_on() {
        let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let found = |text: &str| traceparent(&environment(&[("TRACEPARENT", text)]));
        assert_eq!(found(trace).as_deref(), Some(trace));
        for bad in [
            "",
            "00",
            &trace.to_uppercase(),
            &trace[..54],
            &format!("{trace}-more"),
            &trace.replacen("00-", "ff-", 1),
            &format!("{trace}\r\nx: y"),
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
        ] {
            assert_eq!(found(bad), None, "{bad}");
        }
    }
}
