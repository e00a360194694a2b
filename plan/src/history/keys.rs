//! By what snapshots are put in order: run, target, volume, and the place where the rest is to be found, in one
//! number, so that a million of them are sorted without touching anything else.

/// What a restore point is of, by number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TargetNumber {
    /// An instance.
    Instance(u32),
    /// A volume by itself.
    Volume(u32),
}

/// The key of one snapshot. Keys are in order of runs, then of targets, instances first, then of volumes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key(u128);

/// Where each part begins, counted from the lowest bit.
const RUN: u32 = 96;
const KIND: u32 = 95;
const TARGET: u32 = 63;
const VOLUME: u32 = 31;
/// Two thousand million snapshots.
const MOST_PLACES: u128 = (1 << VOLUME) - 1;

impl Key {
    /// The key of the snapshot at this place; of one beyond the most that there may be it names the last.
    pub(crate) fn new(run: u32, target: TargetNumber, volume: u32, place: usize) -> Self {
        let (kind, target) = match target {
            TargetNumber::Instance(number) => (0_u128, number),
            TargetNumber::Volume(number) => (1, number),
        };
        let place = u128::try_from(place).map_or(MOST_PLACES, |place| place.min(MOST_PLACES));
        let part = |number: u32, at: u32| u128::from(number) << at;
        Self(part(run, RUN) | kind << KIND | part(target, TARGET) | part(volume, VOLUME) | place)
    }

    /// The number of the run.
    pub(crate) fn run(self) -> u32 {
        self.part(RUN)
    }

    /// The number of the target.
    pub(crate) fn target(self) -> TargetNumber {
        let number = self.part(TARGET);
        if self.0 >> KIND & 1 == 0 { TargetNumber::Instance(number) } else { TargetNumber::Volume(number) }
    }

    /// The number of the volume.
    pub(crate) fn volume(self) -> u32 {
        self.part(VOLUME)
    }

    /// The place.
    pub(crate) fn place(self) -> usize {
        usize::try_from(self.0 & MOST_PLACES).unwrap_or(usize::MAX)
    }

    /// What the snapshots of one run and target have in common.
    pub(crate) fn set(self) -> u128 {
        self.0 >> TARGET
    }

    #[allow(clippy::cast_possible_truncation, reason = "the part's 32 bits are what is wanted")]
    fn part(self, at: u32) -> u32 {
        (self.0 >> at) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    type Parts = (u32, (bool, u32), u32, u32);

    fn key((run, (by_itself, target), volume, place): Parts) -> Key {
        let target = if by_itself { TargetNumber::Volume(target) } else { TargetNumber::Instance(target) };
        Key::new(run, target, volume, place as usize)
    }

    fn parts() -> impl Strategy<Value = Parts> {
        let number = || prop_oneof![0..3_u32, any::<u32>()];
        (number(), (any::<bool>(), number()), number(), 0..1_u32 << 31)
    }

    proptest! {
        #[test]
        fn a_key_is_its_parts_in_their_order(a in parts(), b in parts()) {
            let (first, second) = (key(a), key(b));
            prop_assert_eq!((first.run(), first.volume(), first.place()), (a.0, a.2, a.3 as usize));
            let target = if a.1.0 { TargetNumber::Volume(a.1.1) } else { TargetNumber::Instance(a.1.1) };
            prop_assert_eq!(first.target(), target);
            prop_assert_eq!(first.cmp(&second), a.cmp(&b));
            prop_assert_eq!(first.set() == second.set(), (a.0, a.1) == (b.0, b.1));
        }
    }
}
