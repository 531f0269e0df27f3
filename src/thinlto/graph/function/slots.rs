//! What a body refers to by number: each is told once, behind the records, and all that it leads to is
//! noted.

use super::FunctionWriter;
use crate::thinlto::graph::constants::Edge;
use crate::thinlto::graph::encoder::is_left_out;
use crate::thinlto::graph::metadata::Reference;
use crate::thinlto::graph::{Decoded, Opaque};

/// What a number in the digest means: written once, when it is first used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Slot {
    Type(u64),
    Attributes(u64),
    Value(u32),
    Metadata(u64),
    MetadataKind(u64),
    Bundle(u64),
    Scope(u64),
    Cookie(u64),
    /// The GUID that follows from the function's name.
    Guid,
}

impl FunctionWriter<'_> {
    #[cfg_attr(test, track_caller)]
    pub(super) fn slot(&mut self, slot: Slot) -> Decoded<()> {
        if is_left_out() {
            return Ok(());
        }
        let next = u32::try_from(self.slots.len()).map_err(|_| Opaque::Damaged)?;
        let number = *self.slots.entry(slot).or_insert(next);
        self.encoder.tag(u64::from(number));
        if number == next {
            self.tell(slot)?;
        }
        Ok(())
    }

    /// Writes the meaning of a slot.
    fn tell(&mut self, slot: Slot) -> Decoded<()> {
        let tables = self.tables;
        match slot {
            Slot::Type(id) => {
                self.trailer.tag(1);
                self.trailer.hash(tables.types.hash(id)?);
            }
            Slot::Attributes(id) => {
                self.trailer.tag(2);
                self.trailer.hash(&tables.attributes.hash(id)?);
            }
            Slot::Value(id) => self.tell_value(id)?,
            Slot::Metadata(id) => self.tell_metadata(id)?,
            Slot::MetadataKind(id) => {
                self.trailer.tag(7);
                self.trailer.text(tables.metadata_kind(id)?);
            }
            Slot::Bundle(id) => {
                self.trailer.tag(8);
                self.trailer.text(tables.bundle_tag(id)?);
            }
            Slot::Scope(id) => {
                self.trailer.tag(9);
                self.trailer.text(tables.sync_scope(id)?);
            }
            Slot::Cookie(cookie) => {
                self.trailer.tag(10);
                self.part.cookies.push(cookie);
            }
            Slot::Guid => self.trailer.tag(11),
        }
        Ok(())
    }

    fn tell_value(&mut self, id: u32) -> Decoded<()> {
        if let Some(name) = self.tables.names.get(id as usize) {
            self.trailer.tag(3);
            self.trailer.text(name);
            return self.reach(Edge::Global(id));
        }
        self.trailer.tag(4);
        let hash = *self.constants_of(id).hash(id)?;
        self.trailer.hash(&hash);
        self.reach(Edge::Constant(id))
    }

    fn tell_metadata(&mut self, id: u64) -> Decoded<()> {
        let context = self.tables.metadata_context();
        match self.metadata.reference(id, &context)? {
            Reference::Plain(hash) => {
                self.trailer.tag(5);
                self.trailer.hash(&hash);
            }
            Reference::Node(node) => {
                self.trailer.tag(6);
                self.part.nodes.push(node);
            }
        }
        Ok(())
    }

    /// Notes what an edge leads to, and all below it.
    fn reach(&mut self, edge: Edge) -> Decoded<()> {
        let mut stack = vec![edge];
        while let Some(edge) = stack.pop() {
            match edge {
                Edge::Global(id) => {
                    if self.seen.insert(id) {
                        self.part.globals.push(id);
                    }
                }
                Edge::Body(id) => self.part.bodies.push(id),
                Edge::Constant(id) => {
                    if self.seen.insert(id) {
                        let edges = self.constants_of(id).edges(id);
                        self.tables.budget.spend(edges.len())?;
                        stack.extend(edges);
                    }
                }
            }
        }
        Ok(())
    }
}
