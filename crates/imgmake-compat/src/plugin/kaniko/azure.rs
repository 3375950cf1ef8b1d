//! `--azure-container-registry-config`: the file in which Kubernetes keeps what its Azure cloud provider logs in
//! with, as options of `auth azure`.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::error::{malformed, unreadable};
use crate::plugin::{Refusal, Workspace};
use imgmake_core::manifest::PasswordFrom;

const FLAG: &str = "--azure-container-registry-config";
/// The clouds that the file may name, and where their directories are.
const CLOUDS: [(&str, &str); 4] = [
    ("AzurePublicCloud", "https://login.microsoftonline.com"),
    ("AzureCloud", "https://login.microsoftonline.com"),
    ("AzureChinaCloud", "https://login.chinacloudapi.cn"),
    ("AzureUSGovernmentCloud", "https://login.microsoftonline.us"),
];

/// Whether a host is one of Azure's registries, in any of its clouds.
pub(super) fn is_registry(host: &str) -> bool {
    ["io", "cn", "us", "de"]
        .iter()
        .any(|end| host.ends_with(&format!(".azurecr.{end}")))
}

/// The options in the file.
///
/// # Errors
/// It cannot be read, is not such a file, or asks for a login that is not supported. No value is repeated.
pub(super) fn options(
    path: &str,
    workspace: &Workspace,
) -> Result<BTreeMap<String, PasswordFrom>, Refusal> {
    let text = (workspace.read)(path).map_err(|error| {
        Refusal::new(
            unreadable(&format!("{FLAG}={path}"), path, error),
            "give its path",
        )
    })?;
    let file: Value = serde_json::from_str(&text).map_err(|error| {
        refused(
            path,
            &format!("not JSON: line {}", error.line()),
            "give Kubernetes' azure.json",
        )
    })?;
    let Value::Object(file) = file else {
        return Err(refused(
            path,
            "not a JSON object",
            "give Kubernetes' azure.json",
        ));
    };
    let fields = Fields { path, file: &file };
    let mut options = BTreeMap::new();
    let mut put = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            options.insert(name.to_string(), PasswordFrom::Literal(value));
        }
    };
    fields.refuse(
        "aadClientCertPassword",
        "a locked PKCS#12 file is not read",
        "name a PEM file with certificate and key in `aadClientCertPath`",
    )?;
    fields.refuse(
        "identitySystem",
        "tokens come only from Entra ID",
        "give a docker config",
    )?;
    put("authority-host", fields.authority()?);
    put("tenant", fields.text("tenantId")?);
    if fields.is_set("useManagedIdentityExtension")? {
        put("managed-identity", Some("true".into()));
        put("client-id", fields.text("userAssignedIdentityID")?);
        return Ok(options);
    }
    put("client-id", fields.text("aadClientId")?);
    put("client-secret", fields.text("aadClientSecret")?);
    put("certificate", fields.text("aadClientCertPath")?);
    for (option, name) in [("client-id", "aadClientId"), ("tenant", "tenantId")] {
        if !options.contains_key(option) {
            return Err(refused(
                path,
                &format!("`{name}` not found"),
                "give it, or `useManagedIdentityExtension`",
            ));
        }
    }
    if !options.contains_key("client-secret") && !options.contains_key("certificate") {
        return Err(refused(
            path,
            "neither `aadClientSecret` nor `aadClientCertPath` found",
            "give one of them, or `useManagedIdentityExtension`",
        ));
    }
    Ok(options)
}

struct Fields<'a> {
    path: &'a str,
    file: &'a serde_json::Map<String, Value>,
}

impl Fields<'_> {
    /// Names compare without case, as Go reads JSON.
    fn value(&self, name: &str) -> Option<&Value> {
        let mut fields = self.file.iter();
        let found = fields.find(|(key, _)| key.eq_ignore_ascii_case(name))?;
        Some(found.1).filter(|value| !value.is_null())
    }

    fn text(&self, name: &str) -> Result<Option<String>, Refusal> {
        match self.value(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone()).filter(|text| !text.is_empty())),
            Some(_) => Err(refused(
                self.path,
                &format!("`{name}` is not a text"),
                "put it between quotes",
            )),
        }
    }

    fn is_set(&self, name: &str) -> Result<bool, Refusal> {
        match self.value(name) {
            None => Ok(false),
            Some(Value::Bool(on)) => Ok(*on),
            Some(_) => Err(refused(
                self.path,
                &format!("`{name}` is not a boolean"),
                "write true or false, without quotes",
            )),
        }
    }

    fn refuse(&self, name: &str, why: &str, help: &str) -> Result<(), Refusal> {
        match self.text(name)? {
            None => Ok(()),
            Some(_) => Err(refused(self.path, &format!("`{name}`: {why}"), help)),
        }
    }

    fn authority(&self) -> Result<Option<String>, Refusal> {
        let Some(cloud) = self.text("cloud")? else {
            return Ok(None);
        };
        let found = CLOUDS
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(&cloud));
        match found {
            Some((_, authority)) => Ok(Some((*authority).to_string())),
            None => Err(refused(
                self.path,
                &format!("unknown `cloud` {cloud:?}"),
                "AZURE_AUTHORITY_HOST, AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET log in anywhere",
            )),
        }
    }
}

