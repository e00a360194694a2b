use super::*;
use flate2::{Compression, write::GzEncoder};
use std::io::Write as _;

const JSON: &str = r#"{"role": "db", "volumes": [{"mount_point": "/srv/pg", "size": 20}]}"#;

fn expected() -> UserData {
    UserData::Spec(Box::new(Spec::read_text(JSON.as_bytes()).unwrap()))
}

fn packed(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

/// As `cloud-init devel make-mime` writes it.
fn multipart(parts: &[(&str, &str)]) -> String {
    let mut text = "Content-Type: multipart/mixed; boundary=\"===============2389165605550749110==\"\n\
                    MIME-Version: 1.0\nNumber-Attachments: 2\n\n"
        .to_owned();
    for (head, body) in parts {
        text += &format!("--===============2389165605550749110==\n{head}\nMIME-Version: 1.0\n\n{body}\n");
    }
    text + "--===============2389165605550749110==--\n"
}

#[test]
fn the_spec_is_found_in_every_shape() {
    let script = ("Content-Type: text/x-shellscript; charset=\"us-ascii\"", "#!/bin/sh\necho {}");
    let ours = ("Content-Type: application/json", JSON);
    let encoded = STANDARD.encode(JSON);
    let plain = multipart(&[script, ours]);
    for (name, data) in [
        ("bare", JSON.as_bytes().to_vec()),
        ("with blanks and a mark", format!("\u{feff}\n  {JSON}\n").into_bytes()),
        ("under our key", format!("{{\"app\": {{}}, \"stillframe\": {JSON}}}").into_bytes()),
        ("packed", packed(JSON)),
        ("Base64", STANDARD.encode(JSON).into_bytes()),
        ("packed, then Base64", STANDARD.encode(packed(JSON)).into_bytes()),
        ("multipart", plain.clone().into_bytes()),
        ("multipart with CRLF", plain.replace('\n', "\r\n").into_bytes()),
        ("multipart packed", packed(&plain)),
        (
            "a part in Base64",
            multipart(&[
                script,
                ("Content-Type: application/json\nContent-Transfer-Encoding: base64", &encoded),
            ])
            .into_bytes(),
        ),
        (
            "a part that does not say what it is",
            multipart(&[("Content-Type: text/plain", JSON), script]).into_bytes(),
        ),
        (
            "a part that is a cloud-config",
            multipart(&[
                script,
                ("Content-Type: text/cloud-config", &format!("#cloud-config\nstillframe: {JSON}")),
            ])
            .into_bytes(),
        ),
        ("one part alone", format!("Content-Type: application/json\n\n{JSON}").into_bytes()),
        (
            "cloud-config, one line",
            format!("#cloud-config\npackages: [x]\nstillframe: {JSON}\nruncmd: []\n").into_bytes(),
        ),
        (
            "cloud-config, a block",
            format!("#cloud-config\nstillframe: |\n  {}\nruncmd: []\n", JSON.replace(", ", ",\n  "))
                .into_bytes(),
        ),
        (
            "cloud-config, several lines",
            format!(
                "#cloud-config\nstillframe: {}\n}}\nruncmd: []\n",
                &JSON[..JSON.len() - 1].replace(", ", ",\n ")
            )
            .into_bytes(),
        ),
    ] {
        assert_eq!(UserData::read(&data), Ok(expected()), "{name}");
    }
}

#[test]
fn what_is_somebody_elses_is_no_error() {
    let script = ("Content-Type: text/x-shellscript", "#!/bin/sh\n{ not json");
    for (data, found) in [
        ("", NoSpec::Empty),
        (" \n", NoSpec::Empty),
        ("#!/bin/bash\necho {}", NoSpec::Script),
        ("#cloud-config\npackages: [x]\n", NoSpec::CloudConfig),
        ("#include\nhttps://example.org/x", NoSpec::OtherDirective),
        ("{\"app\": {\"port\": 80}}", NoSpec::OtherJson),
        (&multipart(&[script]), NoSpec::Multipart),
        (&multipart(&[]), NoSpec::Multipart),
        (&multipart(&[script, ("Content-Type: text/plain", "notes")]), NoSpec::Multipart),
    ] {
        assert_eq!(UserData::read(data.as_bytes()), Ok(UserData::None(found)), "{data:?}");
    }
}

#[test]
fn what_is_wrong_is_one_error_that_says_where() {
    let two =
        multipart(&[("Content-Type: application/json", JSON), ("Content-Type: application/json", JSON)]);
    let broken =
        multipart(&[("Content-Type: text/plain", "x"), ("Content-Type: application/json", "{\"role\": ")]);
    let bad_field = multipart(&[("Content-Type: application/json", r#"{"role": 7}"#)]);
    let quoted =
        multipart(&[("Content-Type: application/json\nContent-Transfer-Encoding: quoted-printable", JSON)]);
    let bomb = packed(&" ".repeat(2 << 20));
    for (data, says) in [
        (b"{\"role\": ".to_vec(), "no JSON"),
        (b"hello there!".to_vec(), "\"hello there!\""),
        (b"[1, 2]".to_vec(), "[1,2]"),
        (b"\xff\xfe".to_vec(), "no text"),
        (b"\x1f\x8b\x08garbage".to_vec(), "unpacked"),
        (bomb, "larger than"),
        (b"#cloud-config\nstillframe:\n  role: db\n".to_vec(), "no JSON"),
        (two.into_bytes(), "parts 1 and 2"),
        (broken.into_bytes(), "part 2"),
        (bad_field.into_bytes(), "`role`"),
        (quoted.into_bytes(), "\"quoted-printable\""),
    ] {
        let error = UserData::read(&data).unwrap_err().to_string();
        assert!(error.contains(says), "{says}: {error}");
    }
    let mut nested = JSON.to_owned();
    for _ in 0..6 {
        nested = STANDARD.encode(nested);
    }
    assert!(UserData::read(nested.as_bytes()).unwrap_err().to_string().contains("5 times"));
}

proptest::proptest! {
    #[test]
    fn nothing_that_is_read_ends_in_a_panic(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200)) {
        let _ = UserData::read(&bytes);
    }

    #[test]
    fn nor_does_a_message_cut_anywhere(at in 0_usize..800) {
        let whole = multipart(&[("Content-Type: text/x-shellscript", "#!/bin/sh"), ("Content-Type: application/json", JSON)]);
        let _ = UserData::read(whole.get(..at.min(whole.len())).unwrap_or_default().as_bytes());
    }
}
