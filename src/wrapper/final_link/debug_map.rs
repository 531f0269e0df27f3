//! What a Mach-O program says of the objects that its debug information is in.
//!
//! Apple's linkers leave debug information in the objects, and note the name and the time of each
//! in the program. The names must not be those of a scratch directory, which differ every time.

use std::fs::{File, FileTimes};
use std::path::Path;
use std::time::SystemTime;

use fs_err as fs;
use memchr::memmem;

use crate::fs::write_whole;
use crate::wrapper::command_line::Role;
use crate::wrapper::{LinkPlan, Refusal, text};

const PREFIX: &str = "oso_prefix";

/// The name of a section of debug information.
const DEBUG: &[u8] = b"__debug_info";

fn has_debug_info(object: &[u8]) -> bool {
    memmem::find(object, DEBUG).is_some()
}

/// The option that makes names independent of where `scratch` is.
pub(super) fn prefix(plan: &LinkPlan, scratch: &Path) -> Option<[String; 2]> {
    let own = !plan.has_option(&[PREFIX]);
    own.then(|| [format!("-{PREFIX}"), format!("{}/", scratch.display())])
}

/// # Errors
/// The member `name` of an archive has debug information, which the program would seek elsewhere.
pub(super) fn check_member(name: &str, object: &[u8]) -> Result<(), Refusal> {
    if has_debug_info(object) {
        return Err(Refusal::new(format!(
            "debug information of the archive member `{name}` is found by its name"
        )));
    }
    Ok(())
}

/// What the linker calls an object that it does not keep.
pub(super) fn name_of_object(plan: &LinkPlan) -> Option<&'static str> {
    plan.last(Role::ObjectDir)
        .is_none()
        .then_some("/tmp/lto.tmp")
}

/// The file that is linked for the object at `path`, which is number `task` of the linker's LTO.
///
/// # Errors
/// It cannot be put where the linker would keep it, or has a name that the program should not have.
pub(super) fn object(
    plan: &LinkPlan,
    path: &Path,
    bytes: &[u8],
    task: usize,
) -> Result<String, Refusal> {
    let Some(dir) = plan.last(Role::ObjectDir) else {
        if plan.has_option(&[PREFIX]) && has_debug_info(bytes) {
            return Err(Refusal::new(format!(
                "`-{PREFIX}` without `-object_path_lto`, where there is debug information"
            )));
        }
        // The linker gives its own object, which no file holds, no time.
        let times = FileTimes::new().set_modified(SystemTime::UNIX_EPOCH);
        let set = File::options().write(true).open(path);
        set.and_then(|file| file.set_times(times))
            .map_err(|error| Refusal::unwritable(path, &error))?;
        return text(path);
    };
    let arch = plan.value_of("arch").unwrap_or_default();
    let kept = Path::new(dir).join(format!("{task}.{arch}.lto.o"));
    // A link of that name, which a tree may hold, leads anywhere: it is replaced.
    let keep = || {
        fs::create_dir_all(dir)?;
        write_whole(&kept, bytes)
    };
    keep().map_err(|error| Refusal::unwritable(&kept, &error))?;
    text(&kept)
}
