//! Snapshot Lock: `LockSnapshot`, `UnlockSnapshot`, `DescribeLockedSnapshots`. EC2's reference does not name
//! the code with which it refuses to delete what is locked, nor those of these calls; the ones here are made
//! up of its general ones.

use super::describe;
use super::filter::Describable;
use super::ids;
use super::inventory::{Inventory, Tags};
use super::paging::Selection;
use super::query::{Query, invalid};
use super::seen::Seen;
use super::xml::{Element, text};
use crate::api_error::ApiError;
use crate::clock::iso;
use chrono::{DateTime, TimeDelta, Utc};

/// The lock of a snapshot.
#[derive(Debug, Clone)]
pub struct Lock {
    snapshot: String,
    mode: Mode,
    created_at: DateTime<Utc>,
    /// Until when one in compliance mode can still be taken back.
    cool_off_until: Option<DateTime<Utc>>,
    expires_at: DateTime<Utc>,
    tags: Tags,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// Who has the right may unlock it.
    Governance,
    /// Nobody can, once the cooling-off is over.
    Compliance,
}

const FILTERS: &[&str] = &["lock-state"];
const MOST_DAYS: u64 = 36_500;
const MOST_COOL_OFF_HOURS: u64 = 72;

/// `LockSnapshot`.
pub fn lock(
    inventory: &mut Inventory,
    mut query: Query,
    now: DateTime<Utc>,
) -> Result<Vec<Element>, ApiError> {
    let snapshot = query.required("SnapshotId")?;
    let mode = match query.required("LockMode")?.as_str() {
        "governance" => Mode::Governance,
        "compliance" => Mode::Compliance,
        other => return Err(invalid("LockMode", other)),
    };
    let cool_off_until = match (query.number("CoolOffPeriod")?, mode) {
        (None, _) => None,
        (Some(hours), Mode::Compliance) if (1..=MOST_COOL_OFF_HOURS).contains(&hours) => {
            Some(now + TimeDelta::hours(hours.cast_signed()))
        }
        (Some(hours), _) => return Err(invalid("CoolOffPeriod", &hours.to_string())),
    };
    let expires_at = match (query.number("LockDuration")?, query.take("ExpirationDate")) {
        (Some(days), None) if (1..=MOST_DAYS).contains(&days) => now + TimeDelta::days(days.cast_signed()),
        (Some(days), None) => return Err(invalid("LockDuration", &days.to_string())),
        (None, Some(date)) => match date.parse::<DateTime<Utc>>() {
            Ok(at) if at > now => at,
            _ => return Err(invalid("ExpirationDate", &date)),
        },
        _ => {
            return Err(ApiError::new(
                "InvalidParameterCombination",
                "Either LockDuration or ExpirationDate must be given",
            ));
        }
    };
    super::finish(query)?;
    ids::SNAPSHOT.check(&snapshot, |id| inventory.has_snapshot(id))?;
    let held = inventory.locks.get(&snapshot).filter(|lock| lock.is_for_good(now));
    if held.is_some_and(|lock| mode == Mode::Governance || expires_at < lock.expires_at) {
        return Err(not_permitted(&snapshot, "a lock in compliance mode can only be made longer"));
    }
    let tags = Tags::new();
    let lock = Lock { snapshot: snapshot.clone(), mode, created_at: now, cool_off_until, expires_at, tags };
    let answer = render(&lock, now);
    inventory.locks.insert(snapshot, lock);
    Ok(answer)
}

/// `UnlockSnapshot`.
pub fn unlock(
    inventory: &mut Inventory,
    mut query: Query,
    now: DateTime<Utc>,
) -> Result<Vec<Element>, ApiError> {
    let snapshot = query.required("SnapshotId")?;
    super::finish(query)?;
    ids::SNAPSHOT.check(&snapshot, |id| inventory.has_snapshot(id))?;
    match inventory.locks.get(&snapshot) {
        None => return Err(not_permitted(&snapshot, "it is not locked")),
        Some(lock) if lock.is_for_good(now) => {
            return Err(not_permitted(&snapshot, "its lock is in compliance mode"));
        }
        Some(_) => inventory.locks.remove(&snapshot),
    };
    Ok(vec![text("snapshotId", snapshot)])
}

/// `DescribeLockedSnapshots`. Locks that have expired are listed, as such.
pub fn describe(
    inventory: &Inventory,
    mut query: Query,
    now: DateTime<Utc>,
) -> Result<Vec<Element>, ApiError> {
    let selection = Selection::take(&mut query, "SnapshotId", FILTERS)?;
    super::finish(query)?;
    ids::known(&selection.ids, &ids::SNAPSHOT, |id| inventory.has_snapshot(id))?;
    let all = describe::seen(inventory.locks.values(), inventory, now);
    let page = selection.page("SnapshotId", all.iter());
    Ok(describe::answer("snapshotSet", page, |lock| {
        let mut fields = render(lock.record, now);
        fields.push(text("ownerId", &inventory.account));
        fields
    }))
}

fn render(lock: &Lock, now: DateTime<Utc>) -> Vec<Element> {
    let mut fields = vec![
        text("snapshotId", &lock.snapshot),
        text("lockState", lock.state(now)),
        text("lockDuration", (lock.expires_at - lock.created_at).num_days()),
        text("lockCreatedOn", iso(lock.created_at)),
        text("lockDurationStartTime", iso(lock.created_at)),
        text("lockExpiresOn", iso(lock.expires_at)),
    ];
    if let Some(until) = lock.cool_off_until {
        fields.push(text("coolOffPeriod", (until - lock.created_at).num_hours()));
        fields.push(text("coolOffPeriodExpiresOn", iso(until)));
    }
    fields
}

fn not_permitted(snapshot: &str, why: &str) -> ApiError {
    ApiError::new("OperationNotPermitted", format!("The snapshot '{snapshot}': {why}."))
}

impl Lock {
    fn state(&self, now: DateTime<Utc>) -> &'static str {
        match self.mode {
            _ if now >= self.expires_at => "expired",
            Mode::Governance => "governance",
            Mode::Compliance if self.cool_off_until.is_some_and(|until| now < until) => "compliance-cooloff",
            Mode::Compliance => "compliance",
        }
    }

    fn is_for_good(&self, now: DateTime<Utc>) -> bool {
        self.state(now) == "compliance"
    }
}

impl Inventory {
    /// Refuses what cannot be done to a locked snapshot.
    pub fn check_unlocked(&self, snapshot: &str, now: DateTime<Utc>) -> Result<(), ApiError> {
        match self.locks.get(snapshot) {
            Some(lock) if now < lock.expires_at => Err(not_permitted(snapshot, "it is locked")),
            _ => Ok(()),
        }
    }
}

impl Describable for Seen<'_, Lock> {
    fn id(&self) -> &str {
        &self.record.snapshot
    }

    fn tags(&self) -> &Tags {
        &self.record.tags
    }

    fn values(&self, filter: &str) -> Option<Vec<String>> {
        (filter == "lock-state").then(|| vec![self.record.state(self.now).to_owned()])
    }
}

#[cfg(test)]
#[path = "locks_tests.rs"]
mod tests;
