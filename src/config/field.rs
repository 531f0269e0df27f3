//! How the values of an option reach the field that uses them.
//!
//! A field is a place within [`Settings`], and so in the types of the module that uses the value,
//! together with the parser of its type. That makes an entry of the table all that an option needs
//! here: no list of keys, copies or defaults stands beside it.

use super::options::OptionKind;
use super::settings::Settings;
use super::value::{self, InvalidValue, ValueText};

/// The destination of an option's values.
pub(super) trait Field: Sync {
    fn kind(&self) -> OptionKind;

    /// The values that are accepted, where they are a few words.
    fn words(&self) -> Vec<&'static str> {
        Vec::new()
    }

    /// Stores one value; a list gets one item more.
    ///
    /// # Errors
    /// The text is not a value of the field's type.
    fn set(&self, settings: &mut Settings, input: &ValueText<'_>) -> Result<(), InvalidValue>;
}

type Accessor<T> = fn(&mut Settings) -> &mut T;
type Parser<T> = fn(&ValueText<'_>) -> Result<T, InvalidValue>;

/// A boolean: `--name`, `--no-name`, `--name=false`.
pub(super) struct Switch(pub(super) Accessor<bool>);

/// The same, where no value is a third one.
pub(super) struct OptionalSwitch(pub(super) Accessor<Option<bool>>);

/// One value.
pub(super) struct Scalar<T: 'static>(pub(super) Accessor<T>, pub(super) Parser<T>);

/// One value, or none.
pub(super) struct Optional<T: 'static>(pub(super) Accessor<Option<T>>, pub(super) Parser<T>);

/// One of a few words.
pub(super) struct Word<T: 'static>(
    pub(super) Accessor<T>,
    pub(super) &'static [(&'static str, T)],
);

/// Any number of items from all sources.
pub(super) struct List<T: 'static>(pub(super) Accessor<Vec<T>>, pub(super) Parser<T>);

/// Any number of names from all sources.
pub(super) struct Selection(pub(super) Accessor<Vec<String>>);

impl Field for Switch {
    fn kind(&self) -> OptionKind {
        OptionKind::Switch
    }

    fn set(&self, settings: &mut Settings, input: &ValueText<'_>) -> Result<(), InvalidValue> {
        *(self.0)(settings) = value::boolean(input)?;
        Ok(())
    }
}

impl Field for OptionalSwitch {
    fn kind(&self) -> OptionKind {
        OptionKind::Switch
    }

    fn set(&self, settings: &mut Settings, input: &ValueText<'_>) -> Result<(), InvalidValue> {
        *(self.0)(settings) = Some(value::boolean(input)?);
        Ok(())
    }
}

impl<T> Field for Scalar<T> {
    fn kind(&self) -> OptionKind {
        OptionKind::Value
    }

    fn set(&self, settings: &mut Settings, input: &ValueText<'_>) -> Result<(), InvalidValue> {
        *(self.0)(settings) = (self.1)(input)?;
        Ok(())
    }
}

impl<T> Field for Optional<T> {
    fn kind(&self) -> OptionKind {
        OptionKind::Value
    }

    fn set(&self, settings: &mut Settings, input: &ValueText<'_>) -> Result<(), InvalidValue> {
        *(self.0)(settings) = Some((self.1)(input)?);
        Ok(())
    }
}

impl<T: Copy + Sync> Field for Word<T> {
    fn kind(&self) -> OptionKind {
        OptionKind::Value
    }

    fn words(&self) -> Vec<&'static str> {
        self.1.iter().map(|(word, _)| *word).collect()
    }

    fn set(&self, settings: &mut Settings, input: &ValueText<'_>) -> Result<(), InvalidValue> {
        *(self.0)(settings) = value::word(input.text, self.1)?;
        Ok(())
    }
}

impl<T> Field for List<T> {
    fn kind(&self) -> OptionKind {
        OptionKind::List
    }

    fn set(&self, settings: &mut Settings, input: &ValueText<'_>) -> Result<(), InvalidValue> {
        let item = (self.1)(input)?;
        (self.0)(settings).push(item);
        Ok(())
    }
}

impl Field for Selection {
    fn kind(&self) -> OptionKind {
        OptionKind::Selection
    }

    fn set(&self, settings: &mut Settings, input: &ValueText<'_>) -> Result<(), InvalidValue> {
        (self.0)(settings).push(input.text.to_owned());
        Ok(())
    }
}
