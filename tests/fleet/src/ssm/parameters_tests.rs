use super::*;

fn put(store: &mut Store, body: Value) -> Result<Value, ApiError> {
    store.put(serde_json::from_value(body).unwrap(), DateTime::from_timestamp(1_000_000, 0).unwrap())
}

fn get(store: &Store, body: Value) -> Result<Value, ApiError> {
    store.get(&serde_json::from_value(body).unwrap())
}

fn lease(n: u32) -> Value {
    json!({"Name": format!("/stillframe/lease/daily/{n}"), "Value": "x", "Type": "String"})
}

#[test]
fn a_parameter_is_created_once() {
    let mut store = Store::default();
    assert_eq!(put(&mut store, lease(1)).unwrap()["Version"], 1);
    assert_eq!(put(&mut store, lease(1)).unwrap_err().code, "ParameterAlreadyExists");
    let over = json!({"Name": "/stillframe/lease/daily/1", "Value": "y", "Overwrite": true});
    assert_eq!(put(&mut store, over).unwrap()["Version"], 2);
    let found = get(&store, json!({"Name": "/stillframe/lease/daily/1"})).unwrap();
    assert_eq!((&found["Parameter"]["Value"], &found["Parameter"]["Type"]), (&json!("y"), &json!("String")));
}

#[test]
fn a_deleted_parameter_can_be_created_again() {
    let mut store = Store::default();
    put(&mut store, lease(1)).unwrap();
    let name = serde_json::from_value(json!({"Name": "/stillframe/lease/daily/1"})).unwrap();
    store.delete(&name).unwrap();
    assert_eq!(store.delete(&name).unwrap_err().code, "ParameterNotFound");
    assert_eq!(put(&mut store, lease(1)).unwrap()["Version"], 1);
}

#[test]
fn a_secure_string_is_sealed_to_those_who_do_not_ask() {
    let mut store = Store::default();
    put(&mut store, json!({"Name": "/stillframe/signing-key", "Value": "secret", "Type": "SecureString"}))
        .unwrap();
    let sealed = get(&store, json!({"Name": "/stillframe/signing-key"})).unwrap();
    assert!(!sealed.to_string().contains("secret"), "{sealed}");
    let open = get(&store, json!({"Name": "/stillframe/signing-key", "WithDecryption": true})).unwrap();
    assert_eq!(open["Parameter"]["Value"], "secret");
}

#[test]
fn a_path_is_read_in_pages() {
    let mut store = Store::default();
    for n in 10..35 {
        put(&mut store, lease(n)).unwrap();
    }
    put(&mut store, json!({"Name": "/stillframe/lease/daily-more/1", "Value": "x", "Type": "String"}))
        .unwrap();
    let (mut names, mut token) = (Vec::new(), Value::Null);
    loop {
        let by = json!({"Path": "/stillframe/lease/daily", "NextToken": token});
        let page = store.by_path(&serde_json::from_value(by).unwrap()).unwrap();
        names.extend(page["Parameters"].as_array().unwrap().iter().map(|p| p["Name"].clone()));
        token = page["NextToken"].clone();
        if token.is_null() {
            break;
        }
    }
    assert_eq!(names.len(), 25);
    assert_eq!(names.last(), Some(&json!("/stillframe/lease/daily/34")));
    let flat = json!({"Path": "/stillframe"});
    let flat = store.by_path(&serde_json::from_value(flat).unwrap()).unwrap();
    assert_eq!(flat["Parameters"], json!([]), "not recursive unless asked to");
}

#[test]
fn several_are_read_and_deleted_at_once() {
    let mut store = Store::default();
    put(&mut store, lease(1)).unwrap();
    let several: Several =
        serde_json::from_value(json!({"Names": ["/stillframe/lease/daily/1", "/none"]})).unwrap();
    let found = store.get_several(&several).unwrap();
    assert_eq!(found["Parameters"].as_array().map(Vec::len), Some(1));
    assert_eq!(found["InvalidParameters"], json!(["/none"]));
    let deleted = store.delete_several(&several).unwrap();
    assert_eq!(deleted["DeletedParameters"], json!(["/stillframe/lease/daily/1"]));
}

#[test]
fn what_ssm_would_not_take_is_refused() {
    let mut store = Store::default();
    for body in [
        json!({"Name": "a b", "Value": "x", "Type": "String"}),
        json!({"Name": "a/b", "Value": "x", "Type": "String"}),
        json!({"Name": "/aws/b", "Value": "x", "Type": "String"}),
        json!({"Name": "/a", "Value": "", "Type": "String"}),
        json!({"Name": "/a", "Value": "{{x}}", "Type": "String"}),
        json!({"Name": "/a", "Value": "x".repeat(4_097), "Type": "String"}),
        json!({"Name": "/a", "Value": "x", "Type": "Number"}),
        json!({"Name": "/a", "Value": "x"}),
        json!({"Name": "/a", "Value": "x", "Type": "String", "Overwrite": true, "Tags": [{}]}),
    ] {
        assert_eq!(put(&mut store, body.clone()).unwrap_err().code, "ValidationException", "{body}");
    }
}
