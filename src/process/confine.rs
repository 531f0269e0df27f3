//! The sandbox of a local run: Landlock, which any process can apply to itself since Linux 5.13.
//!
//! After confinement the calling thread, and everything that it executes, can open only the files
//! that an invocation may touch. As much is enforced as the kernel supports; [`landlock_support`]
//! reports how much that is.
//!
//! A ThinLTO backend of clang 22 that is started by its loader with `--library-path` needs: the
//! loader (to execute), the compiler and its libraries, module, imports and index (to read), and
//! the directory of its object, where it also creates the temporary file that becomes the object.
//! Everything else that it tries to open may be denied without changing the object: directories of
//! GCC installations, `/etc/os-release`, `/usr/lib/os-release`, `/etc/debian_version`. Without
//! `--library-path` it also tries `/etc/ld.so.cache`. It can still check whether a file exists,
//! which does no harm here: the answers choose headers and libraries, and a backend uses neither.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible as _, PathBeneath,
    PathFd, PathFdError, Ruleset, RulesetAttr as _, RulesetCreated, RulesetCreatedAttr as _,
    RulesetError, Scope,
};

use super::Confinement;
use crate::fs::FileId;

/// The newest rights that are asked for, each where the kernel has it.
const FILES: ABI = ABI::V5;
const NETWORK: ABI = ABI::V4;
const SIGNALS: ABI = ABI::V6;

/// What the running kernel can enforce.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Support {
    /// No Landlock: a local run can read whatever the user can.
    Unavailable,
    /// Files are restricted, network connections are not (Linux before 6.7).
    Files,
    /// Files and TCP are restricted.
    FilesAndNetwork,
}

/// Asks the kernel; nothing is restricted by it.
pub fn landlock_support() -> Support {
    let required = || Ruleset::default().set_compatibility(CompatLevel::HardRequirement);
    let files = required()
        .handle_access(AccessFs::from_all(ABI::V1))
        .and_then(Ruleset::create);
    if files.is_err() {
        return Support::Unavailable;
    }
    match required().handle_access(AccessNet::from_all(NETWORK)) {
        Ok(_) => Support::FilesAndNetwork,
        Err(_) => Support::Files,
    }
}

/// Restricts the calling thread. Paths are opened on the way, so relative ones are seen from the
/// current directory.
///
/// # Errors
/// The reason, for the user: a path that exists and cannot be opened, or a kernel that refuses what
/// it said it has.
pub(super) fn restrict(confinement: &Confinement) -> Result<(), String> {
    let rules = create().map_err(|error| error.to_string())?;
    let rules = admit_all(rules, confinement)?;
    rules.restrict_self().map_err(|error| error.to_string())?;
    Ok(())
}

fn create() -> Result<RulesetCreated, RulesetError> {
    Ruleset::default()
        .handle_access(AccessFs::from_all(FILES))?
        .handle_access(AccessNet::from_all(NETWORK))?
        .scope(Scope::from_all(SIGNALS))?
        .create()
}

fn admit_all(rules: RulesetCreated, confinement: &Confinement) -> Result<RulesetCreated, String> {
    let read = AccessFs::ReadFile | AccessFs::ReadDir;
    let write = read | (AccessFs::from_write(FILES) & !AccessFs::IoctlDev);
    let expected = confinement.expected.iter();
    let expected = expected.map(|file| (&*file.path, file.id)).collect();
    let rules = admit(rules, &confinement.readable, read, &expected)?;
    let execute = read | AccessFs::Execute;
    let rules = admit(rules, &confinement.executable, execute, &expected)?;
    let rules = admit(rules, &confinement.writable, write, &expected)?;
    admit(rules, &[PathBuf::from("/dev/null")], write, &expected)
}

/// Rights that only a directory can have are left out for a file by the library.
fn admit(
    rules: RulesetCreated,
    paths: &[PathBuf],
    access: BitFlags<AccessFs>,
    expected: &HashMap<&Path, FileId>,
) -> Result<RulesetCreated, String> {
    let check = |path: &Path, open: &PathFd| match (expected.get(path), FileId::of_open(open)) {
        (None, _) => Ok(()),
        (Some(id), Ok(found)) if found == *id => Ok(()),
        (Some(_), Ok(_)) => Err(format!(
            "`{}` is another file than expected",
            path.display()
        )),
        (Some(_), Err(error)) => Err(format!("cannot look at `{}`: {error}", path.display())),
    };
    paths
        .iter()
        .try_fold(rules, |rules, path| match PathFd::new(path) {
            Ok(open) => {
                check(path, &open)?;
                rules
                    .add_rule(PathBeneath::new(open, access))
                    .map_err(|error| format!("cannot admit `{}`: {error}", path.display()))
            }
            Err(PathFdError::OpenCall { source, .. })
                if source.kind() == std::io::ErrorKind::NotFound =>
            {
                Ok(rules)
            }
            Err(error) => Err(format!("cannot admit `{}`: {error}", path.display())),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn support_is_the_same_each_time_it_is_asked_for() {
        assert_eq!(landlock_support(), landlock_support());
    }
}
