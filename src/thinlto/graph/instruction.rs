//! Instructions: which operand of a record is a value, a type, a block or a plain number.
//!
//! The layouts are those of `BitcodeWriter.cpp` with relative value numbers and opaque pointers.
//! Whatever older readers also accept is unknown here.

use super::code::block;
use super::function::FunctionWriter;
use super::operands::{Operands, narrow};
use super::types::TypeShape;
use super::{Decoded, Opaque};

/// Records of a function block.
mod code {
    pub(super) const DECLAREBLOCKS: u64 = 1;
    pub(super) const BINOP: u64 = 2;
    pub(super) const CAST: u64 = 3;
    pub(super) const EXTRACTELT: u64 = 6;
    pub(super) const INSERTELT: u64 = 7;
    pub(super) const SHUFFLEVEC: u64 = 8;
    pub(super) const RET: u64 = 10;
    pub(super) const BR: u64 = 11;
    pub(super) const SWITCH: u64 = 12;
    pub(super) const INVOKE: u64 = 13;
    pub(super) const UNREACHABLE: u64 = 15;
    pub(super) const PHI: u64 = 16;
    pub(super) const ALLOCA: u64 = 19;
    pub(super) const LOAD: u64 = 20;
    pub(super) const VAARG: u64 = 23;
    pub(super) const EXTRACTVAL: u64 = 26;
    pub(super) const INSERTVAL: u64 = 27;
    pub(super) const CMP2: u64 = 28;
    pub(super) const VSELECT: u64 = 29;
    pub(super) const INDIRECTBR: u64 = 31;
    pub(super) const CALL: u64 = 34;
    pub(super) const FENCE: u64 = 36;
    pub(super) const RESUME: u64 = 39;
    pub(super) const LOADATOMIC: u64 = 41;
    pub(super) const GEP: u64 = 43;
    pub(super) const STORE: u64 = 44;
    pub(super) const STOREATOMIC: u64 = 45;
    pub(super) const CMPXCHG: u64 = 46;
    pub(super) const LANDINGPAD: u64 = 47;
    pub(super) const CLEANUPRET: u64 = 48;
    pub(super) const CATCHRET: u64 = 49;
    pub(super) const CATCHPAD: u64 = 50;
    pub(super) const CLEANUPPAD: u64 = 51;
    pub(super) const CATCHSWITCH: u64 = 52;
    pub(super) const OPERAND_BUNDLE: u64 = 55;
    pub(super) const UNOP: u64 = 56;
    pub(super) const CALLBR: u64 = 57;
    pub(super) const FREEZE: u64 = 58;
    pub(super) const ATOMICRMW: u64 = 59;
}

/// Bits of the second operand of calls.
const INVOKE_EXPLICIT_TYPE: u64 = 1 << 13;
const CALL_EXPLICIT_TYPE: u64 = 1 << 15;
const CALL_FAST_MATH: u64 = 1 << 17;
/// In a bundle: the operand that follows is metadata.
const BUNDLE_METADATA: u64 = 0x8000_0000;
/// High half of the first operand of an old form of `switch`.
const SWITCH_MAGIC: u64 = 0x4B5;

