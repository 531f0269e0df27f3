//! Translates the linker's LTO options into arguments of the compiler.
//!
//! Options that DTLTO forwards become, word for word, what lld writes into a job file, so that both
//! ways to link share results.

use super::command_line::{BackendOption, Item, Role};
use super::linker::Release;
use super::{Flavour, Refusal};
use crate::action::arguments::NO_DEFAULT_CONFIG;

mod llvm;
mod processor;
mod target;
#[cfg(test)]
mod tests;
mod thread_locals;

use llvm::{CODEGEN, LEFT_TO_THE_LINKER, SHOWING, UNKNOWN_TO_CLANG};
use thread_locals::ThreadLocals;

/// The first release whose clang reads configuration files although it is called `clang`.
const CONFIGURATION: u32 = 16;

/// The flags of all backends of a link.
#[derive(Debug)]
pub(super) struct BackendFlags {
    level: u32,
    pic: Pic,
    cpu: Option<String>,
    /// In the compiler's words, in the order of the command line.
    more: Vec<String>,
    /// Files that `more` names.
    inputs: Vec<String>,
    sample_profile: Option<String>,
    silent_mismatch: bool,
    thread_locals: ThreadLocals,
    /// Objects say which of their addresses are compared.
    significant_addresses: bool,
    pub(super) partitions: u32,
    /// Where split DWARF belongs, if it was asked for.
    pub(super) dwo_dir: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pic {
    Yes,
    No,
    /// As each module was compiled.
    AsCompiled,
}

/// What the command line asks for, where its options only count together.
#[derive(Debug, Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is one switch of the linker"
)]
struct Asked {
    level: Option<u32>,
    codegen_level: Option<u32>,
    pie: bool,
    shared: bool,
    relocatable: bool,
    context_generate: bool,
    context_profile: Option<String>,
    sections: Option<String>,
    unique_names: bool,
}

impl BackendFlags {
    /// # Errors
    /// An option has no counterpart.
    pub(super) fn of(flavour: Flavour, items: &[Item]) -> Result<Self, Refusal> {
        let mut asked = Asked::default();
        let mut flags = Self {
            level: 2,
            pic: Pic::No,
            cpu: None,
            more: Vec::new(),
            inputs: Vec::new(),
            sample_profile: None,
            silent_mismatch: false,
            thread_locals: ThreadLocals::default(),
            significant_addresses: flavour == Flavour::Elf,
            partitions: 1,
            dwo_dir: None,
        };
        for item in items {
            if let Some(Role::Backend(backend)) = item.role() {
                let value = item.value().unwrap_or_default();
                flags.take(backend, item, value, &mut asked)?;
            }
        }
        flags.level = asked.level.unwrap_or(2);
        flags.check_level(asked.codegen_level)?;
        flags.pic = match (asked.relocatable, asked.pie || asked.shared) {
            (true, _) => Pic::AsCompiled,
            (false, true) => Pic::Yes,
            (false, false) => Pic::No,
        };
        flags.sections(&asked)?;
        flags.context_profile(&asked)?;
        if flavour == Flavour::Wasm && flags.pic == Pic::AsCompiled {
            return Err(Refusal::new("`-r` is left to wasm-ld"));
        }
        Ok(flags)
    }

    fn take(
        &mut self,
        backend: BackendOption,
        item: &Item,
        value: &str,
        asked: &mut Asked,
    ) -> Result<(), Refusal> {
        let number = || {
            let number = value.parse::<u32>();
            number.map_err(|_| Refusal::new(format!("`{}` has no number", item.words.join(" "))))
        };
        match backend {
            BackendOption::OptimizationLevel => asked.level = Some(number()?),
            BackendOption::CodegenLevel => asked.codegen_level = Some(number()?),
            BackendOption::Partitions => self.partitions = number()?,
            BackendOption::Llvm => self.llvm(value)?,
            BackendOption::PluginOption => self.plugin(value, asked)?,
            BackendOption::SampleProfile => self.sample_profile = Some(value.to_owned()),
            BackendOption::ContextProfile => asked.context_profile = Some(value.to_owned()),
            BackendOption::ContextProfileGenerate => asked.context_generate = true,
            BackendOption::ProfileMismatchSilent => self.silent_mismatch = true,
            BackendOption::ProfileMismatchWarned => self.silent_mismatch = false,
            BackendOption::BasicBlockSections => asked.sections = Some(value.to_owned()),
            BackendOption::UniqueBasicBlockNames(unique) => asked.unique_names = unique,
            BackendOption::Pic if item.words[0].ends_with("pie") => asked.pie = true,
            BackendOption::Pic if item.words[0].ends_with("pic-executable") => asked.pie = true,
            BackendOption::Pic => asked.shared = true,
            BackendOption::NoPic => asked.pie = false,
            BackendOption::Relocatable => asked.relocatable = true,
            BackendOption::FatObjects(_) => {}
            BackendOption::Folding => self.significant_addresses = value.starts_with("safe"),
            BackendOption::Cpu => self.cpu = Some(value.to_owned()),
        }
        Ok(())
    }

