//! Where a policy's restore points are copied to: the entries of `copy_to`.

use crate::policy::{Policy, PolicyError};
use crate::retention::Keep;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

/// One region that the good restore points are copied to. Each entry keeps by rules of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CopyTo {
    /// The region.
    #[serde(deserialize_with = "region")]
    pub region: String,
    /// What to keep there. A volume's own `stillframe:keep` is for the volume's own region.
    pub keep: Keep,
    /// The key of that region which encrypts the copies: its id, its alias (`alias/backup`) or the ARN of
    /// either. Without one, copies of encrypted snapshots get the key that the region has for EBS.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "kms_key")]
    pub kms_key: Option<String>,
    #[serde(default, skip_serializing, deserialize_with = "no_account")]
    account: NoAccount,
}

/// Copies stay in the account.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct NoAccount;

impl CopyTo {
    /// The policy as it holds for the copies: with the rules of this entry.
    #[must_use]
    pub fn policy(&self, policy: &Policy) -> Policy {
        Policy { keep: self.keep.clone(), ..policy.clone() }
    }

    /// The region that an ARN of a key names.
    fn region_of_key(&self) -> Option<&str> {
        self.kms_key.as_deref().filter(|key| key.starts_with("arn:"))?.split(':').nth(3)
    }
}

impl Policy {
    /// Whether the policy can be run in this region: nothing is copied to where it was made.
    ///
    /// # Errors
    /// An entry of `copy_to` names the region.
    pub fn check_home(&self, region: &str) -> Result<(), PolicyError> {
        match self.copy_to.iter().position(|to| to.region == region) {
            None => Ok(()),
            Some(at) => Err(PolicyError::Field {
                field: format!("copy_to[{at}].region"),
                cause: format!("{region:?} is the region that the snapshots are made in"),
            }),
        }
    }
}

/// Reads the list: no region twice, and keys that lie where the copies do.
pub(super) fn list<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<CopyTo>, D::Error> {
    let list = Vec::<CopyTo>::deserialize(deserializer)?;
    for (at, to) in list.iter().enumerate() {
        if list.iter().take(at).any(|earlier| earlier.region == to.region) {
            return Err(D::Error::custom(format!("the region {:?} is named twice", to.region)));
        }
        if let (Some(region), Some(key)) = (to.region_of_key(), &to.kms_key)
            && region != to.region
        {
            return Err(D::Error::custom(format!(
                "the kms_key {key:?} lies in {region}, the copies would in {}",
                to.region
            )));
        }
    }
    Ok(list)
}

fn region<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let name = String::deserialize(deserializer)?;
    if is_region(&name) {
        Ok(name)
    } else {
        Err(D::Error::custom(format!("{name:?} is no region, as eu-west-1 is")))
    }
}

/// `eu-west-1`, `us-gov-east-1`: letters in two parts or more, then a number.
fn is_region(name: &str) -> bool {
    let mut parts: Vec<&str> = name.split('-').collect();
    let number = parts.pop().unwrap_or_default();
    let letters = |part: &&str| part.len() >= 2 && part.bytes().all(|byte| byte.is_ascii_lowercase());
    parts.len() >= 2
        && parts.iter().all(letters)
        && (1..=2).contains(&number.len())
        && number.bytes().all(|byte| byte.is_ascii_digit())
}

fn kms_key<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let Some(key) = Option::<String>::deserialize(deserializer)? else { return Ok(None) };
    if is_key(&key) {
        Ok(Some(key))
    } else {
        Err(D::Error::custom(format!("{key:?} is neither a key's id nor alias/NAME nor the ARN of either")))
    }
}

fn is_key(text: &str) -> bool {
    let Some(rest) = text.strip_prefix("arn:") else { return is_key_id(text) || is_alias(text) };
    let fields: Vec<&str> = rest.splitn(5, ':').collect();
    let [partition, "kms", region, account, resource] = fields[..] else { return false };
    partition.starts_with("aws")
        && is_region(region)
        && is_account(account)
        && (is_alias(resource) || resource.strip_prefix("key/").is_some_and(is_key_id))
}

/// `1234abcd-12ab-34cd-56ef-1234567890ab`, or of a key of several regions `mrk-` and 32 digits.
fn is_key_id(text: &str) -> bool {
    let hexadecimal = |text: &str| text.bytes().all(|byte| byte.is_ascii_hexdigit());
    match text.strip_prefix("mrk-") {
        Some(digits) => digits.len() == 32 && hexadecimal(digits),
        None => text.split('-').map(str::len).eq([8, 4, 4, 4, 12]) && text.split('-').all(hexadecimal),
    }
}

fn is_alias(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'_' | b'-');
    text.len() <= 256
        && text.strip_prefix("alias/").is_some_and(|name| !name.is_empty() && name.bytes().all(fits))
}

