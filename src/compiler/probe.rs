//! Asks the compiler what only it can answer: its target, where it looks for configuration files,
//! what `native` means.
//!
//! Answers are remembered under the content of the compiler (and, for `native`, under the
//! processor), so a warm link starts no process.

use fs_err as fs;

use super::ask::Respondent;
use super::error::CompilerError;
use super::probe_cache::{Answer, Answers};
use super::resolve::ToolchainSource;
use crate::action::arguments::{
    self, Argument, END_UNUSED, Meaning, NO_DEFAULT_CONFIG, START_UNUSED,
};
use crate::action::native;
use crate::action::response::{Quoting, expand_config, expand_response_files};
use crate::client_context::ClientContext;
use crate::digest::{Digest, DigestFunction};
use crate::fs::read_regular_to_string;
use crate::job::Caller;
use crate::toolchain::Toolchain;
use crate::toolchain::config::{self, ConfigDirs};

/// Why the common arguments of a link have no form that means the same anywhere.
pub(super) enum Unportable {
    /// This compiler's jobs can only run in place.
    InPlace(String),
    /// They may have one, which only the compiler knows.
    Unknown(CompilerError),
}

impl Unportable {
    /// Why jobs can only run in place.
    ///
    /// # Errors
    /// That is not known.
    pub(super) fn reason<T>(self) -> Result<Result<T, String>, CompilerError> {
        match self {
            Self::InPlace(reason) => Ok(Err(reason)),
            Self::Unknown(error) => Err(error),
        }
    }
}

impl From<String> for Unportable {
    fn from(reason: String) -> Self {
        Self::InPlace(reason)
    }
}

impl From<CompilerError> for Unportable {
    fn from(error: CompilerError) -> Self {
        Self::Unknown(error)
    }
}

/// A compiler that has been queried.
#[derive(Debug)]
pub(super) struct CompilerProbe<'a> {
    respondent: Respondent<'a>,
    /// Words that tell a multi-call program which compiler to be.
    tool: Vec<String>,
    identity: Digest,
    pub(super) target: String,
    /// What the compiler calls itself, release and all.
    pub(super) version: String,
    pub(super) config_dirs: ConfigDirs,
}

impl<'a> CompilerProbe<'a> {
    /// Asks for target and configuration directories.
    pub(super) fn ask(
        respondent: Respondent<'a>,
        tool: &[String],
        answers: Answers<'_>,
    ) -> Result<Self, CompilerError> {
        let identity = identity(&respondent, tool);
        let question = format!("{identity} -v {:?}", respondent.home());
        let said = answers.get(&question, || verbose_version(&respondent, tool))?;
        let version = said.lines().find(|line| line.contains("version"));
        Ok(Self {
            version: version.unwrap_or_default().trim().to_owned(),
            target: config::target_in(&said).unwrap_or_default().to_owned(),
            config_dirs: ConfigDirs::parse(&said),
            respondent,
            tool: tool.to_vec(),
            identity,
        })
    }

    pub(super) fn has_config_dirs(&self) -> bool {
        self.config_dirs.system.is_some() || self.config_dirs.user.is_some()
    }

    /// Returns `words`, a link's common arguments, in a form that means the same anywhere; what
    /// must precede all other arguments goes into `configuration`.
    pub(super) fn portable(
        &mut self,
        toolchain: &Toolchain,
        caller: Caller,
        words: &[String],
        answers: Answers<'_>,
        configuration: &mut Vec<String>,
    ) -> Result<Vec<String>, Unportable> {
        let words = expand_response_files(words, Quoting::Gnu, &mut |path| {
            read_regular_to_string(self.client_context().resolve(path))
        })
        .map_err(|error| error.to_string())?;
        let (tool, words) = multi_call(caller, &words);
        configuration.extend_from_slice(tool);
        let parsed = arguments::parse(words);
        if let Some(missing) = parsed
            .iter()
            .find(|argument| argument.meaning == Meaning::ResponseFile)
        {
            let reason = format!("`{}` is not there", missing.words.join(" "));
            return Err(reason.into());
        }
        let words = self.without_configuration(toolchain, &parsed, configuration)?;
        if native::is_needed(&arguments::parse(&words)) {
            return self.without_native(&words, configuration, answers);
        }
        Ok(words)
    }

