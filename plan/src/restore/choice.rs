//! Which set to restore: the newest that holds everything wanted and is whole, old enough, consistent enough
//! and ours. A newer one that is not so is passed over, with the reason; it never stands in the way.

use crate::observed::{SnapshotState, Tier};
use crate::restore::content::{Candidate, Held, best};
use crate::restore::reason::PassReason;
use crate::restore::{Scene, Spec, VolumeSpec};
use std::collections::BTreeSet;

/// Whether a set can be restored, and if so what of it: in order of its volumes' ids.
///
/// `wanted`: the entries of the spec that it has to hold; none for all that it holds.
pub(super) fn judge<'c>(
    spec: &Spec,
    scene: &Scene,
    candidate: &'c Candidate<'_>,
    wanted: Option<&[&VolumeSpec]>,
) -> Result<Vec<&'c Held>, PassReason> {
    let point = &candidate.point;
    if let Some(at) = spec.at
        && point.started_at > at
    {
        return Err(PassReason::TooYoung { at });
    }
    is_whole(candidate)?;
    let needed = needed(candidate, wanted)?;
    for members in point.by_volume() {
        let Some(member) = best(members) else { continue };
        let snapshot = || member.snapshot.id.clone();
        if !needed.iter().any(|held| held.source == member.volume) {
            continue;
        }
        if scene.foreign.contains(&member.snapshot.id) {
            return Err(PassReason::ForeignAccount { snapshot: snapshot() });
        }
        if member.tier != Tier::Standard {
            return Err(PassReason::Archived { snapshot: snapshot() });
        }
        if !point.is_at_least(spec.consistency, member) {
            return Err(PassReason::LessConsistent { snapshot: snapshot(), label: member.label });
        }
    }
    Ok(needed)
}

/// The whole set counts, not only what is needed of it: where one member failed the others prove no instant.
fn is_whole(candidate: &Candidate<'_>) -> Result<(), PassReason> {
    let point = &candidate.point;
    for members in point.by_volume() {
        let Some(member) = best(members) else { continue };
        let snapshot = member.snapshot.id.clone();
        match member.state {
            SnapshotState::Completed => {}
            SnapshotState::Pending => return Err(PassReason::Pending { snapshot }),
            SnapshotState::Error => return Err(PassReason::Failed { snapshot }),
            SnapshotState::Recoverable | SnapshotState::Recovering => {
                return Err(PassReason::Recycled { snapshot });
            }
        }
    }
    if point.is_complete() {
        return Ok(());
    }
    Err(PassReason::Incomplete { missing: point.lacks().unwrap_or_default() })
}

fn needed<'c>(
    candidate: &'c Candidate<'_>,
    wanted: Option<&[&VolumeSpec]>,
) -> Result<Vec<&'c Held>, PassReason> {
    let data = || candidate.held.iter().filter(|held| !held.is_boot());
    let Some(wanted) = wanted else {
        let all: Vec<&Held> = data().collect();
        return if all.is_empty() { Err(PassReason::WrongLayout { missing: Vec::new() }) } else { Ok(all) };
    };
    let holds = |held: &Held, volume: &VolumeSpec| held.mounts.contains_key(volume.mounted_in_set_at());
    let lacking = wanted.iter().filter(|volume| !data().any(|held| holds(held, volume)));
    let missing: Vec<String> = lacking.map(|volume| volume.mounted_in_set_at().to_owned()).collect();
    if !missing.is_empty() {
        return Err(PassReason::WrongLayout { missing });
    }
    Ok(data().filter(|held| wanted.iter().any(|volume| holds(held, volume))).collect())
}

/// Mount points of the lineage, whether or not their sets can be used.
pub(super) fn known_mounts<'c>(candidates: &'c [Candidate<'_>]) -> BTreeSet<&'c str> {
    let data = candidates.iter().flat_map(|candidate| &candidate.held).filter(|held| !held.is_boot());
    data.flat_map(|held| held.mounts.keys()).map(String::as_str).collect()
}
