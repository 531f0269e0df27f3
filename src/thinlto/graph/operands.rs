//! The kinds of operands that records of instructions have.

use super::code::block;
use super::encoder::part;
use super::function::FunctionWriter;
use super::{Decoded, Opaque};

/// The operands of one record, from the first on.
pub(super) struct Operands<'a> {
    pub(super) code: u64,
    pub(super) rest: &'a [u64],
}

impl Operands<'_> {
    pub(super) fn unknown<T>(&self) -> Decoded<T> {
        Err(Opaque::Record {
            block: block::FUNCTION,
            code: self.code,
        })
    }

    pub(super) fn next(&mut self) -> Decoded<u64> {
        match self.rest {
            [first, rest @ ..] => {
                self.rest = rest;
                Ok(*first)
            }
            [] => self.unknown(),
        }
    }

    pub(super) fn end(&self) -> Decoded<()> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            self.unknown()
        }
    }
}

impl FunctionWriter<'_> {
    /// The number of the value that comes next, which is relative to the next one.
    pub(super) fn relative_id(&self, operands: &Operands<'_>) -> Decoded<u32> {
        match operands.rest.first() {
            Some(distance) => Ok(self.next_value.wrapping_sub(narrow(*distance))),
            None => operands.unknown(),
        }
    }

    /// A value relative to the next one, with its type where it is not defined yet.
    #[cfg_attr(test, track_caller)]
    pub(super) fn pair(&mut self, operands: &mut Operands<'_>) -> Decoded<()> {
        let id = self.relative_id(operands)?;
        operands.next()?;
        self.value(id)?;
        if id >= self.next_value {
            self.type_operand(operands)?;
        }
        Ok(())
    }

    #[cfg_attr(test, track_caller)]
    pub(super) fn pairs(&mut self, operands: &mut Operands<'_>) -> Decoded<()> {
        while !operands.rest.is_empty() {
            self.pair(operands)?;
        }
        Ok(())
    }

    /// A value relative to the next one.
    #[cfg_attr(test, track_caller)]
    pub(super) fn relative(&mut self, operands: &mut Operands<'_>) -> Decoded<()> {
        let id = self.relative_id(operands)?;
        operands.next()?;
        self.value(id)
    }

    #[cfg_attr(test, track_caller)]
    pub(super) fn absolute(&mut self, id: u64) -> Decoded<()> {
        self.value(narrow(id))
    }

    #[cfg_attr(test, track_caller)]
    pub(super) fn type_operand(&mut self, operands: &mut Operands<'_>) -> Decoded<()> {
        let id = operands.next()?;
        self.type_id(id)
    }

    #[cfg_attr(test, track_caller)]
    pub(super) fn scope_operand(&mut self, operands: &mut Operands<'_>) -> Decoded<()> {
        let id = operands.next()?;
        self.scope(id)
    }

    #[cfg_attr(test, track_caller)]
    pub(super) fn numbers(&mut self, operands: &mut Operands<'_>, count: usize) -> Decoded<()> {
        for position in 0..count {
            let number = operands.next()?;
            part(position);
            self.number(number);
        }
        part(0);
        Ok(())
    }

    /// One more number, if there is one.
    #[cfg_attr(test, track_caller)]
    pub(super) fn optional(&mut self, operands: &mut Operands<'_>) -> Decoded<()> {
        self.numbers(operands, operands.rest.len().min(1))
    }
}

/// LLVM computes with value numbers of 32 bits.
pub(super) fn narrow(number: u64) -> u32 {
    let [a, b, c, d, ..] = number.to_le_bytes();
    u32::from_le_bytes([a, b, c, d])
}
