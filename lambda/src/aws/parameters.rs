//! Parameter Store: create once, read, list, overwrite what is one's own, delete. It has no
//! compare-and-swap; creating is the only call of which exactly one of several callers wins.

use super::{Account, CallError};
use aws_sdk_ssm::types::ParameterType;

/// How a creation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Created {
    /// This call made it. (Or a repeat of it after a lost answer did: whoever must know compares the
    /// value.)
    Made,
    /// There was one of this name already.
    Existed,
}

/// The verbs.
#[derive(Debug, Clone)]
pub struct Parameters {
    client: aws_sdk_ssm::Client,
}

impl Parameters {
    /// The verbs in this account.
    #[must_use]
    pub fn new(account: &Account) -> Self {
        Self { client: account.ssm.clone() }
    }

    /// The parameter's value, decrypted if it is secret; `None` when there is no such parameter.
    ///
    /// # Errors
    /// It could not be read.
    pub async fn get(&self, name: &str) -> Result<Option<String>, CallError> {
        let answer = self.client.get_parameter().name(name).with_decryption(true).send().await;
        match answer.map_err(|error| CallError::from_sdk("GetParameter", &error)) {
            Ok(found) => Ok(found.parameter().and_then(|parameter| parameter.value()).map(str::to_owned)),
            Err(CallError::Refused { code, .. }) if code == "ParameterNotFound" => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Names and values of everything directly below `path`.
    ///
    /// # Errors
    /// They could not be listed.
    pub async fn list(&self, path: &str) -> Result<Vec<(String, String)>, CallError> {
        let mut pages = self.client.get_parameters_by_path().path(path).into_paginator().page_size(10).send();
        let mut found = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| CallError::from_sdk("GetParametersByPath", &error))?;
            found.extend(
                page.parameters().iter().filter_map(|parameter| {
                    Some((parameter.name()?.to_owned(), parameter.value()?.to_owned()))
                }),
            );
        }
        Ok(found)
    }

    /// Makes a parameter that must not exist yet.
    ///
    /// # Errors
    /// It could not be made, or nobody knows whether it was.
    pub async fn create(&self, name: &str, value: &str) -> Result<Created, CallError> {
        self.put_new(name, value, ParameterType::String).await
    }

    /// The same for a secret, encrypted at rest.
    ///
    /// # Errors
    /// As [`Self::create`].
    pub async fn create_secret(&self, name: &str, value: &str) -> Result<Created, CallError> {
        self.put_new(name, value, ParameterType::SecureString).await
    }

    async fn put_new(&self, name: &str, value: &str, kind: ParameterType) -> Result<Created, CallError> {
        let answer =
            self.client.put_parameter().name(name).value(value).r#type(kind).overwrite(false).send().await;
        match answer.map_err(|error| CallError::from_sdk("PutParameter", &error)) {
            Ok(_) => Ok(Created::Made),
            Err(CallError::Refused { code, .. }) if code == "ParameterAlreadyExists" => Ok(Created::Existed),
            Err(error) => Err(error),
        }
    }

    /// Writes a value over one's own parameter.
    ///
    /// # Errors
    /// It may not be written.
    pub async fn overwrite(&self, name: &str, value: &str) -> Result<(), CallError> {
        self.client
            .put_parameter()
            .name(name)
            .value(value)
            .r#type(ParameterType::String)
            .overwrite(true)
            .send()
            .await
            .map(|_| ())
            .map_err(|error| CallError::from_sdk("PutParameter", &error))
    }

    /// Deletes a parameter; one that is gone already is success.
    ///
    /// # Errors
    /// It may still be there.
    pub async fn delete(&self, name: &str) -> Result<(), CallError> {
        let answer = self.client.delete_parameter().name(name).send().await;
        match answer.map_err(|error| CallError::from_sdk("DeleteParameter", &error)) {
            Ok(_) => Ok(()),
            Err(CallError::Refused { code, .. }) if code == "ParameterNotFound" => Ok(()),
            Err(error) => Err(error),
        }
    }
}
