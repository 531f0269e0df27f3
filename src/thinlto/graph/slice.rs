//! What one job sees of a module.

use super::encoder::Encoder;
use super::numbering::Numbering;
use super::{Decoded, Global, GlobalContent, GlobalKind, ModuleGraph, ModuleView, Opaque, Part};

/// How much of a global a slice holds; more is greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Extent {
    Absent,
    /// The record: what was a definition stays one, without its content.
    Stub,
    Whole,
}

impl ModuleGraph {
    /// What a job sees that imports the globals with GUIDs in `roots`. LLVM also reads the functions whose
    /// blocks an initializer names, imported or not, but takes nothing from them. (If their metadata
    /// for alias analysis is wrong it removes that of the whole module; no compiler writes it wrong.)
    /// `is_namesake` says whether the own module or another import of the job has a global with a
    /// name of this hash: LLVM moves such variables to the end of the list, in the order of this
    /// module, imported or not.
    ///
    /// # Errors
    /// The slice needs something whose meaning is not known.
    pub fn slice(
        &self,
        roots: &dyn Fn(u64) -> bool,
        is_namesake: &dyn Fn(u64) -> bool,
    ) -> Decoded<ModuleView> {
        let mut reached = Reached::new(self);
        reached.part(&self.head);
        for (index, global) in self.globals.iter().enumerate() {
            if !global.appending && roots(global.guid) {
                reached.add(index, Extent::Whole);
            }
        }
        reached.close()?;
        self.view(&reached.extents, is_namesake)
    }

    /// All that the graph has of the module.
    pub(super) fn everything(&self) -> Decoded<ModuleView> {
        let extents = self.globals.iter().map(|global| {
            if global.appending {
                Extent::Absent
            } else {
                Extent::Whole
            }
        });
        self.view(&extents.collect::<Vec<_>>(), &|_| false)
    }

    fn view(&self, extents: &[Extent], is_namesake: &dyn Fn(u64) -> bool) -> Decoded<ModuleView> {
        let mut out = Encoder::default();
        let mut met = Met::default();
        met.part(&self.head, &mut out);
        for (global, extent) in self.globals.iter().zip(extents) {
            match extent {
                Extent::Absent => {
                    let namesake = global.kind == GlobalKind::Variable
                        && !global.local
                        && !global.appending
                        && is_namesake(global.name);
                    if namesake {
                        out.tag(1);
                        out.number(global.name);
                    }
                }
                Extent::Stub => {
                    out.tag(2);
                    met.part(&global.record, &mut out);
                }
                Extent::Whole => {
                    out.tag(3);
                    met.part(&global.record, &mut out);
                    match &global.content {
                        GlobalContent::None => out.tag(0),
                        GlobalContent::Known(content) => {
                            out.tag(1);
                            met.part(content, &mut out);
                        }
                        GlobalContent::Unknown(reason) => return Err(reason.clone()),
                    }
                }
            }
        }
        out.tag(0);
        let mut written = 0;
        while let Some(node) = met.nodes.items().get(written) {
            let node = self.nodes.get(*node as usize).ok_or(Opaque::Damaged)?;
            out.hash(&node.digest);
            refer(&node.refs, &mut met.nodes, &mut out);
            written += 1;
        }
        let globals = self.globals.iter().zip(extents);
        let mut reached = globals.filter(|(_, extent)| **extent != Extent::Absent);
        Ok(ModuleView {
            digest: out.finish(),
            locals: reached.any(|(global, _)| global.local),
            cookies: met.cookies.into_items(),
        })
    }
}

/// What has an identity besides its content, numbered when it is first met.
#[derive(Default)]
struct Met {
    nodes: Numbering<u32>,
    cookies: Numbering<u64>,
}

impl Met {
    fn part(&mut self, part: &Part, out: &mut Encoder) {
        out.hash(&part.digest);
        refer(&part.nodes, &mut self.nodes, out);
        refer(&part.cookies, &mut self.cookies, out);
    }
}

#[cfg_attr(test, track_caller)]
fn refer<T: Copy + Eq + std::hash::Hash>(
    items: &[T],
    numbering: &mut Numbering<T>,
    out: &mut Encoder,
) {
    out.tag(items.len() as u64);
    for item in items {
        out.number(numbering.number(*item));
    }
}

/// The closure of what roots lead to.
struct Reached<'a> {
    graph: &'a ModuleGraph,
    extents: Vec<Extent>,
    nodes: Vec<bool>,
    globals_left: Vec<usize>,
    nodes_left: Vec<u32>,
}

impl<'a> Reached<'a> {
    fn new(graph: &'a ModuleGraph) -> Self {
        Self {
            graph,
            extents: vec![Extent::Absent; graph.globals.len()],
            nodes: vec![false; graph.nodes.len()],
            globals_left: Vec::new(),
            nodes_left: Vec::new(),
        }
    }

    fn add(&mut self, index: usize, extent: Extent) {
        let appending = self.graph.globals.get(index).is_some_and(|it| it.appending);
        if let Some(now) = self.extents.get_mut(index)
            && *now < extent
            && !appending
        {
            *now = extent;
            self.globals_left.push(index);
        }
    }

    fn add_all(&mut self, globals: &[u32], extent: Extent) {
        for global in globals {
            self.add(*global as usize, extent);
        }
    }

    fn part(&mut self, part: &Part) {
        self.add_all(&part.globals, Extent::Stub);
        self.add_all(&part.bodies, Extent::Whole);
        self.add_nodes(&part.nodes);
    }

    fn add_nodes(&mut self, nodes: &[u32]) {
        for node in nodes {
            if let Some(seen) = self.nodes.get_mut(*node as usize)
                && !std::mem::replace(seen, true)
            {
                self.nodes_left.push(*node);
            }
        }
    }

    fn close(&mut self) -> Decoded<()> {
        loop {
            if let Some(index) = self.globals_left.pop() {
                self.global(&self.graph.globals[index], self.extents[index])?;
            } else if let Some(node) = self.nodes_left.pop() {
                let node = &self.graph.nodes[node as usize];
                self.add_all(&node.globals, Extent::Stub);
                self.add_all(&node.bodies, Extent::Whole);
                self.add_nodes(&node.refs);
            } else {
                return Ok(());
            }
        }
    }

    fn global(&mut self, global: &'a Global, extent: Extent) -> Decoded<()> {
        // A local that is not promoted would be linked with all that it refers to.
        if global.local && global.kind == GlobalKind::Ifunc {
            return Err(Opaque::LocalIfunc);
        }
        self.part(&global.record);
        if extent == Extent::Whole {
            if global.kind == GlobalKind::Alias {
                self.add_all(&global.record.globals, Extent::Whole);
            }
            if let GlobalContent::Known(content) = &global.content {
                self.part(content);
            }
        }
        Ok(())
    }
}