    /// Removes the options that choose configuration files, and puts what the files say before all
    /// other arguments, where clang would read it.
    fn without_configuration(
        &mut self,
        toolchain: &Toolchain,
        parsed: &[Argument<'_>],
        configuration: &mut Vec<String>,
    ) -> Result<Vec<String>, Unportable> {
        let chosen = |argument: &&Argument<'_>| argument.meaning == Meaning::Config;
        // A compiler of workers may have files where this one has none.
        let is_sent = self.respondent.request.source != Some(&ToolchainSource::Worker);
        let says_nothing =
            |argument: &Argument<'_>| is_sent && argument.words == [NO_DEFAULT_CONFIG];
        let mut choosing = parsed.iter().filter(chosen);
        let others = parsed.iter().filter(|argument| !chosen(argument));
        let others = others.flat_map(|argument| argument.words.to_vec());
        if toolchain.config_candidates.is_empty() && choosing.all(says_nothing) {
            return Ok(others.collect());
        }
        let decides = |argument: &&Argument<'_>| {
            matches!(argument.meaning, Meaning::Config | Meaning::Target)
                || may_choose_configuration(&argument.words[0])
        };
        let question = parsed
            .iter()
            .filter(decides)
            .flat_map(|argument| argument.words.to_vec());
        let mut question: Vec<_> = self.tool.iter().cloned().chain(question).collect();
        question.push("--version".to_owned());
        let respondent = &self.respondent;
        let files = &toolchain.config_candidates;
        let answer = respondent.ask_for_configuration(&question, files)?;
        let said = config::printed(respondent.path, answer).map_err(|error| error.to_string())?;
        if let Some(target) = config::target_in(&said) {
            target.clone_into(&mut self.target);
        }
        let mut words = Vec::new();
        for path in config::named_in(&said) {
            let read =
                &mut |path: &str| read_regular_to_string(self.client_context().resolve(path));
            let expanded = expand_config(&path.to_string_lossy(), read);
            words.extend(expanded.map_err(|error| error.to_string())?);
        }
        if !words.is_empty() {
            // clang warns of none that it does not use.
            words.insert(0, START_UNUSED.to_owned());
            words.push(END_UNUSED.to_owned());
        }
        configuration.push(NO_DEFAULT_CONFIG.to_owned());
        words.extend(others);
        Ok(words)
    }

    /// `configuration` keeps the compiler from reading configuration files, which `words` contain
    /// by now.
    fn without_native(
        &self,
        words: &[String],
        configuration: &[String],
        answers: Answers<'_>,
    ) -> Result<Vec<String>, Unportable> {
        let parsed = arguments::parse(words);
        let asked = [configuration, &native::question(&parsed)].concat();
        let question = format!("{} native {} {asked:?}", self.identity, processor());
        let said = answers.get(&question, || {
            let confined = self.respondent.ask_confined(&asked);
            let (output, is_certain) = self.respondent.certain_or_ask(confined, &asked)?;
            let native =
                native::answer(self.respondent.path, output).map_err(|error| error.to_string())?;
            Ok::<_, Unportable>(Answer {
                text: native.join("\n"),
                is_certain,
            })
        })?;
        let native = said.lines().map(str::to_owned).collect();
        Ok(native::replace(&parsed, native))
    }

    fn client_context(&self) -> &ClientContext {
        self.respondent.request.client_context
    }
}

/// Whether clang may read other configuration files with an option, besides those that name files and
/// target: by the driver's mode, by what completes the target, or from another directory.
fn may_choose_configuration(option: &str) -> bool {
    let of_target = option.starts_with("-m") && !option.starts_with("-mllvm");
    let of_driver = ["--driver-mode=", "-no-canonical-", "-canonical-", "-E"];
    // Of a target of Apple.
    let is_architecture = option == "-arch";
    of_target || is_architecture || of_driver.iter().any(|start| option.starts_with(start))
}

/// Asks for the version, target and directories that are built into the compiler. In the sandbox it
/// cannot read a configuration file, and needs not, but clang before 16 knows no option against it.
fn verbose_version(respondent: &Respondent<'_>, tool: &[String]) -> Result<Answer, CompilerError> {
    let question = |words: &[&str]| -> Vec<String> {
        let words = words.iter().map(ToString::to_string);
        tool.iter().cloned().chain(words).collect()
    };
    let plain = question(&["-v"]);
    let confined = respondent
        .ask_confined(&question(&[NO_DEFAULT_CONFIG, "-v"]))
        .or_else(|| respondent.ask_confined(&plain));
    let (output, is_certain) = respondent.certain_or_ask(confined, &plain)?;
    let text = config::printed(respondent.path, output)?;
    Ok(Answer { text, is_certain })
}

/// Splits off the words that tell a multi-call program (`llvm clang`) which tool to be. lld passes
/// them on as `--thinlto-remote-compiler-prepend-arg`; a launched compiler has none.
pub(super) fn multi_call(caller: Caller, words: &[String]) -> (&[String], &[String]) {
    if caller == Caller::Launcher {
        return words.split_at(0);
    }
    let options = words
        .iter()
        .position(|word| word.starts_with(['-', '@', '/']));
    words.split_at(options.unwrap_or(words.len()))
}

/// The compiler's content, and the name from which it takes its mode.
fn identity(respondent: &Respondent<'_>, tool: &[String]) -> Digest {
    let mut hasher = DigestFunction::Sha256.hasher();
    hasher.update(respondent.path.as_os_str().as_encoded_bytes());
    for file in respondent.files {
        hasher.update(&file.digest.hash);
    }
    for word in tool {
        hasher.update(b"\0");
        hasher.update(word.as_bytes());
    }
    hasher.finish()
}

/// What clang reads to determine the meaning of `native`: the processor, without the fields of
/// `/proc/cpuinfo` that change while it runs.
fn processor() -> Digest {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let is_constant = |line: &&str| {
        let name = line.split(':').next().unwrap_or_default().trim();
        [
            "vendor_id",
            "cpu family",
            "model",
            "model name",
            "stepping",
            "flags",
            "Features",
            "CPU implementer",
            "CPU variant",
            "CPU part",
            "cpu",
            "machine",
            "features",
            "isa",
            "uarch",
        ]
        .contains(&name)
    };
    let mut lines: Vec<&str> = text.lines().filter(is_constant).collect();
    lines.sort_unstable();
    lines.dedup();
    DigestFunction::Sha256.digest(lines.join("\n").as_bytes())
}
