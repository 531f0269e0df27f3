//! Metadata: strings and uniqued trees by content, everything else as nodes with an identity.
//!
//! A node is *plain* when its content says all: it is uniqued, and so is all below it, without a
//! circle and without a global. Other nodes are numbered by the slice that reaches them.

mod source;

use std::collections::{BTreeSet, VecDeque};

use super::code::{block, metadata as code};
use super::constants::{Constants, Edge};
use super::encoder::{Encoder, Hash};
use super::tables::Budget;
use super::types::Types;
use super::{Decoded, Node, Opaque};
use crate::thinlto::bitstream::{BitReader, Records, text};

pub(super) use self::source::Guid;

/// How deep plain nodes may be nested.
const MAX_DEPTH: u32 = 256;

#[derive(Debug, Clone, Copy)]
enum MetadataEntry {
    /// A range of the table's text.
    Text(u32, u32),
    /// Type and value.
    Value(u64, u64),
    /// A range of the table's operands, each one more than the number of the node.
    Node {
        distinct: bool,
        start: u32,
        end: u32,
    },
}

#[derive(Debug, Clone, Copy)]
enum DigestState {
    New,
    UnderWay,
    Plain(Hash),
    /// Not plain; its place among the nodes where it has one.
    Identity(Option<u32>),
}

/// The metadata of one block.
#[derive(Debug, Default)]
pub(super) struct MetadataBlock {
    base: u32,
    entries: Vec<MetadataEntry>,
    states: Vec<DigestState>,
    operands: Vec<u64>,
    text: Vec<u8>,
    /// Name and nodes of named metadata.
    pub(super) named: Vec<(Vec<u64>, Vec<u64>)>,
    /// Global and pairs of kind and node.
    pub(super) attachments: Vec<(u64, Vec<u64>)>,
}

impl MetadataBlock {
    pub(super) fn read(records: &Records, base: u32) -> Decoded<Self> {
        if records.nested().is_some() {
            return Err(Opaque::Place(block::METADATA));
        }
        let mut table = Self {
            base,
            ..Self::default()
        };
        let mut name: Option<Vec<u64>> = None;
        for record in records.iter() {
            let operands = record.operands;
            match (record.code, operands) {
                (code::STRINGS, [count, offset, blob @ ..]) if table.entries.is_empty() => {
                    table.strings(*count, *offset, blob)?;
                }
                (code::VALUE, [kind, value]) => table.push(MetadataEntry::Value(*kind, *value)),
                (code::NODE | code::DISTINCT_NODE, _) => {
                    let start = narrow(table.operands.len())?;
                    table.operands.extend_from_slice(operands);
                    let end = narrow(table.operands.len())?;
                    let distinct = record.code == code::DISTINCT_NODE;
                    table.push(MetadataEntry::Node {
                        distinct,
                        start,
                        end,
                    });
                }
                (code::NAME, _) if name.is_none() => name = Some(operands.to_vec()),
                (code::NAMED_NODE, _) => {
                    let name = name.take().ok_or(Opaque::Damaged)?;
                    table.named.push((name, operands.to_vec()));
                }
                (code::GLOBAL_DECL_ATTACHMENT, [global, pairs @ ..]) if pairs.len() % 2 == 0 => {
                    table.attachments.push((*global, pairs.to_vec()));
                }
                // Where the records stand: for lazy loading.
                (code::INDEX_OFFSET | code::INDEX, _) => {}
                (
                    code::LOCATION
                    | code::FIRST_DEBUG..=code::LAST_DEBUG
                    | code::GLOBAL_VARIABLE_EXPRESSION
                    | code::FIRST_LATER_DEBUG..=code::LAST_LATER_DEBUG,
                    _,
                ) => return Err(Opaque::DebugInfo),
                (code, _) => return Err(unknown(code)),
            }
        }
        Ok(table)
    }

    fn push(&mut self, entry: MetadataEntry) {
        self.entries.push(entry);
        self.states.push(DigestState::New);
    }

