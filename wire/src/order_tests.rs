use super::*;
use proptest::prelude::*;

const NOW: u64 = 1_795_000_000;

fn key() -> SigningKey {
    SigningKey::new(vec![7; 32]).unwrap()
}

fn order() -> WorkOrder {
    WorkOrder {
        v: 1,
        aud: AUDIENCE.to_owned(),
        instance: InstanceId::new("i-0aaaaaaaaaaaaaaa1").unwrap(),
        expires: NOW + 600,
        run: RunId::new("daily/2026-11-22/k3v9x2").unwrap(),
        policy: "daily".to_owned(),
        slot: "2026-11-22".to_owned(),
        volumes: vec![OrderedVolume {
            id: VolumeId::new("vol-0aaaaaaaaaaaaaa01").unwrap(),
            device: "/dev/sdf".to_owned(),
        }],
        exclude_volumes: vec![VolumeId::new("vol-0aaaaaaaaaaaaaa02").unwrap()],
        exclude_boot: true,
        tags: BTreeMap::from([("stillframe:policy".to_owned(), "daily".to_owned())]),
        copy_volume_tags: true,
        description: "the search cluster's data".to_owned(),
        layout_tags: 4,
        max_freeze_ms: 10_000,
        hooks: true,
        freeze_root: false,
        expedite_rcu: false,
        rehearse: false,
        signal_function: "signal".to_owned(),
    }
}

/// A token whose header and claims are whatever the test says, signed with the right key.
fn token(header: &str, claims: &str) -> String {
    let message =
        format!("{}.{}", BASE64_URL_SAFE_NO_PAD.encode(header), BASE64_URL_SAFE_NO_PAD.encode(claims));
    let signature =
        jsonwebtoken::crypto::sign(message.as_bytes(), &EncodingKey::from_secret(&key().0), Algorithm::HS256)
            .unwrap();
    format!("{message}.{signature}")
}

const HS256: &str = r#"{"typ":"JWT","alg":"HS256"}"#;

fn claims_with(change: impl FnOnce(&mut serde_json::Value)) -> String {
    let mut claims = serde_json::to_value(order()).unwrap();
    change(&mut claims);
    claims.to_string()
}

#[test]
fn an_order_survives_signing_and_verifying() {
    let token = order().sign(&key()).unwrap();
    assert_eq!(WorkOrder::verify(&token, &key(), NOW), Ok(order()));
    assert_eq!(WorkOrder::read_unverified(&token), Ok(order()));
    assert!(
        token.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b)),
        "the document's allowedPattern takes nothing else"
    );
}

#[test]
fn an_expired_order_is_refused_and_one_at_its_last_second_is_not() {
    let token = order().sign(&key()).unwrap();
    assert!(WorkOrder::verify(&token, &key(), NOW + 600).is_ok());
    assert_eq!(WorkOrder::verify(&token, &key(), NOW + 660), Err(OrderError::Expired { late_s: 60 }));
}

#[test]
fn an_order_for_another_audience_is_refused() {
    let token = token(HS256, &claims_with(|claims| claims["aud"] = "somebody".into()));
    assert_eq!(WorkOrder::verify(&token, &key(), NOW), Err(OrderError::WrongAudience("somebody".to_owned())));
}

#[test]
fn an_order_for_another_instance_is_refused_by_the_helper() {
    let here = InstanceId::new("i-0bbbbbbbbbbbbbbb2").unwrap();
    assert!(order().for_instance(&order().instance).is_ok());
    let error = order().for_instance(&here).unwrap_err();
    assert!(
        error.to_string().contains("i-0aaaaaaaaaaaaaaa1")
            && error.to_string().contains("i-0bbbbbbbbbbbbbbb2")
    );
}

#[test]
fn a_tampered_order_is_refused() {
    let token = order().sign(&key()).unwrap();
    let parts: Vec<&str> = token.split('.').collect();
    let more = BASE64_URL_SAFE_NO_PAD.encode(claims_with(|claims| claims["max_freeze_ms"] = 30_000.into()));
    let tampered = format!("{}.{more}.{}", parts[0], parts[2]);
    assert_eq!(WorkOrder::verify(&tampered, &key(), NOW), Err(OrderError::BadSignature));
}

#[test]
fn an_order_signed_with_another_key_is_refused() {
    let other = SigningKey::new(vec![8; 32]).unwrap();
    let token = order().sign(&other).unwrap();
    assert_eq!(WorkOrder::verify(&token, &key(), NOW), Err(OrderError::BadSignature));
}

