use super::*;
use crate::ec2::rig::{at, query, region, written};

fn register(inventory: &mut Inventory, name: &str, snapshot: &str) -> Result<String, ApiError> {
    let fields = [
        ("Name", name),
        ("RootDeviceName", "/dev/xvda"),
        ("BlockDeviceMapping.1.DeviceName", "/dev/xvda"),
        ("BlockDeviceMapping.1.Ebs.SnapshotId", snapshot),
    ];
    super::register(inventory, query(&fields), at(600))?;
    Ok(inventory.image_of(snapshot).unwrap().id.clone())
}

fn shown(inventory: &Inventory, fields: &[(&str, &str)]) -> usize {
    written(describe(inventory, query(fields), at(700))).matches("<imageState>").count()
}

#[test]
fn a_snapshot_of_an_image_is_in_use_until_it_is_deregistered() {
    let (mut inventory, ids) = region(2);
    let image = register(&mut inventory, "golden", &ids[0]).unwrap();
    let error = inventory.delete_snapshot(&ids[0], at(700)).unwrap_err();
    assert_eq!(error.code, "InvalidSnapshot.InUse");
    assert!(error.message.contains(&image), "{error}");
    assert!(inventory.delete_snapshot(&ids[1], at(700)).is_ok());
    // A disabled one holds it all the same.
    disable(&mut inventory, query(&[("ImageId", &image)])).unwrap();
    assert_eq!(inventory.delete_snapshot(&ids[0], at(700)).unwrap_err().code, "InvalidSnapshot.InUse");
    deregister(&mut inventory, query(&[("ImageId", &image)])).unwrap();
    assert!(inventory.delete_snapshot(&ids[0], at(700)).is_ok());
    let again = deregister(&mut inventory, query(&[("ImageId", &image)])).unwrap_err();
    assert_eq!(again.code, "InvalidAMIID.NotFound");
}

#[test]
fn disabled_images_are_shown_to_who_asks_for_them() {
    let (mut inventory, ids) = region(2);
    let golden = register(&mut inventory, "golden", &ids[0]).unwrap();
    register(&mut inventory, "silver", &ids[1]).unwrap();
    disable(&mut inventory, query(&[("ImageId", &golden)])).unwrap();
    assert_eq!(shown(&inventory, &[("Owner.1", "self")]), 1);
    assert_eq!(shown(&inventory, &[("Owner.1", "self"), ("IncludeDisabled", "true")]), 2);
    assert_eq!(shown(&inventory, &[("Owner.1", "amazon"), ("IncludeDisabled", "true")]), 0);
    for (filter, value, found) in [
        ("block-device-mapping.device-name", "/dev/xvda", 2),
        ("block-device-mapping.snapshot-id", ids[0].as_str(), 1),
        ("image-id", golden.as_str(), 1),
        ("is-public", "true", 0),
        ("name", "s*", 1),
        ("owner-id", "123456789012", 2),
        ("root-device-name", "/dev/xvda", 2),
        ("root-device-type", "ebs", 2),
        ("state", "disabled", 1),
    ] {
        let fields = [("IncludeDisabled", "true"), ("Filter.1.Name", filter), ("Filter.1.Value.1", value)];
        assert_eq!(shown(&inventory, &fields), found, "{filter} = {value}");
    }
}

#[test]
fn images_come_in_pages() {
    let (mut inventory, ids) = region(1);
    for n in 0..7 {
        register(&mut inventory, &format!("image {n}"), &ids[0]).unwrap();
    }
    let first = written(describe(&inventory, query(&[("MaxResults", "5")]), at(700)));
    assert_eq!(first.matches("<imageState>").count(), 5);
    let (_, rest) = first.split_once("<nextToken>").unwrap();
    let token = rest.split('<').next().unwrap();
    assert_eq!(shown(&inventory, &[("MaxResults", "5"), ("NextToken", token)]), 2);
}

#[test]
fn an_image_that_ec2_would_not_register_is_refused() {
    let (mut inventory, ids) = region(1);
    register(&mut inventory, "golden", &ids[0]).unwrap();
    let code = |inventory: &mut Inventory, name: &str, snapshot: &str| {
        register(inventory, name, snapshot).unwrap_err().code
    };
    assert_eq!(code(&mut inventory, "golden", &ids[0]), "InvalidAMIName.Duplicate");
    assert_eq!(code(&mut inventory, "new", "snap-0fffffffffffffff0"), "InvalidSnapshot.NotFound");
    inventory.snapshots.get_mut(&ids[0]).unwrap().forced = Some(SnapshotState::Pending);
    assert_eq!(code(&mut inventory, "new", &ids[0]), "IncorrectState");
    let rootless = query(&[("Name", "new")]);
    assert_eq!(
        super::register(&mut inventory, rootless, at(0)).unwrap_err().code,
        "InvalidBlockDeviceMapping"
    );
    let odd = query(&[("Name", "new"), ("BootMode", "uefi")]);
    assert_eq!(super::register(&mut inventory, odd, at(0)).unwrap_err().code, "UnknownParameter");
}