    /// Texts: their lengths as numbers in pieces of six bits, then, at `offset`, their characters.
    fn strings(&mut self, count: u64, offset: u64, blob: &[u64]) -> Decoded<()> {
        let bytes = text(blob);
        let offset = usize::try_from(offset).map_err(|_| Opaque::Damaged)?;
        let (lengths, text) = bytes.split_at_checked(offset).ok_or(Opaque::Damaged)?;
        let mut bits = BitReader::new(lengths, 0);
        let mut start = 0;
        for _ in 0..count {
            let length = usize::try_from(bits.vbr(6)?).map_err(|_| Opaque::Damaged)?;
            let end = length.checked_add(start).filter(|end| *end <= text.len());
            let end = end.ok_or(Opaque::Damaged)?;
            self.push(MetadataEntry::Text(narrow(start)?, narrow(end)?));
            start = end;
        }
        self.text = text.to_vec();
        Ok(())
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether one of the texts is this one.
    pub(super) fn has_text(&self, wanted: &[u8]) -> bool {
        let mut entries = self.entries.iter();
        entries.any(|entry| match entry {
            MetadataEntry::Text(start, end) => self.text[*start as usize..*end as usize] == *wanted,
            _ => false,
        })
    }

    /// All texts, one behind the other.
    pub(super) fn text(&self) -> &[u8] {
        &self.text
    }
}

/// What metadata refers to besides other metadata.
pub(super) struct MetadataContext<'a> {
    pub(super) types: &'a Types,
    pub(super) names: &'a [&'a [u8]],
    pub(super) constants: &'a Constants,
    pub(super) budget: &'a Budget,
}

/// How a digest refers to a piece of metadata.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reference {
    Plain(Hash),
    /// The index of a node.
    Node(u32),
}

/// The metadata of a module, and of one function at a time.
#[derive(Debug)]
pub(super) struct Metadata {
    module: MetadataBlock,
    function: Option<MetadataBlock>,
    pub(super) nodes: Vec<Node>,
    /// The constants, by their value numbers, that say where the source is: those of location
    /// cookies, and the GUIDs of local values.
    pub(super) source_values: BTreeSet<u32>,
}

impl Metadata {
    pub(super) fn new(module: MetadataBlock) -> Self {
        Self {
            module,
            function: None,
            nodes: Vec::new(),
            source_values: BTreeSet::new(),
        }
    }

    /// The number of the first metadata of a function.
    pub(super) fn function_base(&self) -> Decoded<u32> {
        narrow(self.module.len())
    }

    /// Makes `table` that of the function that is read, or none.
    pub(super) fn set_function(&mut self, table: Option<MetadataBlock>) {
        self.function = table;
    }

    pub(super) fn has_function(&self) -> bool {
        self.function.is_some()
    }

    pub(super) fn function_text(&self) -> &[u8] {
        self.function
            .as_ref()
            .map(MetadataBlock::text)
            .unwrap_or_default()
    }

    /// The reference to metadata `id`; its content is in `nodes` afterwards, if it has an identity.
    pub(super) fn reference(
        &mut self,
        id: u64,
        context: &MetadataContext<'_>,
    ) -> Decoded<Reference> {
        let id = u32::try_from(id).map_err(|_| Opaque::Damaged)?;
        let mut queue = VecDeque::new();
        let found = self.refer(id, context, &mut queue)?;
        while let Some((id, node)) = queue.pop_front() {
            self.nodes[node as usize] = self.content(id, context, &mut queue)?;
        }
        Ok(found)
    }

    fn refer(
        &mut self,
        id: u32,
        context: &MetadataContext<'_>,
        queue: &mut VecDeque<(u32, u32)>,
    ) -> Decoded<Reference> {
        if let Some(hash) = self.plain(id, context, 0)? {
            return Ok(Reference::Plain(hash));
        }
        if let DigestState::Identity(Some(node)) = *self.state(id)? {
            return Ok(Reference::Node(node));
        }
        let node = narrow(self.nodes.len())?;
        self.nodes.push(Node::default());
        *self.state(id)? = DigestState::Identity(Some(node));
        queue.push_back((id, node));
        Ok(Reference::Node(node))
    }

    fn table(&self, id: u32) -> Decoded<(&MetadataBlock, usize)> {
        let in_function = self
            .function
            .as_ref()
            .filter(|table| id >= table.base)
            .map(|table| (table, (id - table.base) as usize));
        let (table, index) = in_function.unwrap_or((&self.module, id as usize));
        if index < table.entries.len() {
            Ok((table, index))
        } else {
            Err(Opaque::Damaged)
        }
    }

    fn state(&mut self, id: u32) -> Decoded<&mut DigestState> {
        let (_, index) = self.table(id)?;
        let table = match &mut self.function {
            Some(table) if id >= table.base => table,
            _ => &mut self.module,
        };
        Ok(&mut table.states[index])
    }

