use super::*;

fn given(pairs: &[(&str, &str)]) -> Parameters {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), vec![(*value).to_owned()])).collect()
}

const ORDER: &str = "aaaaaaaa.bbbbbbbb.cccccccc";

#[test]
fn every_shipped_document_can_be_run() {
    for (name, _) in SHIPPED {
        Document::shipped(name).unwrap_or_else(|error| panic!("{name}: {error}"));
    }
    assert_eq!(Document::shipped("AWS-RunShellScript").unwrap_err().code, "InvalidDocument");
}

#[test]
fn the_order_goes_through_the_environment_and_is_never_pasted() {
    let prepared =
        Document::shipped("Stillframe-Freeze").unwrap().prepare(&given(&[("order", ORDER)])).unwrap();
    assert_eq!(prepared.env, [("SSM_order".to_owned(), ORDER.to_owned())]);
    assert!(prepared.commands.iter().all(|line| !line.contains(ORDER)));
    assert_eq!(prepared.timeout, Duration::from_secs(300));
    assert_eq!(prepared.step, "freeze");
}

#[test]
fn the_timeout_is_the_parameter() {
    let freeze = Document::shipped("Stillframe-Freeze").unwrap();
    let timeout = |seconds| {
        let parameters = given(&[("order", ORDER), ("executionTimeout", seconds)]);
        freeze.prepare(&parameters).map(|prepared| prepared.timeout.as_secs())
    };
    assert_eq!(timeout("60"), Ok(60));
    assert_eq!(timeout("99999"), Ok(99_999));
    assert_eq!(timeout("600; reboot").unwrap_err().code, "InvalidParameters");
}

#[test]
fn parameters_that_the_document_forbids_are_refused_by_name() {
    let freeze = Document::shipped("Stillframe-Freeze").unwrap();
    for (parameters, named) in [
        (given(&[]), "order"),
        (given(&[("order", "short")]), "order"),
        (given(&[("order", "aaaaaaaa.bbbbbbbb.cc$(reboot)")]), "order"),
        (given(&[("order", "aaaaaaaa.bbbbbbbb.cccccccc\nreboot")]), "order"),
        (given(&[("order", ORDER), ("colour", "red")]), "colour"),
        (BTreeMap::from([("order".to_owned(), vec![ORDER.to_owned(), ORDER.to_owned()])]), "order"),
    ] {
        let error = freeze.prepare(&parameters).unwrap_err();
        assert_eq!(error.code, "InvalidParameters");
        assert!(error.message.contains(named), "{parameters:?} gave {error}");
    }
    assert!(Document::shipped("Stillframe-Thaw").unwrap().prepare(&given(&[])).is_ok());
}

#[test]
fn a_parameter_without_env_var_is_pasted_as_the_agent_pastes() {
    let text = r#"{"schemaVersion": "2.2", "parameters": {"what": {"type": "String"}},
        "mainSteps": [{"action": "aws:runShellScript", "name": "echo",
        "inputs": {"runCommand": ["echo {{what}} {{ what }} {{other}}"]}}]}"#;
    let prepared = Document::read(text).unwrap().prepare(&given(&[("what", "$(id)")])).unwrap();
    assert_eq!(prepared.commands, ["echo $(id) $(id) {{other}}"]);
    assert_eq!(prepared.timeout, Duration::from_secs(3_600));
}

#[test]
fn documents_that_the_agent_cannot_run_are_refused() {
    let step = |name: &str, action: &str| {
        format!(
            r#"{{"schemaVersion": "2.2", "mainSteps": [{{"action": "{action}", "name": "{name}", "inputs": {{"runCommand": []}}}}]}}"#
        )
    };
    assert!(Document::read(&step("echo", "aws:runShellScript")).is_ok());
    assert!(Document::read(&step("run", "aws:runShellScript")).is_err(), "SSM wants four letters");
    assert!(Document::read(&step("echo", "aws:runPowerShellScript")).is_err());
    assert!(Document::read("{}").is_err());
}

#[test]
fn a_document_of_ones_own_takes_the_place_of_a_shipped_one_until_it_is_removed() {
    let documents = Documents::default();
    let text = r#"{"schemaVersion": "2.2", "mainSteps": [
        {"action": "aws:runShellScript", "name": "mine", "inputs": {"runCommand": ["true"]}}]}"#;
    documents.put("Stillframe-Freeze", text).unwrap();
    let step = || documents.get("Stillframe-Freeze").unwrap().main_steps[0].name.clone();
    assert_eq!(step(), "mine");
    documents.remove("Stillframe-Freeze");
    assert_eq!(step(), "freeze");
    assert!(documents.put("Other", "{}").is_err());
    assert_eq!(documents.get("Other").unwrap_err().code, "InvalidDocument");
}
