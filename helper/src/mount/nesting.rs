//! Which mount lies in which: pure.

use stillframe_wire::MountPoint;

/// For each mount point the number of the nearest one that it lies in, if any does. A mount is made after
/// the one that it lies in, and beside all others.
#[must_use]
pub fn parents(points: &[MountPoint]) -> Vec<Option<usize>> {
    let nearest = |inner: &MountPoint| {
        let above = points.iter().enumerate().filter(|(_, outer)| inner.is_below(outer));
        above.max_by_key(|(_, outer)| outer.as_str().len()).map(|(n, _)| n)
    };
    points.iter().map(nearest).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn points(paths: &[&str]) -> Vec<MountPoint> {
        paths.iter().map(|path| MountPoint::new(*path).unwrap()).collect()
    }

    #[test]
    fn the_nearest_one_above_counts_and_names_are_whole() {
        let found = parents(&points(&["/a/b/c", "/a", "/ab", "/a/b", "/a/x", "/d/e"]));
        assert_eq!(found, [Some(3), None, None, Some(1), Some(1), None]);
    }

    proptest! {
        #[test]
        fn in_that_order_nothing_is_mounted_before_what_it_lies_in(
            paths in proptest::collection::btree_set("(/[ab]{1,2}){1,4}", 1..12)
        ) {
            let points: Vec<MountPoint> = paths.into_iter().map(|path| MountPoint::new(path).unwrap()).collect();
            let parents = parents(&points);
            // Whoever mounts by these numbers comes to every mount, and each has all that lies above it.
            let mut mounted: Vec<usize> = Vec::new();
            while mounted.len() < points.len() {
                let ready: Vec<usize> = (0..points.len())
                    .filter(|n| !mounted.contains(n) && parents[*n].is_none_or(|above| mounted.contains(&above)))
                    .collect();
                prop_assert!(!ready.is_empty(), "a circle");
                for n in &ready {
                    for (m, other) in points.iter().enumerate() {
                        prop_assert!(!points[*n].is_below(other) || mounted.contains(&m), "{n} before {m}");
                    }
                }
                mounted.extend(ready);
            }
            for (n, above) in parents.iter().enumerate() {
                let lies_in_something = points.iter().any(|other| points[n].is_below(other));
                prop_assert_eq!(above.is_some(), lies_in_something, "waits for nothing that it does not lie in");
                prop_assert!(above.is_none_or(|above| points[n].is_below(&points[above])));
            }
        }
    }
}
