//! What a source tree may ask for: its sensitive settings wait until the user has allowed the
//! content of its `.relto.toml`, and the user's credentials go only to addresses that the user
//! knows of.
//!
//! What is allowed is remembered ([`allow_list`](super::allow_list)) by a digest of all content that
//! the decision covers ([`covered`](super::covered)): a changed file waits again.

use super::address::shown_address;
use super::allow_list::{AllowList, Allowed};
use super::covered::TreeFile;
use super::credential::{AllowedCredential, Credential};
use super::environment::Environment;
use super::error::Warning;
use super::merge::{MergedValues, merged};
use super::netrc::NetrcLogin;
use super::options::{Class, Opt, printable};
use super::source::{ConfigEntry, RawValue};
use super::table::OPTIONS;
use super::value::ValueText;
use crate::state::Secret;

/// The decision about the tree of one invocation.
#[derive(Debug)]
pub(super) struct Trust {
    tree: Option<TreeFile>,
    record: Option<Allowed>,
    /// The names of the settings that wait.
    waiting: Vec<&'static str>,
    /// Everything is in force, as it will be once the tree is allowed.
    as_if_allowed: bool,
}

impl Trust {
    pub(super) fn new(tree: Option<TreeFile>, environment: &Environment) -> Self {
        let list = AllowList::of(environment);
        let record = tree.as_ref().and_then(|tree| list.find(&tree.path));
        Self {
            tree,
            record,
            waiting: Vec::new(),
            as_if_allowed: false,
        }
    }

    pub(super) fn as_if_allowed(tree: Option<TreeFile>) -> Self {
        Self {
            tree,
            record: None,
            waiting: Vec::new(),
            as_if_allowed: true,
        }
    }

    fn is_allowed(&self) -> bool {
        let is_same = |(record, tree): (&Allowed, &TreeFile)| record.digest == tree.digest();
        self.as_if_allowed
            || self
                .record
                .as_ref()
                .zip(self.tree.as_ref())
                .is_some_and(is_same)
    }

    /// The tree names an address that waits.
    pub(super) fn farm_waits(&self) -> bool {
        self.waiting.contains(&"remote_executor")
    }

    /// Takes what has to wait out of `layers`, which are in order, the strongest first.
    pub(super) fn hold_back(&mut self, layers: &mut [Vec<ConfigEntry>], environment: &Environment) {
        if self.is_allowed() {
            return;
        }
        let own = WithoutTree::of(layers, environment);
        for layer in layers {
            layer.retain(|entry| {
                let name = entry.option.name;
                let waits = own.waits(entry);
                if waits && !self.waiting.contains(&name) {
                    self.waiting.push(name);
                }
                !waits
            });
        }
    }

    /// The one warning about what waits.
    pub(super) fn warning(&self) -> Option<Warning> {
        let tree = self.tree.as_ref().filter(|_| !self.waiting.is_empty())?;
        let keys: Vec<_> = self.waiting.iter().map(|key| format!("`{key}`")).collect();
        let reason = match self.record {
            Some(_) => "has changed since you allowed it",
            None => "is not allowed yet",
        };
        Some(Warning {
            text: format!(
                "`{}` {reason}; ignored: {}",
                tree.path.display(),
                keys.join(", ")
            ),
            hint: Some("`relto allow` shows what it asks for, and allows it".to_owned()),
        })
    }

    /// Takes the user's credentials out of `values` and `login` where they would go to an address
    /// that only the tree names and for which the user has not allowed them.
    pub(super) fn withhold_credentials(
        &self,
        values: &mut MergedValues,
        login: &mut Option<NetrcLogin>,
        environment: &Environment,
    ) -> Option<Warning> {
        let addresses = tree_addresses(values);
        if self.as_if_allowed || addresses.is_empty() {
            return None;
        }
        let known = |address: &String| {
            let record = self.record.as_ref();
            record.is_some_and(|record| record.addresses.contains(address))
        };
        let bound: &[AllowedCredential] = match &self.record {
            Some(record) if addresses.iter().all(known) => &record.credentials,
            _ => &[],
        };
        // Without the secret nothing is known again.
        let secret = match bound {
            [] => None,
            _ => AllowList::of(environment).secret().ok(),
        };
        let goes = |credential: &Credential| {
            let secret = secret.as_ref();
            secret.is_some_and(|secret| bound.contains(&credential.allowed(secret)))
        };
        let mut withheld = Vec::new();
        values.retain(|option, value| {
            let credential = Credential::sent_to(&addresses, option, value, environment);
            let waits = credential.filter(|it| !goes(it));
            withheld.extend(waits.iter().map(|it| format!("`{}`", it.name)));
            waits.is_none()
        });
        let waits = login.take_if(|login| !goes(&login.credential));
        withheld.extend(waits.map(|it| format!("`{}`", it.credential.name)));
        (!withheld.is_empty()).then(|| Warning {
            text: format!(
                "not sent to {}: {}",
                shown_addresses(&addresses),
                withheld.join(", ")
            ),
            hint: Some(
                "the address is from a `.relto.toml`; `relto allow` shows both and allows it"
                    .to_owned(),
            ),
        })
    }
}

