//! Names under which volumes are attached. `/dev/sdf` and `/dev/xvdf` are one place, called by two names;
//! on instances of today the name says nothing about the device that appears.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use std::collections::BTreeSet;

/// The name that a spec asks for.
///
/// One with a number (`/dev/sdf1`), as paravirtual instances had them and Snaptastic's users wrote them, is
/// taken by no instance of today: such a volume gets whatever name is free.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct DeviceWish(String);

impl DeviceWish {
    /// Takes a name that EC2 would, or would have taken.
    ///
    /// # Errors
    /// A sentence that shows the name.
    pub fn new(name: &str) -> Result<Self, String> {
        let wish = Self(name.to_owned());
        let place = wish.place();
        let plain = !wish.is_binding() && name.starts_with("/dev/sd");
        let place = if plain { place.trim_end_matches(|c: char| c.is_ascii_digit()) } else { place };
        if places().any(|known| known == place) {
            return Ok(wish);
        }
        Err(format!("{name:?} is no device name for a data volume, as /dev/sdf is one"))
    }

    /// The name as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is this name or none.
    #[must_use]
    pub fn is_binding(&self) -> bool {
        !self.0.ends_with(|c: char| c.is_ascii_digit())
    }

    /// The letters that tell it from others.
    #[must_use]
    pub fn place(&self) -> &str {
        place_of(&self.0)
    }
}

impl<'de> Deserialize<'de> for DeviceWish {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(&String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

/// The letters that tell a device name from others; of a name that is like none of EC2's, itself.
fn place_of(name: &str) -> &str {
    let name = name.strip_prefix("/dev/").unwrap_or(name);
    name.strip_prefix("xvd").or_else(|| name.strip_prefix("sd")).unwrap_or(name)
}

/// Where a data volume may be, in the order of preference: `f` to `z`; `b` to `e`, where older types have
/// their instance stores; the places of two letters, which only `/dev/xvd` has.
fn places() -> impl Iterator<Item = String> {
    let one = ('f'..='z').chain('b'..='e').map(String::from);
    let two = ('b'..='d').flat_map(|first| ('a'..='z').map(move |second| format!("{first}{second}")));
    one.chain(two.filter(|place| place.as_str() <= "dx"))
}

/// The places of one instance that are not free.
#[derive(Debug, Default)]
pub(super) struct Places(BTreeSet<String>);

impl Places {
    /// Those of the device names in use.
    pub(super) fn of<'a>(devices: impl IntoIterator<Item = &'a str>) -> Self {
        let mut places = Self::default();
        for device in devices {
            // A boot volume's `/dev/sda1` is at `a`.
            places.0.insert(place_of(device).trim_end_matches(|c: char| c.is_ascii_digit()).to_owned());
        }
        places
    }

    /// Takes this name; whether it was free.
    pub(super) fn take(&mut self, device: &str) -> bool {
        self.0.insert(place_of(device).to_owned())
    }

    /// Whether this name is not free.
    pub(super) fn has(&self, device: &str) -> bool {
        self.0.contains(place_of(device))
    }

    /// Takes the first free name.
    pub(super) fn take_any(&mut self) -> Option<String> {
        let place = places().find(|place| !self.0.contains(place))?;
        let name = if place.len() == 1 { format!("/dev/sd{place}") } else { format!("/dev/xvd{place}") };
        self.0.insert(place);
        Some(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_names_are_one_place() {
        let mut places = Places::of(["/dev/xvda", "/dev/sdf", "/dev/xvdg"]);
        assert!(!places.take("/dev/xvdf") && !places.take("/dev/sdg") && places.take("/dev/sdh"));
        assert_eq!(places.take_any().as_deref(), Some("/dev/sdi"));
    }

    #[test]
    fn names_go_out_at_last() {
        let mut places = Places::of(["/dev/sda1"]);
        let names: Vec<String> = std::iter::from_fn(|| places.take_any()).collect();
        assert_eq!((names.len(), names[0].as_str(), names[24].as_str()), (25 + 76, "/dev/sdf", "/dev/sde"));
        assert_eq!((names[25].as_str(), names[100].as_str()), ("/dev/xvdba", "/dev/xvddx"));
    }

    #[test]
    fn names_that_ec2_takes_for_data_and_no_others() {
        for (name, binding) in [
            ("/dev/sdf", true),
            ("/dev/xvdf", true),
            ("/dev/xvdba", true),
            ("/dev/sdf1", false),
            ("/dev/sdi15", false),
        ] {
            assert_eq!(DeviceWish::new(name).map(|wish| wish.is_binding()), Ok(binding), "{name}");
        }
        for name in [
            "",
            "sdf?",
            "/dev/sda1",
            "/dev/sda",
            "/dev/xvda",
            "/dev/xvdzz",
            "/dev/nvme1n1",
            "/dev/xvdf1",
            "/dev/",
        ] {
            let error = DeviceWish::new(name).unwrap_err();
            assert!(error.contains(&format!("{name:?}")), "{error}");
        }
    }
}
