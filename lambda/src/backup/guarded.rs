//! The look at what EC2 protects, for a pruning. A look that fails stops no backup: what is not known is
//! written down as not known, and the plan deletes nothing by it.

use crate::aws::{CallError, Guards};
use std::collections::BTreeSet;
use stillframe_plan::{Observed, SnapshotId};

/// What EC2 protects, as far as it is known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Guarded {
    used_by_images: BTreeSet<SnapshotId>,
    locked: BTreeSet<SnapshotId>,
    unseen: Option<String>,
}

impl Guarded {
    /// Asks for images and for locks at the same time.
    pub async fn look(guards: &Guards) -> Self {
        let (used_by_images, locked) = tokio::join!(guards.used_by_images(), guards.locked());
        Self::of(used_by_images, locked)
    }

    fn of(
        used_by_images: Result<BTreeSet<SnapshotId>, CallError>,
        locked: Result<BTreeSet<SnapshotId>, CallError>,
    ) -> Self {
        let errors = [used_by_images.as_ref().err(), locked.as_ref().err()];
        let errors: Vec<String> = errors.into_iter().flatten().map(ToString::to_string).collect();
        Self {
            used_by_images: used_by_images.unwrap_or_default(),
            locked: locked.unwrap_or_default(),
            unseen: (!errors.is_empty()).then(|| errors.join("; ")),
        }
    }

    /// Writes it into an observation.
    pub fn write_into(self, observed: &mut Observed) {
        observed.used_by_images = self.used_by_images;
        observed.locked = self.locked;
        observed.guards_unseen = self.unseen;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_look_found_counts_though_the_other_failed() {
        let refused = |operation| CallError::Refused {
            operation,
            code: "UnauthorizedOperation".to_owned(),
            message: "no".to_owned(),
        };
        let found = || BTreeSet::from([SnapshotId::from("snap-1")]);
        assert_eq!(Guarded::of(Ok(found()), Ok(found())).unseen, None);
        let half = Guarded::of(Err(refused("DescribeImages")), Ok(found()));
        assert_eq!(half.locked, found());
        assert_eq!(half.unseen.as_deref(), Some("DescribeImages was refused (UnauthorizedOperation: no)"));
        let nothing = Guarded::of(Err(refused("DescribeImages")), Err(refused("DescribeLockedSnapshots")));
        let said = nothing.unseen.unwrap_or_default();
        assert!(said.contains("DescribeImages") && said.contains("DescribeLockedSnapshots"), "{said}");
    }
}
