//! Compares a `.dwo` file with its object: both hold the same identifier of what they belong to.

use std::collections::BTreeSet;

use gimli::constants::{DW_AT_GNU_dwo_id, DW_AT_GNU_dwo_name, DW_AT_dwo_name};
use gimli::{AttributeValue, DebugAbbrev, DebugInfo, RunTimeEndian, UnitType};
use object::read::{CompressionFormat, File, Object as _, ObjectSection as _};

/// A `.dwo` file that is not that of the object.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WrongDwo {
    #[error("its debug information cannot be read: {0}")]
    Unreadable(String),
    #[error("the `.dwo` file has not the debug information that the object refers to")]
    OfAnother,
    #[error("the `.dwo` file is of another byte order or class than the object")]
    OfAnotherMachine,
}

impl From<object::Error> for WrongDwo {
    fn from(error: object::Error) -> Self {
        Self::Unreadable(error.to_string())
    }
}

impl From<gimli::Error> for WrongDwo {
    fn from(error: gimli::Error) -> Self {
        Self::Unreadable(error.to_string())
    }
}

type Slice<'a> = gimli::EndianSlice<'a, RunTimeEndian>;

/// Checks that the ELF file `dwo` has the units for which `object` has skeletons, and no other.
///
/// # Errors
/// It has not, or one of them cannot be read.
pub fn check(object: &[u8], dwo: &[u8]) -> Result<(), WrongDwo> {
    let (object, dwo) = (File::parse(object)?, File::parse(dwo)?);
    if (object.is_64(), object.endianness()) != (dwo.is_64(), dwo.endianness()) {
        return Err(WrongDwo::OfAnotherMachine);
    }
    let skeletons = Units::find(&object, ".debug_info", ".debug_abbrev")?;
    let units = Units::find(&dwo, ".debug_info.dwo", ".debug_abbrev.dwo")?;
    match (skeletons, units) {
        (Units::Readable(skeletons), Units::Readable(units)) if skeletons != units => {
            Err(WrongDwo::OfAnother)
        }
        _ => Ok(()),
    }
}

/// Whether `dwo` holds anything: clang also writes one for a module without debug information.
#[must_use]
pub fn has_debug_information(dwo: &[u8]) -> bool {
    let parsed = File::parse(dwo);
    parsed.is_ok_and(|file| file.section_by_name(".debug_info.dwo").is_some())
}

/// The identifiers of the units in a file that are divided into a skeleton and a `.dwo` file.
enum Units {
    Readable(BTreeSet<u64>),
    /// The sections are compressed.
    Compressed,
}

impl Units {
    fn find(file: &File<'_>, info: &str, abbreviations: &str) -> Result<Self, WrongDwo> {
        let endian = if file.is_little_endian() {
            RunTimeEndian::Little
        } else {
            RunTimeEndian::Big
        };
        let (Some(info), Some(abbreviations)) =
            (contents(file, info)?, contents(file, abbreviations)?)
        else {
            return Ok(Self::Compressed);
        };
        let abbreviations = DebugAbbrev::new(abbreviations, endian);
        let mut headers = DebugInfo::new(info, endian).units();
        let mut found = BTreeSet::new();
        while let Some(header) = headers.next()? {
            found.extend(identifier(&header, &abbreviations)?);
        }
        Ok(Self::Readable(found))
    }
}

/// The contents of a section, empty if there is none; `None` if they are compressed.
fn contents<'a>(file: &File<'a>, name: &str) -> Result<Option<&'a [u8]>, WrongDwo> {
    let Some(section) = file.section_by_name(name) else {
        return Ok(Some(&[]));
    };
    let compression = section.compressed_file_range()?.format;
    if compression != CompressionFormat::None {
        return Ok(None);
    }
    Ok(Some(section.data()?))
}

/// The identifier of a unit: in its header, or before DWARF 5 among its attributes. A unit without
/// debug information of its own has a skeleton that names no file.
fn identifier(
    header: &gimli::UnitHeader<Slice<'_>>,
    abbreviations: &DebugAbbrev<Slice<'_>>,
) -> Result<Option<u64>, WrongDwo> {
    if let UnitType::SplitCompilation(id) = header.type_() {
        return Ok(Some(id.0));
    }
    let abbreviations = header.abbreviations(abbreviations)?;
    let mut entries = header.entries(&abbreviations);
    let Some(root) = entries.next_dfs()? else {
        return Ok(None);
    };
    let names_file = [DW_AT_dwo_name, DW_AT_GNU_dwo_name];
    if !names_file
        .iter()
        .any(|it| root.attr_value_raw(*it).is_some())
    {
        return Ok(None);
    }
    let id = match (header.type_(), root.attr_value(DW_AT_GNU_dwo_id)) {
        (UnitType::Skeleton(id), _) | (_, Some(AttributeValue::DwoId(id))) => Some(id.0),
        _ => None,
    };
    Ok(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_object_is_refused() {
        let wrong = check(b"", b"");
        assert!(matches!(wrong, Err(WrongDwo::Unreadable(_))), "{wrong:?}");
        assert!(!has_debug_information(b"\x7fELF"));
    }
}
