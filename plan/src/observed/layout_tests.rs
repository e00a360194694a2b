use super::*;
use proptest::prelude::*;

fn record(volume: &str, device: &str, fs_type: &str, mount_point: &str) -> Record {
    Record {
        volume: volume.into(),
        device: device.to_owned(),
        fs_type: fs_type.to_owned(),
        mount_point: mount_point.to_owned(),
    }
}

fn tags_of(value: &str) -> Tags {
    Tags::from([("stillframe:layout.0".to_owned(), value.to_owned())])
}

#[test]
fn the_records_read_as_the_module_says() {
    let records = [
        record("vol-0aaaaaaaaaaaaaa01", "/dev/sdf", "ext4", "/srv/pg data"),
        record("vol-0aaaaaaaaaaaaaa02", "/dev/sdg", "xfs", "/srv/l=o+g:é"),
    ];
    let tags = encode(&records);
    assert_eq!(
        tags.get("stillframe:layout.0").unwrap(),
        "vol-0aaaaaaaaaaaaaa01:/dev/sdf:ext4:/srv/pg=20data\
         +vol-0aaaaaaaaaaaaaa02:/dev/sdg:xfs:/srv/l=3Do=2Bg=3A=C3=A9"
    );
    assert_eq!(decode(&tags), Ok(records.to_vec()));
}

#[test]
fn no_layout_is_no_error_but_half_a_layout_is() {
    assert_eq!(decode(&Tags::new()), Ok(vec![]));
    assert_eq!(encode(&[]), Tags::new());
    assert_eq!(
        decode(&Tags::from([("stillframe:layout.1".to_owned(), "x".to_owned())])),
        Err(LayoutError::MissingPart(0))
    );
    for (text, error) in [
        ("", LayoutError::Fields(String::new())),
        ("vol-1:/dev/sdf:ext4", LayoutError::Fields("vol-1:/dev/sdf:ext4".to_owned())),
        ("a:b:c:d:e", LayoutError::Fields("a:b:c:d:e".to_owned())),
        ("a:b:c:d+", LayoutError::Fields(String::new())),
        ("a:b:c:=2", LayoutError::Escape("=2".to_owned())),
        ("a:b:c:=zz", LayoutError::Escape("=zz".to_owned())),
        ("a:b:c:=FF", LayoutError::Escape("=FF".to_owned())),
        (":b:c:d", LayoutError::NoVolume(":b:c:d".to_owned())),
    ] {
        assert_eq!(decode(&tags_of(text)), Err(error), "{text}");
    }
}

fn any_record() -> impl Strategy<Value = Record> {
    (".{1,30}", ".{0,20}", ".{0,12}", ".{0,60}").prop_map(|(v, d, f, m)| record(&v, &d, &f, &m))
}

proptest! {
    #[test]
    fn what_is_written_is_read(records in proptest::collection::vec(any_record(), 0..40)) {
        let tags = encode(&records);
        prop_assert_eq!(tags.len(), tags_needed(&records));
        for (key, value) in &tags {
            prop_assert!(tags::check_key(key).is_ok() && tags::check_value(key, value).is_ok());
            prop_assert!(value.bytes().all(|b| b.is_ascii_alphanumeric() || b"._/@-=:+".contains(&b)));
        }
        prop_assert_eq!(decode(&tags), Ok(records));
    }

    #[test]
    fn garbage_gives_an_error_or_records_never_a_panic(parts in proptest::collection::btree_map("[0-9x]{0,2}", "[a-z=:+0-9é]{0,40}", 0..5)) {
        let tags: Tags = parts.into_iter().map(|(part, value)| (format!("stillframe:layout.{part}"), value)).collect();
        let _ = decode(&tags);
    }

    #[test]
    fn a_layout_that_lost_a_part_is_no_layout(records in proptest::collection::vec(any_record(), 20..40), lost in 0_usize..100) {
        let mut tags = encode(&records);
        let lost = lost % (tags.len() - 1);
        tags.remove(&format!("stillframe:layout.{lost}"));
        prop_assert_eq!(decode(&tags), Err(LayoutError::MissingPart(lost)));
    }
}