    /// `-mllvm WORD`, or `-plugin-opt=-WORD`.
    fn llvm(&mut self, word: &str) -> Result<(), Refusal> {
        let name = word.trim_start_matches('-');
        if let Some(cpu) = name.strip_prefix("mcpu=") {
            self.cpu = Some(cpu.to_owned());
            return Ok(());
        }
        if self.thread_locals.take(name) {
            return Ok(());
        }
        let same = |known: &str| {
            known.ends_with('=') && name.starts_with(known)
                || name == known
                || name
                    .strip_prefix(known)
                    .is_some_and(|rest| rest.starts_with('='))
        };
        if let Some((known, ours)) = CODEGEN.iter().find(|(known, _)| same(known)) {
            let value = &name[known.len()..];
            self.more.extend(ours.map(|it| format!("{it}{value}")));
            return Ok(());
        }
        if LEFT_TO_THE_LINKER.iter().any(|known| same(known)) {
            return Err(Refusal::new(format!(
                "`-mllvm {word}` is left to the linker"
            )));
        }
        if UNKNOWN_TO_CLANG.iter().any(|known| same(known)) {
            return Err(Refusal::new(format!(
                "`-mllvm {word}` has no counterpart in clang"
            )));
        }
        if SHOWING.iter().any(|begin| name.starts_with(begin)) {
            return Err(Refusal::new(format!(
                "`-mllvm {word}` shows or changes the linker's own LTO"
            )));
        }
        self.more.extend(["-mllvm".to_owned(), word.to_owned()]);
        Ok(())
    }

    /// `-plugin-opt=WORD`, as clang passes it.
    fn plugin(&mut self, word: &str, asked: &mut Asked) -> Result<(), Refusal> {
        let (name, value) = word.split_once('=').unwrap_or((word, ""));
        let number = |text: &str| {
            let number = text.parse::<u32>();
            number.map_err(|_| Refusal::new(format!("`-plugin-opt={word}` has no number")))
        };
        match name {
            "thinlto" | "jobs" | "disable-verify" | "opaque-pointers" | "new-pass-manager" => {}
            "mcpu" => self.cpu = Some(value.to_owned()),
            "lto-partitions" => self.partitions = number(value)?,
            "dwo_dir" => self.dwo_dir = Some(value.to_owned()),
            "sample-profile" => self.sample_profile = Some(value.to_owned()),
            "cs-profile-generate" => asked.context_generate = true,
            "cs-profile-path" => asked.context_profile = Some(value.to_owned()),
            _ if word.ends_with("lto-wrapper") => {}
            "-fresolution" | "-pass-through" => {}
            _ if word.starts_with('-') => self.llvm(word)?,
            _ if word.len() == 2 && word.starts_with('O') => {
                asked.level = Some(number(&word[1..])?);
            }
            _ => {
                return Err(Refusal::new(format!(
                    "`-plugin-opt={word}` shows or changes the linker's own LTO"
                )));
            }
        }
        Ok(())
    }

    /// The linkers generate code as for `-O2` or `-O3` whatever the optimizer does.
    fn check_level(&self, codegen: Option<u32>) -> Result<(), Refusal> {
        let usual = self.level.clamp(2, 3);
        match (self.level, codegen) {
            (2 | 3, None) => Ok(()),
            (2 | 3, Some(level)) if level == usual => Ok(()),
            (level, None) => Err(Refusal::new(format!(
                "optimization level {level} with the linkers' code generation has no counterpart in clang"
            ))),
            (_, Some(level)) => Err(Refusal::new(format!(
                "`--lto-CGO{level}` has no counterpart in clang"
            ))),
        }
    }

    fn sections(&mut self, asked: &Asked) -> Result<(), Refusal> {
        match asked.sections.as_deref() {
            None | Some("none") => {}
            Some("all") => self.more.push("-fbasic-block-sections=all".to_owned()),
            Some("labels") => {
                return Err(Refusal::new(
                    "`--lto-basic-block-sections=labels` is left to the linker",
                ));
            }
            Some(list) => {
                self.more
                    .push(format!("-fbasic-block-sections=list={list}"));
                self.inputs.push(list.to_owned());
            }
        }
        if asked.unique_names {
            self.more
                .push("-funique-basic-block-section-names".to_owned());
        }
        Ok(())
    }

