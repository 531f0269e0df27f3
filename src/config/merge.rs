//! Which of several sources wins. Nothing here knows a single option.
//!
//! The strongest source that sets an option decides. Lists are gathered from all sources; an item
//! with the same name as one from a weaker source replaces it, and an empty item
//! (`--remote-header=`) drops all that came before it.

use std::fmt;

use super::options::{OPTIONS, Opt, OptionKind};
use super::source::{ConfigEntry, ConfigSource, EffectiveValue, RawValue};

/// For each option of the table, in its order, the raw values in force; none where no source sets
/// it.
#[derive(Clone)]
pub struct MergedValues(Vec<Vec<RawValue>>);

impl fmt::Debug for MergedValues {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.effective()).finish()
    }
}

impl MergedValues {
    /// `layers` are in order, the strongest first.
    pub(super) fn merge(layers: &[Vec<ConfigEntry>]) -> Self {
        let options = OPTIONS.iter();
        Self(options.map(|option| merged(option, layers)).collect())
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&'static Opt, &[RawValue])> {
        OPTIONS.iter().zip(self.0.iter().map(Vec::as_slice))
    }

    /// Keeps the values that `keep` accepts.
    pub(super) fn retain(&mut self, mut keep: impl FnMut(&'static Opt, &RawValue) -> bool) {
        for (option, values) in OPTIONS.iter().zip(&mut self.0) {
            values.retain(|value| keep(option, value));
        }
    }

    /// Every value that some source sets, in the order of the table.
    pub fn effective(&self) -> impl Iterator<Item = EffectiveValue> {
        self.iter().flat_map(|(option, values)| {
            values.iter().map(|value| EffectiveValue {
                name: option.name,
                value: option.shown(&value.text),
                source: value.source.clone(),
            })
        })
    }

    /// The value of every option, its default where no source sets it.
    pub fn effective_with_defaults(&self) -> impl Iterator<Item = EffectiveValue> {
        self.iter().flat_map(|(option, values)| {
            let default = values.is_empty().then(|| EffectiveValue {
                name: option.name,
                value: option.default_text().to_owned(),
                source: ConfigSource::Default,
            });
            let set = values.iter().map(|value| EffectiveValue {
                name: option.name,
                value: option.shown(&value.text),
                source: value.source.clone(),
            });
            default.into_iter().chain(set)
        })
    }
}

/// The raw values of `option` that win. `layers` are in order, the strongest first.
pub(super) fn merged(option: &Opt, layers: &[Vec<ConfigEntry>]) -> Vec<RawValue> {
    let of_layer = |layer: &Vec<ConfigEntry>| -> Vec<RawValue> {
        layer
            .iter()
            .filter(|assignment| assignment.option.name == option.name)
            .flat_map(ConfigEntry::raw_values)
            .collect()
    };
    let by_strength = layers.iter().map(of_layer);
    match option.kind() {
        OptionKind::Switch | OptionKind::Value => {
            strongest(by_strength).pop().into_iter().collect()
        }
        OptionKind::Selection => gathered(|item| item.text.clone(), by_strength.rev()),
        OptionKind::List => gathered(|item| option.item_name(&item.text), by_strength.rev()),
    }
}

fn strongest(mut by_strength: impl Iterator<Item = Vec<RawValue>>) -> Vec<RawValue> {
    by_strength
        .find(|values| !values.is_empty())
        .unwrap_or_default()
}

fn gathered(
    name: impl Fn(&RawValue) -> String,
    from_weakest: impl Iterator<Item = Vec<RawValue>>,
) -> Vec<RawValue> {
    let mut gathered: Vec<RawValue> = Vec::new();
    for mut layer in from_weakest {
        if let Some(last_clear) = layer.iter().rposition(|item| item.text.is_empty()) {
            gathered.clear();
            layer.drain(..=last_clear);
        }
        gathered.retain(|old| layer.iter().all(|new| name(new) != name(old)));
        gathered.append(&mut layer);
    }
    gathered
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(name: &str, values: &[&str]) -> ConfigEntry {
        ConfigEntry {
            option: Opt::find(name).expect("an option"),
            values: values.iter().map(|&value| value.to_owned()).collect(),
            source: ConfigSource::CommandLine,
        }
    }

    fn texts(name: &str, layers: &[&[&str]]) -> Vec<String> {
        let layers: Vec<_> = layers
            .iter()
            .map(|values| vec![set(name, values)])
            .collect();
        let values = merged(Opt::find(name).expect("an option"), &layers);
        values.into_iter().map(|value| value.text).collect()
    }

    #[test]
    fn the_last_scalar_of_the_strongest_source_wins() {
        assert_eq!(texts("jobs", &[&["1", "2"], &["3"]]), ["2"]);
    }

    #[test]
    fn lists_are_gathered_and_items_of_the_same_name_replaced() {
        let name = "remote_default_exec_properties";
        assert_eq!(texts(name, &[&["b=2"], &["a=1", "b=1"]]), ["a=1", "b=2"]);
        assert_eq!(texts(name, &[&["", "c=3"], &["a=1"]]), ["c=3"]);
        assert_eq!(texts("remote_header", &[&["X-A=2"], &["x-a=1"]]), ["X-A=2"]);
    }

    #[test]
    fn chosen_tables_of_all_sources_count_and_the_strongest_source_comes_last() {
        assert_eq!(texts("config", &[&["b", "c"], &["a"]]), ["a", "b", "c"]);
        assert_eq!(texts("config", &[&["a"], &["a", "b"]]), ["b", "a"]);
        assert_eq!(texts("config", &[&["", "b"], &["a"]]), ["b"]);
    }

    #[test]
    fn repeated_headers_of_one_source_all_count() {
        assert_eq!(texts("remote_header", &[&["a=1", "a=2"]]), ["a=1", "a=2"]);
    }

    #[test]
    fn secrets_are_masked_wherever_they_are_shown() {
        let layers = [vec![set(
            "remote_header",
            &["authorization=Bearer hunter2"],
        )]];
        assert!(!format!("{layers:?}").contains("hunter2"));
        let values = MergedValues::merge(&layers);
        assert!(!format!("{values:?}").contains("hunter2"));
        assert!(format!("{values:?}").contains("authorization=***"));
    }
}
