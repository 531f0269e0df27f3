//! Constants, by their content: LLVM uniques them, so where they are defined does not matter.

use std::collections::HashSet;
use std::ops::Range;

use super::code::{block, constant as code};
use super::encoder::{Encoder, Hash};
use super::tables::Budget;
use super::types::Types;
use super::{Decoded, Opaque};
use crate::thinlto::bitstream::{Record, Records};

/// One piece of a constant.
#[derive(Debug, Clone, Copy)]
enum ConstantOperand {
    Number(u64),
    Type(u64),
    /// A value by its number.
    Value(u64),
    /// A function of which a basic block's address is taken.
    Body(u64),
    /// Numbers as they stand.
    Raw(u32),
}

/// What a constant refers to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Edge {
    Global(u32),
    Body(u32),
    /// A constant, by its value number.
    Constant(u32),
}

#[derive(Debug, Clone)]
struct Constant {
    code: u64,
    hash: Hash,
    edges: Range<usize>,
    /// Refers to a global, directly or not.
    reaches_global: bool,
    /// A record that is not known, here or below.
    unknown: Option<u64>,
}

/// The constants of one block, numbered from `base`.
#[derive(Debug, Default)]
pub(super) struct Constants {
    base: u32,
    list: Vec<Constant>,
    edges: Vec<Edge>,
}

/// What constants are made of besides other constants of their block.
pub(super) struct ConstantContext<'a> {
    pub(super) types: &'a Types,
    /// Names of the globals, whose value numbers come first.
    pub(super) names: &'a [&'a [u8]],
    /// The module's constants, for those of a function.
    pub(super) outer: Option<&'a Constants>,
}

impl Constants {
    pub(super) fn read(
        records: &Records,
        base: u32,
        context: &ConstantContext<'_>,
    ) -> Decoded<Self> {
        if records.nested().is_some() {
            return Err(Opaque::Place(block::CONSTANTS));
        }
        let raw = Raw::decode(records)?;
        Resolver::new(&raw, base, context).resolve()
    }

    pub(super) fn len(&self) -> usize {
        self.list.len()
    }

    fn get(&self, id: u32) -> Option<&Constant> {
        let index = id.checked_sub(self.base)?;
        self.list.get(index as usize)
    }

    /// The hash of a constant of this block.
    pub(super) fn hash(&self, id: u32) -> Decoded<&Hash> {
        let constant = self.get(id).ok_or(Opaque::Damaged)?;
        match constant.unknown {
            Some(code) => Err(unknown(code)),
            None => Ok(&constant.hash),
        }
    }

    /// The hash of a number of 64 bits as a constant.
    pub(super) fn number(value: u64) -> Hash {
        let mut encoder = Encoder::default();
        // The sign is the lowest bit.
        let signed = value.cast_signed();
        let operand = signed.unsigned_abs() << 1 | u64::from(signed < 0);
        encoder.tag(code::INTEGER);
        encoder.hash(&Types::integer(64));
        encoder.tag(1);
        encoder.tag(operand);
        encoder.finish()
    }

    /// The code of a constant's record; `None` if it is not of this block.
    pub(super) fn code(&self, id: u32) -> Option<u64> {
        self.get(id).map(|constant| constant.code)
    }

    pub(super) fn reaches_global(&self, id: u32) -> bool {
        self.get(id).is_none_or(|constant| constant.reaches_global)
    }

    /// Calls `visit` with each global that a constant of this block leads to, and with each
    /// function whose body it needs; a global may come more than once.
    pub(super) fn reach(
        &self,
        id: u32,
        budget: &Budget,
        visit: &mut dyn FnMut(Edge),
    ) -> Decoded<()> {
        let mut seen = HashSet::from([id]);
        let mut stack = vec![id];
        while let Some(id) = stack.pop() {
            let edges = self.edges(id);
            budget.spend(edges.len())?;
            for edge in edges {
                match *edge {
                    Edge::Constant(inner) => {
                        if seen.insert(inner) {
                            stack.push(inner);
                        }
                    }
                    global => visit(global),
                }
            }
        }
        Ok(())
    }

    pub(super) fn edges(&self, id: u32) -> &[Edge] {
        self.get(id)
            .map(|constant| &self.edges[constant.edges.clone()])
            .unwrap_or_default()
    }
}

/// The records of a block as pieces.
struct Raw<'a> {
    types: Vec<u64>,
    codes: Vec<u64>,
    pieces: Vec<ConstantOperand>,
    /// Where the pieces of each constant end; `None` for a record that is not known.
    ends: Vec<(u32, bool)>,
    numbers: Vec<&'a [u64]>,
}

