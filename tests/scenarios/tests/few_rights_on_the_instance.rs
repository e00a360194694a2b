//! Promise 5: an instance may invoke the signal function and nothing else, and that acts only on a signed
//! order for this instance.

#![allow(clippy::indexing_slicing, clippy::expect_used, reason = "a failed expectation is a failed test")]

use scenarios::{ONE_INSTANCE, Region, daily, program};
use serde_json::json;

fn refusal(region: &Region, order: &str) -> (String, String) {
    let answer = region.invoke("signal", &json!({"ready": {"order": order, "filesystems": []}}));
    (
        answer["refused"]["reason"].as_str().unwrap_or_default().to_owned(),
        answer["refused"]["message"].as_str().unwrap_or_default().to_owned(),
    )
}

#[test]
fn forged_expired_and_garbled_orders_are_refused_before_anything_freezes() {
    let Some(region) = Region::with_disks(ONE_INSTANCE) else { return };
    // One real run, so that the key exists and a real order can be read from the command's parameters.
    region.backup(daily());
    let order = region.last_order();
    let parts: Vec<&str> = order.split('.').collect();

    let forged = format!("{}.{}.{}", parts[0], parts[1], "A".repeat(parts[2].len()));
    assert_eq!(refusal(&region, &forged).0, "bad-signature");
    let unsigned = format!("{}.{}.", "eyJhbGciOiJub25lIn0", parts[1]);
    assert_eq!(refusal(&region, &unsigned).0, "bad-signature");
    assert_eq!(refusal(&region, "garbage").0, "malformed");
    region.advance(7_200);
    assert_eq!(refusal(&region, &order).0, "expired");

    for bad in [forged.as_str(), order.as_str()] {
        let before = region.snapshots().len();
        let stall = region.longest_stall_during(|| {
            let report = region.freeze_with("i-0aaaaaaaaaaaaaaa1", bad);
            assert_eq!(report["verdict"], "refused", "{report}");
        });
        assert!(stall.as_millis() < 100, "nothing was frozen, yet a writer stood still for {stall:?}");
        assert_eq!(region.snapshots().len(), before);
    }
}

#[test]
fn an_order_for_another_instance_is_refused_by_the_helper_and_names_both() {
    let Some(region) = Region::with_disks(scenarios::TWO_INSTANCES) else { return };
    region.backup(daily());
    let order = region.order_for("i-0bbbbbbbbbbbbbbb2");
    let report = region.freeze_with("i-0aaaaaaaaaaaaaaa1", &order);
    assert_eq!(report["verdict"], "refused", "{report}");
    let error = report["error"].as_str().unwrap_or_default();
    assert!(error.contains("i-0aaaaaaaaaaaaaaa1") && error.contains("i-0bbbbbbbbbbbbbbb2"), "{report}");
}

#[test]
fn an_order_for_a_volume_that_is_not_attached_is_refused_by_name() {
    let Some(region) = Region::with_disks(ONE_INSTANCE) else { return };
    region.backup(daily());
    let order = region.last_order();
    region.detach_volume("i-0aaaaaaaaaaaaaaa1", "vol-0aaaaaaaaaaaaaa02");
    let report = region.freeze_with("i-0aaaaaaaaaaaaaaa1", &order);
    assert_eq!(report["verdict"], "refused", "{report}");
    assert!(report["error"].as_str().unwrap_or_default().contains("vol-0aaaaaaaaaaaaaa02"), "{report}");
    assert!(region.frozen().is_empty());
}

#[test]
fn an_instance_can_neither_delete_a_snapshot_nor_read_the_key_nor_start_a_backup() {
    if !program("aws") {
        return;
    }
    let Some(region) = Region::with_disks(ONE_INSTANCE) else { return };
    region.backup(daily());
    let snapshot = region.snapshots()[0].id.clone();
    for forbidden in [
        format!("ec2 delete-snapshot --snapshot-id {snapshot}"),
        "ec2 describe-snapshots --owner-ids self".to_owned(),
        "ssm get-parameter --name /stillframe/signing-key --with-decryption".to_owned(),
        "lambda invoke --function-name backup --payload {} /dev/null".to_owned(),
    ] {
        let error = region.aws_as_instance("i-0aaaaaaaaaaaaaaa1", &forbidden);
        let error = error.expect_err(&format!("{forbidden} was allowed"));
        assert!(error.contains("Unauthorized") || error.contains("AccessDenied"), "{forbidden}: {error}");
    }
    assert!(region.snapshots().iter().any(|s| s.id == snapshot));
}