#[test]
fn an_unsigned_order_is_refused() {
    let claims = BASE64_URL_SAFE_NO_PAD.encode(claims_with(|_| ()));
    for alg in ["none", "None", "NONE", ""] {
        let head = BASE64_URL_SAFE_NO_PAD.encode(format!(r#"{{"typ":"JWT","alg":"{alg}"}}"#));
        for signature in ["", "AAAA"] {
            let unsigned = format!("{head}.{claims}.{signature}");
            assert_eq!(
                WorkOrder::verify(&unsigned, &key(), NOW),
                Err(OrderError::BadSignature),
                "alg {alg:?}, signature {signature:?}"
            );
        }
    }
}

#[test]
fn another_algorithm_is_refused_even_with_the_right_key() {
    let head = Header::new(Algorithm::HS512);
    let token = jsonwebtoken::encode(&head, &order(), &EncodingKey::from_secret(&key().0)).unwrap();
    assert_eq!(WorkOrder::verify(&token, &key(), NOW), Err(OrderError::BadSignature));
}

#[test]
fn garbage_is_refused() {
    for garbage in ["", "..", "a.b", "a.b.c", "a.b.c.d", "not a token", "\u{0}", "....."] {
        assert!(WorkOrder::verify(garbage, &key(), NOW).is_err(), "{garbage:?}");
        assert!(WorkOrder::read_unverified(garbage).is_err(), "{garbage:?}");
    }
}

#[test]
fn an_unknown_claim_is_ignored() {
    let token = token(HS256, &claims_with(|claims| claims["colour"] = "blue".into()));
    assert_eq!(WorkOrder::verify(&token, &key(), NOW), Ok(order()));
}

#[test]
fn a_wrong_claim_is_named() {
    type Change = fn(&mut serde_json::Value);
    let cases: [(&str, Change); 9] = [
        ("volumes", |c| c["volumes"] = serde_json::json!([])),
        ("volumes[0].id", |c| c["volumes"][0]["id"] = "sdf".into()),
        ("volumes", |c| c["volumes"] = serde_json::json!([c["volumes"][0], c["volumes"][0]])),
        ("exclude_volumes", |c| c["exclude_volumes"][0] = c["volumes"][0]["id"].clone()),
        ("max_freeze_ms", |c| c["max_freeze_ms"] = 30_001.into()),
        ("max_freeze_ms", |c| c["max_freeze_ms"] = "10s".into()),
        ("jti", |c| c["jti"] = "".into()),
        ("field v", |c| c["v"] = 2.into()),
        ("signal_function", |c| c["signal_function"] = "".into()),
    ];
    for (named, change) in cases {
        let error = WorkOrder::verify(&token(HS256, &claims_with(change)), &key(), NOW).unwrap_err();
        assert!(error.to_string().contains(named), "{error} does not name {named}");
    }
    for claim in
        ["sub", "exp", "jti", "policy", "slot", "volumes", "tags", "max_freeze_ms", "signal_function"]
    {
        let claims = claims_with(|claims| {
            claims.as_object_mut().unwrap().remove(claim);
        });
        let error = WorkOrder::verify(&token(HS256, &claims), &key(), NOW).unwrap_err();
        assert!(error.to_string().contains(claim), "{error} does not name {claim}");
    }
}

#[test]
fn a_short_key_is_refused() {
    assert!(SigningKey::new(vec![7; 31]).is_err());
    assert_eq!(format!("{:?}", key()), "SigningKey(..)", "a key is never printed");
}

proptest! {
    #[test]
    fn verifying_never_panics_and_takes_nothing_unsigned(text in ".{0,200}") {
        prop_assert!(WorkOrder::verify(&text, &key(), NOW).is_err());
    }

    #[test]
    fn any_flipped_byte_is_refused(at in 0_usize..1_000, flip in 1_u8..128) {
        let token = order().sign(&key()).unwrap();
        let mut bytes = token.clone().into_bytes();
        let at = at % bytes.len();
        bytes[at] ^= flip;
        let Ok(tampered) = String::from_utf8(bytes) else { return Ok(()) };
        // The last character of a part carries bits that base64 ignores or rejects; either way the
        // claims that come out are those that were signed.
        if let Ok(read) = WorkOrder::verify(&tampered, &key(), NOW) {
            prop_assert_eq!(read, order());
        }
    }
}