fn refused(path: &str, why: &str, help: &str) -> Refusal {
    Refusal::new(malformed(format!("{FLAG}={path}"), why), help)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &'static str) -> Result<BTreeMap<String, String>, String> {
        let environment = BTreeMap::new();
        let workspace = Workspace {
            environment: &environment,
            read: &|_| Ok(text.to_string()),
            now: "",
        };
        let options = options("azure.json", &workspace).map_err(|refusal| refusal.to_string())?;
        let plain = |from| match from {
            PasswordFrom::Literal(text) => text,
            PasswordFrom::Secret(_) => panic!("no secret is declared here"),
        };
        Ok(options.into_iter().map(|(k, v)| (k, plain(v))).collect())
    }

    fn pairs(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        let owned = |(k, v): &(&str, &str)| (k.to_string(), v.to_string());
        pairs.iter().map(owned).collect()
    }

    #[test]
    fn a_service_principal_logs_in_where_its_cloud_is() {
        let file = r#"{"cloud": "AzureUSGovernmentCloud", "tenantId": "t", "aadClientId": "c",
            "aadClientSecret": "s", "subscriptionId": "x", "vnetName": "y", "resourceGroup": null}"#;
        let wanted = [
            ("authority-host", "https://login.microsoftonline.us"),
            ("tenant", "t"),
            ("client-id", "c"),
            ("client-secret", "s"),
        ];
        assert_eq!(read(file).unwrap(), pairs(&wanted));
    }

    #[test]
    fn a_managed_identity_needs_no_secret_and_takes_none() {
        let file = r#"{"tenantId": "t", "useManagedIdentityExtension": true,
            "userAssignedIdentityID": "id", "aadClientId": "msi", "aadClientSecret": "msi"}"#;
        let wanted = [
            ("managed-identity", "true"),
            ("client-id", "id"),
            ("tenant", "t"),
        ];
        assert_eq!(read(file).unwrap(), pairs(&wanted));
    }

    #[test]
    fn what_cannot_be_used_is_named_without_its_value() {
        for (file, named) in [
            ("hunter2", "not JSON: line 1"),
            ("[]", "not a JSON object"),
            (
                r#"{"tenantId":"t","aadClientSecret":"hunter2"}"#,
                "`aadClientId`",
            ),
            (
                r#"{"aadClientId":"c","aadClientSecret":"hunter2"}"#,
                "`tenantId`",
            ),
            (
                r#"{"tenantId":"t","aadClientId":"c"}"#,
                "`aadClientSecret` nor",
            ),
            (
                r#"{"aadClientCertPassword":"hunter2"}"#,
                "`aadClientCertPassword`",
            ),
            (r#"{"identitySystem":"ADFS"}"#, "`identitySystem`"),
            (r#"{"cloud":"AzureStackCloud"}"#, "`cloud`"),
            (r#"{"tenantId":["hunter2"]}"#, "`tenantId`"),
            (
                r#"{"useManagedIdentityExtension":"hunter2"}"#,
                "`useManagedIdentityExtension`",
            ),
        ] {
            let refusal = read(file).unwrap_err();
            assert!(
                refusal.contains(named) && refusal.contains("azure.json"),
                "{file}: {refusal}"
            );
            assert!(!refusal.contains("hunter2"), "{refusal}");
        }
    }

    #[test]
    fn azures_registries_are_known_by_their_hosts() {
        for (host, ours) in [
            ("acme.azurecr.io", true),
            ("acme.azurecr.cn", true),
            ("azurecr.io", false),
            ("acme.azurecr.io.evil.com", false),
        ] {
            assert_eq!(is_registry(host), ours, "{host}");
        }
    }
}