fn is_account(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Copies into other accounts are a piece of work of their own (roles, shared keys), not done yet. Taking
/// the field and leaving the copies at home would be worse than saying so.
fn no_account<'de, D: Deserializer<'de>>(deserializer: D) -> Result<NoAccount, D::Error> {
    let value = serde_json::Value::deserialize(deserializer)?;
    let account = match &value {
        serde_json::Value::Null => return Ok(NoAccount),
        serde_json::Value::String(account) if is_account(account) => account,
        _ => return Err(D::Error::custom(format!("{value} is no account, a string of 12 digits"))),
    };
    Err(D::Error::custom(format!(
        "\"{account}\": this version copies within its own account only; leave the field out"
    )))
}

#[cfg(test)]
mod tests {
    use crate::world::policy;
    use crate::{Keep, Policy};
    use serde_json::{Value, json};

    fn error(copy_to: Value) -> String {
        let event =
            json!({"policy": "daily", "select": {"tag:s": "d"}, "keep": {"last": 2}, "copy_to": copy_to});
        Policy::read(&event).unwrap_err().to_string()
    }

    #[test]
    fn an_entry_says_where_and_how_long() {
        for key in [
            json!(null),
            json!("1234abcd-12ab-34cd-56ef-1234567890ab"),
            json!("mrk-1234abcd12ab34cd56ef1234567890ab"),
            json!("alias/team/backup_1"),
            json!("arn:aws:kms:eu-west-1:123456789012:alias/backup"),
            json!("arn:aws-cn:kms:eu-west-1:123456789012:key/mrk-1234abcd12ab34cd56ef1234567890ab"),
        ] {
            let read = policy(json!({"copy_to": [
                {"region": "eu-west-1", "keep": {"last": 7}, "kms_key": key, "account": null},
                {"region": "us-gov-east-1", "keep": {"yearly": 3}},
            ]}));
            assert_eq!(read.copy_to.len(), 2);
            assert_eq!(read.copy_to[0].kms_key.as_deref(), key.as_str());
            assert_eq!(read.copy_to[0].policy(&read).keep, Keep::last(7));
            let again = Policy::read(&serde_json::to_value(&read).unwrap()).unwrap();
            assert_eq!(again, read);
        }
        assert_eq!(policy(json!({})).copy_to, []);
        assert!(serde_json::to_value(policy(json!({}))).unwrap().get("copy_to").is_none());
    }

    #[test]
    fn what_is_wrong_is_named_with_its_value() {
        let entry = |field: &str, value: Value| {
            let mut entry = json!({"region": "eu-west-1", "keep": {"last": 7}});
            entry[field] = value;
            json!([entry])
        };
        let mut cases = vec![
            (json!({}), "copy_to", "expected a sequence"),
            (json!([{"keep": {"last": 1}}]), "copy_to[0]", "region"),
            (json!([{"region": "eu-west-1"}]), "copy_to[0]", "keep"),
            (entry("keep", json!({})), "copy_to[0].keep", "an empty keep"),
            (entry("keep", json!({"last": -1})), "copy_to[0].keep.last", "-1"),
            (entry("account", json!("12345")), "copy_to[0].account", "\"12345\" is no account"),
            (entry("account", json!(123456789012_u64)), "copy_to[0].account", "123456789012 is no account"),
            (entry("account", json!("123456789012")), "copy_to[0].account", "within its own account only"),
            (
                json!([
                    {"region": "eu-west-1", "keep": {"last": 1}},
                    {"region": "us-east-1", "keep": {"last": 1}},
                    {"region": "eu-west-1", "keep": {"last": 2}},
                ]),
                "copy_to",
                "\"eu-west-1\" is named twice",
            ),
            (
                entry("kms_key", json!("arn:aws:kms:us-east-1:123456789012:alias/backup")),
                "copy_to",
                "lies in us-east-1",
            ),
        ];
        for region in [
            "",
            "eu",
            "eu-west",
            "eu-west-",
            "EU-west-1",
            "eu-west-1a",
            "eu-west-123",
            "eu west 1",
            "eu-1",
            "e-west-1",
        ] {
            cases.push((entry("region", json!(region)), "copy_to[0].region", "is no region"));
        }
        for key in [
            "",
            "alias/",
            "alias/a b",
            "backup",
            "1234abcd",
            "arn:aws:kms:eu-west-1:1:alias/x",
            "arn:aws:s3:::bucket",
            "mrk-12",
        ] {
            cases.push((entry("kms_key", json!(key)), "copy_to[0].kms_key", "neither a key's id"));
        }
        for (given, field, value) in cases {
            let error = error(given.clone());
            let start = format!("failed to read the policy: field `{field}`");
            assert!(error.starts_with(&start) && error.contains(value), "{given}: {error}");
        }
    }

    #[test]
    fn nothing_is_copied_to_where_it_was_made() {
        let read = policy(json!({"copy_to": [
            {"region": "eu-west-1", "keep": {"last": 7}}, {"region": "us-east-1", "keep": {"last": 7}},
        ]}));
        assert_eq!(read.check_home("eu-central-1"), Ok(()));
        let error = read.check_home("us-east-1").unwrap_err().to_string();
        assert!(error.contains("`copy_to[1].region`") && error.contains("\"us-east-1\""), "{error}");
    }
}