impl<'a> Raw<'a> {
    fn decode(records: &'a Records) -> Decoded<Self> {
        let mut raw = Self {
            types: Vec::new(),
            codes: Vec::new(),
            pieces: Vec::new(),
            ends: Vec::new(),
            numbers: Vec::new(),
        };
        let mut current = None;
        for position in 0..records.len() {
            let record = records.get(position);
            if record.code == code::SETTYPE {
                match record.operands {
                    [id] => current = Some(*id),
                    _ => return Err(unknown(record.code)),
                }
                continue;
            }
            raw.types.push(current.ok_or(Opaque::Damaged)?);
            raw.codes.push(record.code);
            let before = raw.pieces.len();
            let known = raw.add(record).is_some();
            if !known {
                raw.pieces.truncate(before);
            }
            let end = u32::try_from(raw.pieces.len()).map_err(|_| Opaque::Damaged)?;
            raw.ends.push((end, known));
        }
        Ok(raw)
    }

    fn raw(&mut self, numbers: &'a [u64]) -> Option<()> {
        let index = u32::try_from(self.numbers.len()).ok()?;
        self.numbers.push(numbers);
        self.pieces.push(ConstantOperand::Raw(index));
        Some(())
    }

    fn values(&mut self, ids: &[u64]) {
        self.pieces
            .extend(ids.iter().copied().map(ConstantOperand::Value));
    }

    /// Adds the pieces of a record; `None` if it is not known.
    #[expect(clippy::too_many_lines, reason = "a table of records")]
    fn add(&mut self, record: Record<'a>) -> Option<()> {
        let operands = record.operands;
        match (record.code, operands) {
            (code::NULL | code::UNDEF | code::POISON, []) => Some(()),
            (
                code::INTEGER
                | code::WIDE_INTEGER
                | code::FLOAT
                | code::STRING
                | code::CSTRING
                | code::DATA
                | code::BYTE
                | code::WIDE_BYTE,
                _,
            ) => self.raw(operands),
            (code::AGGREGATE, _) => {
                self.pieces
                    .push(ConstantOperand::Number(operands.len() as u64));
                self.values(operands);
                Some(())
            }
            (code::CE_BINOP, [opcode, left, right, flags @ ..]) if flags.len() <= 1 => {
                self.pieces.push(ConstantOperand::Number(*opcode));
                self.values(&[*left, *right]);
                self.raw(flags)
            }
            (code::CE_CAST, [opcode, from, value, flags @ ..]) if flags.len() <= 1 => {
                self.pieces.extend([
                    ConstantOperand::Number(*opcode),
                    ConstantOperand::Type(*from),
                ]);
                self.values(&[*value]);
                self.raw(flags)
            }
            (code::CE_SHUFFLEVEC, [_, _, _]) => {
                self.values(operands);
                Some(())
            }
            (code::CE_SHUFVEC_EX, [from, values @ ..]) if values.len() == 3 => {
                self.pieces.push(ConstantOperand::Type(*from));
                self.values(values);
                Some(())
            }
            (code::CE_EXTRACTELT, [from, value, index_type, index]) => {
                self.pieces.extend([
                    ConstantOperand::Type(*from),
                    ConstantOperand::Type(*index_type),
                ]);
                self.values(&[*value, *index]);
                Some(())
            }
            (code::CE_INSERTELT, [vector, element, index_type, index]) => {
                self.pieces.push(ConstantOperand::Type(*index_type));
                self.values(&[*vector, *element, *index]);
                Some(())
            }
            (code::CE_GEP, [element, flags, pairs @ ..]) => {
                self.pieces.extend([
                    ConstantOperand::Type(*element),
                    ConstantOperand::Number(*flags),
                ]);
                self.pairs(pairs)
            }
            (code::CE_GEP_WITH_INRANGE, [element, flags, width, lower, upper, pairs @ ..])
                if *width <= 64 =>
            {
                self.pieces.extend([
                    ConstantOperand::Type(*element),
                    ConstantOperand::Number(*flags),
                ]);
                self.pieces
                    .extend([width, lower, upper].map(|number| ConstantOperand::Number(*number)));
                self.pairs(pairs)
            }
            (code::INLINEASM, [function, flags, rest @ ..]) => {
                self.pieces.extend([
                    ConstantOperand::Type(*function),
                    ConstantOperand::Number(*flags),
                ]);
                self.raw(rest)
            }
            (code::BLOCKADDRESS, [kind, function, number]) => {
                self.pieces.extend([
                    ConstantOperand::Type(*kind),
                    ConstantOperand::Body(*function),
                    ConstantOperand::Number(*number),
                ]);
                Some(())
            }
            (code::DSO_LOCAL_EQUIVALENT | code::NO_CFI_VALUE, [kind, value]) => {
                self.pieces.push(ConstantOperand::Type(*kind));
                self.values(&[*value]);
                Some(())
            }
            _ => None,
        }
    }