    fn context_profile(&mut self, asked: &Asked) -> Result<(), Refusal> {
        /// What clang adds to the directory that it is given.
        const NAME: &str = "default_%m.profraw";
        let unnamed = || {
            Refusal::new(
                "clang has no option for where the instrumented program writes its profile",
            )
        };
        match (&asked.context_profile, asked.context_generate) {
            (None, false) => {}
            (Some(profile), false) => {
                self.more.push(format!("-fprofile-use={profile}"));
                self.inputs.push(profile.clone());
            }
            (None, true) => return Err(unnamed()),
            (Some(file), true) => {
                let dir = file.strip_suffix(NAME).ok_or_else(unnamed)?;
                let dir = dir.strip_suffix('/').unwrap_or(dir);
                self.more.push(match dir {
                    "" => "-fcs-profile-generate".to_owned(),
                    dir => format!("-fcs-profile-generate={dir}"),
                });
            }
        }
        Ok(())
    }

    /// Whether each module itself selects the kind of code.
    pub(super) fn depends_on_module(&self) -> bool {
        self.pic == Pic::AsCompiled
    }

    /// Files that every job reads.
    pub(super) fn inputs(&self) -> Vec<String> {
        let profile = self.sample_profile.iter();
        profile.chain(&self.inputs).cloned().collect()
    }

    /// Whether functions that name no processor need arguments of their own.
    pub(super) fn depends_on_nameless(&self, triple: &str, flavour: Flavour) -> bool {
        let words =
            |nameless| processor::arguments(self.cpu.as_deref(), triple, flavour, nameless).ok();
        words(true) != words(false)
    }

    /// The arguments of every backend, for modules of `triple`, which may have `nameless` functions:
    /// some that name no processor.
    pub(super) fn arguments(
        &self,
        triple: &str,
        flavour: Flavour,
        release: &Release,
        nameless: bool,
    ) -> Result<Vec<String>, Refusal> {
        target::check(triple, flavour, self.pic, release)?;
        let mut words = vec!["-c".to_owned(), format!("--target={triple}")];
        words.push(format!("-O{}", self.level));
        if self.significant_addresses {
            words.push("-faddrsig".to_owned());
        }
        if flavour != Flavour::MachO {
            words.extend(["-ffunction-sections", "-fdata-sections"].map(str::to_owned));
        }
        // The linker's own LTO reads no configuration of clang.
        if release.major() >= CONFIGURATION {
            words.push(NO_DEFAULT_CONFIG.to_owned());
        }
        // The linker's own LTO has it since then.
        if release.major() >= 23 {
            words.push("-floop-interchange".to_owned());
        }
        match (self.pic, flavour) {
            (Pic::Yes, _) => words.push("-fpic".to_owned()),
            // clang's own default may be another one.
            (Pic::No, Flavour::Elf) => words.push("-fno-pic".to_owned()),
            (Pic::No, Flavour::Wasm | Flavour::MachO) | (Pic::AsCompiled, _) => {}
        }
        words.extend(self.thread_locals.arguments(triple, release)?);
        if flavour == Flavour::Wasm {
            // Some targets' names are deprecated.
            words.push("-Wno-deprecated".to_owned());
        }
        if self.silent_mismatch {
            words.extend(["-mllvm", "-no-pgo-warn-mismatch"].map(str::to_owned));
        }
        let profile = self.sample_profile.iter();
        words.extend(profile.map(|it| format!("-fprofile-sample-use={it}")));
        words.push("-Wno-unused-command-line-argument".to_owned());
        let cpu = self.cpu.as_deref();
        words.extend(processor::arguments(cpu, triple, flavour, nameless)?);
        words.extend(self.more.iter().cloned());
        Ok(words)
    }

    /// # Errors
    /// Modules for `other` need more than another target on the command line for `triple`.
    pub(super) fn check_same(
        &self,
        triple: &str,
        other: &str,
        flavour: Flavour,
        release: &Release,
        nameless: bool,
    ) -> Result<(), Refusal> {
        let words = |triple| {
            let words = self.arguments(triple, flavour, release, nameless)?;
            let words = words.into_iter();
            let words = words.filter(|word| !word.starts_with("--target="));
            Ok(words.collect::<Vec<_>>())
        };
        if words(triple)? == words(other)? {
            return Ok(());
        }
        Err(Refusal::new(format!(
            "modules for `{triple}` and for `{other}` need different options"
        )))
    }
}
