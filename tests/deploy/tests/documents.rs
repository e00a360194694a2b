//! The SSM documents: fit for Systems Manager, and the same in the folder and in the template.

#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

use deploy::{documents, inline};
use stack::infra;
use std::io::Write;
use std::process::{Command, Stdio};

#[test]
fn every_document_is_of_schema_2_2() {
    let all = inline::documents(&infra().join("documents")).unwrap();
    assert!(all.len() >= 3);
    for (name, text) in all {
        // Automation documents are of schema 0.3, and another test's.
        if text.contains("\"schemaVersion\": \"2.2\"") {
            assert_eq!(documents::problems(&text), Vec::<String>::new(), "{name}");
        }
    }
}

#[test]
fn the_shell_can_read_every_script() {
    for (name, text) in inline::documents(&infra().join("documents")).unwrap() {
        let Some(script) = documents::script(&text) else { continue };
        let mut shell = Command::new("sh").arg("-n").stdin(Stdio::piped()).spawn().unwrap();
        shell.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
        assert!(shell.wait().unwrap().success(), "{name}");
    }
}

#[test]
fn the_template_carries_the_documents_word_for_word() {
    let template = std::fs::read_to_string(infra().join("template.yaml")).unwrap();
    let fresh = inline::template(&template, &infra().join("documents")).unwrap();
    assert!(template == fresh, "run `cargo run -p deploy --bin inline-documents`");
    let stack = stack::template::Template::read(&template).unwrap().deployed(&[]).unwrap();
    for (name, text) in inline::documents(&infra().join("documents")).unwrap() {
        let logical = format!("{}Document", name.trim_start_matches("Stillframe-"));
        let document: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(stack.property(&logical, "/Content").unwrap(), &document, "{name}");
    }
}

#[test]
fn the_install_document_carries_the_script_word_for_word() {
    let document = std::fs::read_to_string(infra().join("documents/Stillframe-Install.json")).unwrap();
    let script = std::fs::read_to_string(infra().join("install/install.sh")).unwrap();
    let fresh = inline::install_document(&document, &script).unwrap();
    assert!(document == fresh, "run `cargo run -p deploy --bin inline-documents`");
    assert_eq!(documents::script(&document).unwrap(), script);
}