    /// Pairs of a type and a value.
    fn pairs(&mut self, operands: &[u64]) -> Option<()> {
        let (pairs, odd) = operands.as_chunks::<2>();
        self.pieces
            .push(ConstantOperand::Number(pairs.len() as u64));
        for [kind, value] in pairs {
            self.pieces
                .extend([ConstantOperand::Type(*kind), ConstantOperand::Value(*value)]);
        }
        odd.is_empty().then_some(())
    }

    fn pieces(&self, index: usize) -> &[ConstantOperand] {
        let start = index
            .checked_sub(1)
            .map_or(0, |before| self.ends[before].0 as usize);
        &self.pieces[start..self.ends[index].0 as usize]
    }
}

/// Hashes constants after those that they are made of.
struct Resolver<'a> {
    raw: &'a Raw<'a>,
    base: u32,
    context: &'a ConstantContext<'a>,
    done: Vec<Option<Constant>>,
    edges: Vec<Edge>,
}

impl<'a> Resolver<'a> {
    fn new(raw: &'a Raw<'a>, base: u32, context: &'a ConstantContext<'a>) -> Self {
        Self {
            raw,
            base,
            context,
            done: vec![None; raw.codes.len()],
            edges: Vec::new(),
        }
    }

    fn resolve(mut self) -> Decoded<Constants> {
        let mut under_way = vec![false; self.done.len()];
        let mut stack = Vec::new();
        for index in 0..self.done.len() {
            stack.push(index);
            while let Some(&top) = stack.last() {
                if self.done[top].is_some() {
                    stack.pop();
                    continue;
                }
                let before = stack.len();
                for piece in self.raw.pieces(top) {
                    if let Some(inner) = self.own(*piece)
                        && self.done.get(inner).ok_or(Opaque::Damaged)?.is_none()
                    {
                        stack.push(inner);
                    }
                }
                if stack.len() == before {
                    self.done[top] = Some(self.constant(top)?);
                    stack.pop();
                } else if std::mem::replace(&mut under_way[top], true) {
                    // Seen before, and something below it is still missing: a circle.
                    return Err(Opaque::Damaged);
                }
            }
        }
        Ok(Constants {
            base: self.base,
            list: self.done.into_iter().flatten().collect(),
            edges: self.edges,
        })
    }

    /// The position of a constant of this very block.
    fn own(&self, piece: ConstantOperand) -> Option<usize> {
        let ConstantOperand::Value(id) = piece else {
            return None;
        };
        usize::try_from(id.checked_sub(u64::from(self.base))?).ok()
    }

    fn constant(&mut self, index: usize) -> Decoded<Constant> {
        let code = self.raw.codes[index];
        let known = self.raw.ends[index].1;
        let mut constant = Constant {
            code,
            hash: Hash::default(),
            edges: self.edges.len()..self.edges.len(),
            reaches_global: !known,
            unknown: (!known).then_some(code),
        };
        let mut encoder = Encoder::default();
        encoder.number(code);
        encoder.hash(self.context.types.hash(self.raw.types[index])?);
        for piece in self.raw.pieces(index) {
            match *piece {
                ConstantOperand::Number(number) => encoder.number(number),
                ConstantOperand::Type(id) => encoder.hash(self.context.types.hash(id)?),
                ConstantOperand::Raw(index) => encoder.numbers(self.raw.numbers[index as usize]),
                ConstantOperand::Value(id) => self.value(id, &mut encoder, &mut constant)?,
                ConstantOperand::Body(id) => {
                    let id = u32::try_from(id).map_err(|_| Opaque::Damaged)?;
                    let name = self.context.names.get(id as usize);
                    encoder.text(name.ok_or(Opaque::Damaged)?);
                    self.edges.extend([Edge::Global(id), Edge::Body(id)]);
                    constant.reaches_global = true;
                }
            }
        }
        constant.hash = encoder.finish();
        constant.edges.end = self.edges.len();
        Ok(constant)
    }

    fn value(&mut self, id: u64, encoder: &mut Encoder, constant: &mut Constant) -> Decoded<()> {
        let id = u32::try_from(id).map_err(|_| Opaque::Damaged)?;
        if let Some(name) = self.context.names.get(id as usize) {
            encoder.tag(1);
            encoder.text(name);
            self.edges.push(Edge::Global(id));
            constant.reaches_global = true;
            return Ok(());
        }
        let own = id
            .checked_sub(self.base)
            .and_then(|index| self.done.get(index as usize))
            .and_then(Option::as_ref);
        let outer = self.context.outer.and_then(|outer| outer.get(id));
        let inner = own.or(outer).ok_or(Opaque::Damaged)?;
        encoder.tag(2);
        encoder.hash(&inner.hash);
        constant.reaches_global |= inner.reaches_global;
        constant.unknown = constant.unknown.or(inner.unknown);
        self.edges.push(Edge::Constant(id));
        Ok(())
    }
}

fn unknown(code: u64) -> Opaque {
    Opaque::Record {
        block: block::CONSTANTS,
        code,
    }
}