impl FunctionWriter<'_> {
    /// Adds a record of a function block.
    pub(super) fn instruction(&mut self, code: u64, operands: &[u64]) -> Decoded<()> {
        let mut rest = Operands {
            code,
            rest: operands,
        };
        let operands = &mut rest;
        self.record(block::FUNCTION, code);
        self.count(operands.rest.len() as u64);
        let yields = match code {
            code::DECLAREBLOCKS => {
                self.numbers(operands, 1)?;
                false
            }
            code::OPERAND_BUNDLE => {
                self.operand_bundle(operands)?;
                false
            }
            code::INVOKE | code::CALL | code::CALLBR => self.call(operands)?,
            code::RET
            | code::BR
            | code::SWITCH
            | code::UNREACHABLE
            | code::INDIRECTBR
            | code::RESUME
            | code::CLEANUPRET
            | code::CATCHRET => {
                self.terminator(operands)?;
                false
            }
            code::STORE | code::STOREATOMIC | code::FENCE => {
                self.memory(operands)?;
                false
            }
            code::ALLOCA | code::LOAD | code::LOADATOMIC | code::CMPXCHG | code::ATOMICRMW => {
                self.memory(operands)?;
                true
            }
            code::LANDINGPAD | code::CATCHPAD | code::CLEANUPPAD | code::CATCHSWITCH => {
                self.pad(operands)?;
                true
            }
            _ => {
                self.plain(operands)?;
                true
            }
        };
        operands.end()?;
        if !matches!(code, code::DECLAREBLOCKS | code::OPERAND_BUNDLE) {
            self.instructions += 1;
        }
        if yields {
            self.next_value = self.next_value.checked_add(1).ok_or(Opaque::Damaged)?;
        }
        Ok(())
    }

    /// Instructions without effects on memory or control.
    fn plain(&mut self, operands: &mut Operands<'_>) -> Decoded<()> {
        match operands.code {
            code::CAST => {
                self.pair(operands)?;
                self.type_operand(operands)?;
                self.numbers(operands, 1)?;
                self.optional(operands)
            }
            code::UNOP => {
                self.pair(operands)?;
                self.numbers(operands, 1)?;
                self.optional(operands)
            }
            code::EXTRACTELT => {
                self.pair(operands)?;
                self.pair(operands)
            }
            code::INSERTELT | code::SHUFFLEVEC => {
                self.pair(operands)?;
                self.relative(operands)?;
                self.pair(operands)
            }
            code::BINOP | code::CMP2 => {
                self.pair(operands)?;
                self.relative(operands)?;
                self.numbers(operands, 1)?;
                self.optional(operands)
            }
            code::VSELECT => {
                self.pair(operands)?;
                self.relative(operands)?;
                self.pair(operands)?;
                self.optional(operands)
            }
            code::GEP => {
                self.numbers(operands, 1)?;
                self.type_operand(operands)?;
                self.pairs(operands)
            }
            code::EXTRACTVAL => {
                self.pair(operands)?;
                self.numbers(operands, operands.rest.len())
            }
            code::INSERTVAL => {
                self.pair(operands)?;
                self.pair(operands)?;
                self.numbers(operands, operands.rest.len())
            }
            code::PHI => self.phi(operands),
            code::VAARG => {
                self.type_operand(operands)?;
                self.relative(operands)?;
                self.type_operand(operands)
            }
            code::FREEZE => self.pair(operands),
            _ => operands.unknown(),
        }
    }

    fn phi(&mut self, operands: &mut Operands<'_>) -> Decoded<()> {
        self.type_operand(operands)?;
        while operands.rest.len() >= 2 {
            let rotated = operands.next()?;
            let magnitude = rotated >> 1;
            let distance = if rotated & 1 == 0 {
                magnitude
            } else {
                magnitude.wrapping_neg()
            };
            self.absolute(u64::from(self.next_value).wrapping_sub(distance))?;
            self.numbers(operands, 1)?;
        }
        self.optional(operands)
    }

    fn terminator(&mut self, operands: &mut Operands<'_>) -> Decoded<()> {
        match (operands.code, operands.rest.len()) {
            (code::UNREACHABLE | code::RET, 0) => Ok(()),
            (code::RET | code::RESUME, _) => self.pair(operands),
            (code::BR, 1) => self.numbers(operands, 1),
            (code::BR, 3) => {
                self.numbers(operands, 2)?;
                self.relative(operands)
            }
            (code::SWITCH, 3..) if operands.rest[0] >> 16 != SWITCH_MAGIC => {
                self.type_operand(operands)?;
                self.relative(operands)?;
                self.numbers(operands, 1)?;
                while !operands.rest.is_empty() {
                    let case = operands.next()?;
                    self.absolute(case)?;
                    self.numbers(operands, 1)?;
                }
                Ok(())
            }
            (code::INDIRECTBR, 2..) => {
                self.type_operand(operands)?;
                self.relative(operands)?;
                self.numbers(operands, operands.rest.len())
            }
            (code::CLEANUPRET, 1 | 2) | (code::CATCHRET, 2) => {
                self.relative(operands)?;
                self.numbers(operands, operands.rest.len())
            }
            _ => operands.unknown(),
        }
    }

    fn memory(&mut self, operands: &mut Operands<'_>) -> Decoded<()> {
        match operands.code {
            code::ALLOCA => {
                self.type_operand(operands)?;
                self.type_operand(operands)?;
                let size = operands.next()?;
                self.absolute(size)?;
                self.numbers(operands, 1)?;
                self.optional(operands)
            }
            code::LOAD => {
                self.pair(operands)?;
                self.type_operand(operands)?;
                self.numbers(operands, 2)
            }
            code::STORE => {
                self.pair(operands)?;
                self.pair(operands)?;
                self.numbers(operands, 2)
            }
            code::LOADATOMIC => {
                self.pair(operands)?;
                self.type_operand(operands)?;
                self.numbers(operands, 3)?;
                self.scope_operand(operands)
            }
            code::STOREATOMIC => {
                self.pair(operands)?;
                self.pair(operands)?;
                self.numbers(operands, 3)?;
                self.scope_operand(operands)
            }
            code::CMPXCHG => {
                self.pair(operands)?;
                self.pair(operands)?;
                self.relative(operands)?;
                self.numbers(operands, 2)?;
                self.scope_operand(operands)?;
                self.numbers(operands, 3)
            }
            code::ATOMICRMW => {
                self.pair(operands)?;
                self.pair(operands)?;
                self.numbers(operands, 3)?;
                self.scope_operand(operands)?;
                self.numbers(operands, 1)
            }
            code::FENCE => {
                self.numbers(operands, 1)?;
                self.scope_operand(operands)
            }
            _ => operands.unknown(),
        }
    }

    fn pad(&mut self, operands: &mut Operands<'_>) -> Decoded<()> {
        if operands.code == code::LANDINGPAD {
            self.type_operand(operands)?;
            self.numbers(operands, 1)?;
            let clauses = operands.next()?;
            self.count(clauses);
            for _ in 0..clauses {
                self.numbers(operands, 1)?;
                self.pair(operands)?;
            }
            return Ok(());
        }
        self.relative(operands)?;
        let count = operands.next()?;
        self.count(count);
        if operands.code == code::CATCHSWITCH {
            let blocks = operands.rest.len() as u64;
            if blocks != count && blocks.checked_sub(1) != Some(count) {
                return operands.unknown();
            }
            return self.numbers(operands, operands.rest.len());
        }
        for _ in 0..count {
            self.pair(operands)?;
        }
        Ok(())
    }

    fn operand_bundle(&mut self, operands: &mut Operands<'_>) -> Decoded<()> {
        let tag = operands.next()?;
        self.bundle(tag)?;
        if operands.rest.contains(&BUNDLE_METADATA) {
            return operands.unknown();
        }
        self.pairs(operands)
    }

    /// A call of any kind. Returns whether it yields a value.
    fn call(&mut self, operands: &mut Operands<'_>) -> Decoded<bool> {
        let attributes = operands.next()?;
        self.attributes(attributes)?;
        let convention = operands.next()?;
        self.number(convention);
        let explicit = match operands.code {
            code::INVOKE => INVOKE_EXPLICIT_TYPE,
            _ => CALL_EXPLICIT_TYPE,
        };
        if convention & explicit == 0 {
            return operands.unknown();
        }
        match operands.code {
            code::INVOKE => self.numbers(operands, 2)?,
            code::CALLBR => {
                self.numbers(operands, 1)?;
                let targets = operands.next()?;
                self.count(targets);
                let targets = usize::try_from(targets).map_err(|_| Opaque::Damaged)?;
                self.numbers(operands, targets)?;
            }
            _ if convention & CALL_FAST_MATH != 0 => self.numbers(operands, 1)?,
            _ => {}
        }
        let function = operands.next()?;
        self.type_id(function)?;
        self.callee(self.relative_id(operands)?);
        self.pair(operands)?;
        let tables = self.tables;
        let signature = tables.types.signature(function)?;
        for parameter in &signature.parameters {
            match tables.types.shape(u64::from(*parameter))? {
                TypeShape::Metadata => {
                    let distance = narrow(operands.next()?);
                    self.metadata_id(u64::from(self.next_value.wrapping_sub(distance)))?;
                }
                TypeShape::Label => self.numbers(operands, 1)?,
                _ => self.relative(operands)?,
            }
        }
        if signature.variadic {
            self.pairs(operands)?;
        }
        Ok(*tables.types.shape(u64::from(signature.result))? != TypeShape::Void)
    }
}
