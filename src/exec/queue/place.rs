//! Where jobs run, and where they may.
//!
//! Enters: nothing. Leaves: `Place` and `Places`. Why a job may run somewhere is the business of
//! `link`.

/// Where a job runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    Farm,
    /// A slot of this machine.
    Here,
}

/// Where a job may run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Places {
    pub farm: bool,
    pub here: bool,
}

impl Places {
    pub const FARM: Self = Self {
        farm: true,
        here: false,
    };
    pub const HERE: Self = Self {
        farm: false,
        here: true,
    };
    pub const BOTH: Self = Self {
        farm: true,
        here: true,
    };

    pub(super) fn forbid(&mut self, place: Place) {
        *self.of(place) = false;
    }

    pub(super) fn allow(&mut self, place: Place) {
        *self.of(place) = true;
    }

    fn of(&mut self, place: Place) -> &mut bool {
        match place {
            Place::Farm => &mut self.farm,
            Place::Here => &mut self.here,
        }
    }
}
