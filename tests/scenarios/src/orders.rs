//! Orders that the backup function did not write.

use crate::region::Region;
use base64::{
    Engine,
    prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD},
};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use stillframe_wire::{AUDIENCE, InstanceId, OrderedVolume, RunId, SigningKey, VolumeId, WorkOrder};

impl Region {
    /// An order for the volumes of the first instance, as the backup function would sign it.
    #[must_use]
    pub fn last_order(&self) -> String {
        self.order_for("i-0aaaaaaaaaaaaaaa1")
    }

    /// An order for an instance and its first two volumes, signed with the region's key.
    #[must_use]
    pub fn order_for(&self, instance: &str) -> String {
        self.order(instance, 5_000)
    }

    /// The same with a longest freeze, milliseconds.
    #[must_use]
    pub fn order(&self, instance: &str, max_freeze_ms: u64) -> String {
        self.order_with(instance, |order| order.max_freeze_ms = max_freeze_ms)
    }

    /// The same for a rehearsal.
    #[must_use]
    pub fn order_to_rehearse(&self, instance: &str) -> String {
        self.order_with(instance, |order| order.rehearse = true)
    }

    /// Such an order in words of another version, signed all the same: with `v` as it says, and without a claim that
    /// this version needs.
    #[must_use]
    pub fn order_of_version(&self, instance: &str, v: u32) -> String {
        let order = self.order_for(instance);
        let claims = order.split('.').nth(1).and_then(|claims| BASE64_URL_SAFE_NO_PAD.decode(claims).ok());
        let mut claims: Value = serde_json::from_slice(&claims.expect("claims")).expect("JSON");
        claims["v"] = json!(v);
        claims.as_object_mut().expect("an object").remove("layout_tags");
        let key = EncodingKey::from_secret(&self.signing_key());
        jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &key).expect("a token")
    }

    fn signing_key(&self) -> Vec<u8> {
        let key =
            self.ssm("GetParameter", &json!({"Name": "/stillframe/signing-key", "WithDecryption": true}));
        let key = key["Parameter"]["Value"].as_str().expect("a key");
        BASE64_URL_SAFE_NO_PAD.decode(key).expect("a key is base64url")
    }

    fn order_with(&self, instance: &str, change: impl FnOnce(&mut WorkOrder)) -> String {
        let key = SigningKey::new(self.signing_key()).expect("a key is long enough");
        let stem = format!("vol-{}", &instance["i-".len()..instance.len() - 1].get(..15).expect("an id"));
        let volume = |n: u32, device: &str| OrderedVolume {
            id: VolumeId::new(format!("{stem}{n:02}")).expect("a volume id"),
            device: device.to_owned(),
        };
        let mut order = WorkOrder {
            v: 1,
            aud: AUDIENCE.to_owned(),
            instance: InstanceId::new(instance).expect("an instance id"),
            expires: self.client().now().expect("the region's clock") + 600,
            run: RunId::new("by-hand/2026-11-22/000000").expect("a run id"),
            policy: "by-hand".to_owned(),
            slot: "2026-11-22".to_owned(),
            volumes: vec![volume(1, "/dev/sdf"), volume(2, "/dev/sdg")],
            exclude_volumes: Vec::new(),
            exclude_boot: true,
            // The role of the signal function makes no snapshots without the last two.
            tags: BTreeMap::from(
                [
                    ("stillframe:policy", "by-hand"),
                    ("stillframe:run", "by-hand/2026-11-22/000000"),
                    ("stillframe:consistency", "crash"),
                ]
                .map(|(key, value)| (key.to_owned(), value.to_owned())),
            ),
            copy_volume_tags: true,
            layout_tags: 4,
            max_freeze_ms: 5_000,
            hooks: false,
            description: "by hand".to_owned(),
            freeze_root: false,
            expedite_rcu: false,
            rehearse: false,
            signal_function: "stillframe-signal".to_owned(),
        };
        change(&mut order);
        order.sign(&key).expect("an order that can be signed")
    }

    /// Has another document stand in the place of one that is deployed.
    pub fn put_document(&self, name: &str, document: &Value) {
        self.client().put_document(name, document).expect("the region takes it");
    }

    /// Runs the document `Stillframe-Freeze` with an order and returns the helper's report.
    #[must_use]
    pub fn freeze_with(&self, instance: &str, order: &str) -> Value {
        let end = self.run_freeze(instance, &json!({"order": [order]}));
        let printed = end["StandardOutputContent"].as_str().unwrap_or_default();
        serde_json::from_str(printed.lines().next().unwrap_or_default())
            .unwrap_or_else(|error| panic!("no report: {error}: {end}"))
    }

    /// Runs the document `Stillframe-Freeze` with these parameters; the invocation as it ended.
    pub fn run_freeze(&self, instance: &str, parameters: &Value) -> Value {
        self.run_document(instance, "Stillframe-Freeze", parameters)
    }

    /// Runs the document `Stillframe-Mount` with an order; what the helper printed.
    #[must_use]
    pub fn mount_with(&self, instance: &str, order: &Value) -> String {
        let order = BASE64_STANDARD.encode(order.to_string());
        let end = self.run_document(instance, "Stillframe-Mount", &json!({"order": [order]}));
        end["StandardOutputContent"].as_str().unwrap_or_default().to_owned()
    }

    /// Runs a document with these parameters; the invocation as it ended.
    pub fn run_document(&self, instance: &str, document: &str, parameters: &Value) -> Value {
        let sent = self.ssm(
            "SendCommand",
            &json!({"DocumentName": document, "InstanceIds": [instance], "Parameters": parameters}),
        );
        let command = sent["Command"]["CommandId"].clone();
        let asked = json!({"CommandId": command, "InstanceId": instance});
        let mut end = Value::Null;
        self.wait_until("the end of the command", || {
            let Ok(invocation) = self.client().ssm("GetCommandInvocation", &asked) else { return false };
            end = invocation;
            !matches!(end["Status"].as_str(), Some("Pending" | "InProgress" | "Delayed"))
        });
        end
    }
}
