//! The backends of a link, and what is known of its inputs by then.

use super::{Flavour, LinkPlan, Names, Release, messages, modules, resolution, thin_link};
use crate::job::JobFile;

/// The backends of a link.
#[derive(Debug)]
pub struct Jobs {
    pub file: JobFile,
    /// What the user knows the files in the scratch directory by.
    pub names: Names,
    pub(super) modules: modules::Modules,
    pub(super) thin: thin_link::ThinLinkResult,
    /// How the linker resolves symbols before LTO, if that is known.
    pub(super) resolution: Option<resolution::Resolution>,
    /// Of the linker.
    pub(super) release: Release,
}

impl Jobs {
    /// Whether a link that fails, and says `said` of it, shows that the linker's own LTO fails in the same
    /// way: symbols are missing that no input has a definition of.
    #[must_use]
    pub fn are_inputs_incomplete(&self, plan: &LinkPlan, said: &[u8]) -> bool {
        let Some(resolution) = &self.resolution else {
            return false;
        };
        let none_has =
            |name: &&[u8]| resolution.is_undefined(name) && !plan.inputs.assigned.has(name);
        plan.flavour == Flavour::Elf
            && !plan.has_option(&["wrap"])
            && messages::undefined_symbols(said).is_some_and(|names| names.iter().all(none_has))
    }
}