    /// The hash of a plain node, `None` for others.
    fn plain(
        &mut self,
        id: u32,
        context: &MetadataContext<'_>,
        depth: u32,
    ) -> Decoded<Option<Hash>> {
        match *self.state(id)? {
            DigestState::Plain(hash) => return Ok(Some(hash)),
            DigestState::Identity(_) | DigestState::UnderWay => return Ok(None),
            DigestState::New if depth > MAX_DEPTH => return Err(Opaque::Depth),
            DigestState::New => *self.state(id)? = DigestState::UnderWay,
        }
        let hash = self.plain_content(id, context, depth)?;
        *self.state(id)? = hash.map_or(DigestState::Identity(None), DigestState::Plain);
        Ok(hash)
    }

    fn plain_content(
        &mut self,
        id: u32,
        context: &MetadataContext<'_>,
        depth: u32,
    ) -> Decoded<Option<Hash>> {
        let mut encoder = Encoder::default();
        let (table, index) = self.table(id)?;
        match table.entries[index] {
            MetadataEntry::Text(start, end) => {
                encoder.tag(1);
                encoder.text(&table.text[start as usize..end as usize]);
            }
            MetadataEntry::Value(kind, value) => {
                let value = u32::try_from(value).map_err(|_| Opaque::Damaged)?;
                let is_global = (value as usize) < context.names.len();
                if is_global || context.constants.reaches_global(value) {
                    return Ok(None);
                }
                encoder.tag(2);
                encoder.hash(context.types.hash(kind)?);
                encoder.hash(context.constants.hash(value)?);
            }
            MetadataEntry::Node { distinct: true, .. } => return Ok(None),
            MetadataEntry::Node { start, end, .. } => {
                encoder.tag(3);
                encoder.tag(u64::from(end - start));
                let mut plain = true;
                for at in start..end {
                    let (table, _) = self.table(id)?;
                    match table.operands[at as usize].checked_sub(1) {
                        None => encoder.tag(0),
                        Some(inner) => {
                            let inner = u32::try_from(inner).map_err(|_| Opaque::Damaged)?;
                            match self.plain(inner, context, depth + 1)? {
                                Some(hash) => {
                                    encoder.tag(1);
                                    encoder.hash(&hash);
                                }
                                None => plain = false,
                            }
                        }
                    }
                }
                if !plain {
                    return Ok(None);
                }
            }
        }
        Ok(Some(encoder.finish()))
    }

    /// The content of a node with an identity.
    fn content(
        &mut self,
        id: u32,
        context: &MetadataContext<'_>,
        queue: &mut VecDeque<(u32, u32)>,
    ) -> Decoded<Node> {
        let mut node = Node::default();
        let mut encoder = Encoder::default();
        let (table, index) = self.table(id)?;
        match table.entries[index] {
            MetadataEntry::Text(..) => return Err(Opaque::Damaged),
            MetadataEntry::Value(kind, value) => {
                encoder.tag(2);
                encoder.hash(context.types.hash(kind)?);
                let value = u32::try_from(value).map_err(|_| Opaque::Damaged)?;
                if let Some(name) = context.names.get(value as usize) {
                    encoder.tag(1);
                    encoder.text(name);
                    node.globals.push(value);
                } else {
                    encoder.tag(2);
                    encoder.hash(context.constants.hash(value)?);
                    let visit = &mut |edge| match edge {
                        Edge::Body(function) => node.bodies.push(function),
                        Edge::Global(global) | Edge::Constant(global) => node.globals.push(global),
                    };
                    context.constants.reach(value, context.budget, visit)?;
                    node.globals.sort_unstable();
                    node.globals.dedup();
                }
            }
            MetadataEntry::Node {
                distinct,
                start,
                end,
            } => {
                encoder.number(if distinct { 4 } else { 3 });
                encoder.tag(u64::from(end - start));
                for at in start..end {
                    let (table, _) = self.table(id)?;
                    let Some(inner) = table.operands[at as usize].checked_sub(1) else {
                        encoder.tag(0);
                        continue;
                    };
                    let inner = u32::try_from(inner).map_err(|_| Opaque::Damaged)?;
                    match self.refer(inner, context, queue)? {
                        Reference::Plain(hash) => {
                            encoder.tag(1);
                            encoder.hash(&hash);
                        }
                        Reference::Node(inner) => {
                            encoder.tag(2);
                            node.refs.push(inner);
                        }
                    }
                }
            }
        }
        node.digest = encoder.finish();
        Ok(node)
    }
}

fn narrow(length: usize) -> Decoded<u32> {
    u32::try_from(length).map_err(|_| Opaque::Damaged)
}

fn unknown(code: u64) -> Opaque {
    Opaque::Record {
        block: block::METADATA,
        code,
    }
}