/// What all sources but the tree set.
pub(super) struct WithoutTree<'a> {
    pub(super) layers: Vec<Vec<ConfigEntry>>,
    environment: &'a Environment,
}

impl<'a> WithoutTree<'a> {
    /// `layers` are in order, the strongest first.
    pub(super) fn of(layers: &[Vec<ConfigEntry>], environment: &'a Environment) -> Self {
        let own = |layer: &Vec<ConfigEntry>| {
            let entries = layer.iter().filter(|entry| !entry.source.is_tree());
            entries.cloned().collect()
        };
        Self {
            layers: layers.iter().map(own).collect(),
            environment,
        }
    }

    /// Whether `entry` is of the tree and waits until the user has allowed that.
    pub(super) fn waits(&self, entry: &ConfigEntry) -> bool {
        entry.source.is_tree()
            && match entry.option.class {
                Class::Harmless => false,
                Class::Lowered => self.is_exceeded_by(entry),
                Class::Sensitive | Class::UserOnly => true,
            }
    }

    fn is_exceeded_by(&self, entry: &ConfigEntry) -> bool {
        let theirs = self.taken(entry.option, entry.raw_values().last());
        let own = self.taken(entry.option, merged(entry.option, &self.layers).pop());
        // What is no value is an error, wherever it stands.
        matches!((theirs, own), (Some(theirs), Some(own)) if theirs > own)
    }

    fn taken(&self, option: &Opt, value: Option<RawValue>) -> Option<u64> {
        let value = value.filter(|value| !value.text.is_empty());
        let value = value.or_else(|| option.default_value());
        let input = value.as_ref().map(|value| ValueText {
            text: &value.text,
            base: value.source.base(self.environment.current_dir()),
            environment: self.environment,
            in_tree: value.source.is_tree(),
        });
        option.measure?(input.as_ref()).ok()
    }
}

/// The addresses in force that the tree names.
fn tree_addresses(values: &MergedValues) -> Vec<String> {
    let addresses = values.iter().filter(|(option, _)| option.address);
    let of_tree = addresses.flat_map(|(_, values)| values.iter().filter(|it| it.source.is_tree()));
    of_tree
        .filter(|value| !value.text.is_empty())
        .map(|value| value.text.clone())
        .collect()
}

/// `addresses` in a line of a message.
pub fn shown_addresses(addresses: &[String]) -> String {
    let shown: Vec<_> = addresses.iter().map(|it| shown_address(it)).collect();
    printable(&shown.join(", "))
}

/// The sensitive settings of a tree, and what allowing them means.
#[derive(Debug)]
pub struct TrustRequest {
    pub tree: TreeFile,
    /// Names and values of its sensitive settings.
    pub settings: Vec<(&'static str, String)>,
    pub addresses: Vec<String>,
    /// The user's credentials that would go to the addresses.
    pub credentials: Vec<Credential>,
}

impl TrustRequest {
    /// `values` and `login` are those that are in force once the tree is allowed; `assignments` all
    /// of the tree that wait until then.
    pub(super) fn new<'a>(
        tree: TreeFile,
        values: &MergedValues,
        login: Option<NetrcLogin>,
        assignments: impl Iterator<Item = &'a ConfigEntry>,
        environment: &Environment,
    ) -> Self {
        let mut settings = Vec::new();
        let mut addresses = Vec::new();
        for assignment in assignments {
            let option = assignment.option;
            for text in &assignment.values {
                settings.push((option.name, option.shown(text)));
                if option.address && !text.is_empty() && !addresses.contains(text) {
                    addresses.push(text.clone());
                }
            }
        }
        let sent = &addresses[..];
        let credentials = values.iter().flat_map(|(option, values)| {
            let values = values.iter();
            values.filter_map(move |value| Credential::sent_to(sent, option, value, environment))
        });
        let of_netrc = login.map(|login| login.credential);
        let mut credentials: Vec<_> = credentials.chain(of_netrc).collect();
        if addresses.is_empty() {
            credentials.clear();
        }
        settings.sort_by_key(|(name, _)| OPTIONS.iter().position(|option| option.name == *name));
        Self {
            tree,
            settings,
            addresses,
            credentials,
        }
    }

    /// The record of the user's consent.
    pub(super) fn allowed(&self, secret: &Secret) -> Allowed {
        Allowed {
            path: self.tree.path.clone(),
            digest: self.tree.digest(),
            addresses: self.addresses.clone(),
            credentials: self
                .credentials
                .iter()
                .map(|it| it.allowed(secret))
                .collect(),
        }
    }
}
