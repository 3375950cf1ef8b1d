//! AWS on one port: STS, ECR and the metadata of machines and containers. Every
//! signature is computed again from the bytes on the wire, by other code than
//! that which signs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::{digest, hmac};
use serde_json::{Value, json};

use super::super::super::testing::{Action, FaultProxy, RecordedRequest, reply};

/// Access key, secret key, session token.
pub type Keys = (&'static str, &'static str, Option<&'static str>);
/// Of a user.
pub const USER: Keys = ("AKIDUSER", "user/secret+key", None);
/// Of whoever assumed the role.
pub const ROLE: Keys = ("ASIAROLE", "role/secret+key", Some("role/session+token=="));
/// What the metadata services hand out.
pub const MACHINE: Keys = ("ASIAMACHINE", "machine/secret", Some("machine/token"));
pub const ROLE_ARN: &str = "arn:aws:iam::123456789012:role/push";

#[derive(Default)]
pub struct Records {
    /// Action and body of what was understood, STS's actions too.
    pub calls: Vec<(String, String)>,
    pub repositories: BTreeSet<String>,
}

#[derive(Clone, Default)]
pub struct Amazon {
    pub records: Arc<Mutex<Records>>,
}

impl Amazon {
    pub fn serve(&self) -> FaultProxy {
        let amazon = self.clone();
        FaultProxy::new(None, move |seen| amazon.act(seen))
    }

    pub fn act(&self, seen: &RecordedRequest) -> Action {
        let (amazon, seen) = (self.clone(), seen.clone());
        Action::Read(
            usize::MAX,
            Box::new(move |body| {
                let (status, text) = amazon.answer(&seen, &String::from_utf8(body).unwrap());
                Some(reply(status, &[], text))
            }),
        )
    }

    pub fn actions(&self) -> Vec<String> {
        let records = self.records.lock().unwrap();
        records
            .calls
            .iter()
            .map(|(action, _)| action.clone())
            .collect()
    }

    pub fn bodies(&self, action: &str) -> Vec<Value> {
        let records = self.records.lock().unwrap();
        let of = |(name, _): &&(String, String)| name == action;
        let calls = records.calls.iter().filter(of);
        calls
            .map(|(_, body)| serde_json::from_str(body).unwrap())
            .collect()
    }

    fn answer(&self, seen: &RecordedRequest, body: &str) -> (u16, String) {
        if seen.target.starts_with("/latest/") || seen.target == "/container" {
            return metadata(seen);
        }
        if super::field(body, "Action").as_deref() == Some("AssumeRoleWithWebIdentity") {
            self.note("AssumeRoleWithWebIdentity", body);
            assert!(seen.header("Authorization").is_none());
            let right = super::field(body, "WebIdentityToken").as_deref() == Some("oidc+token");
            return if right {
                assumed()
            } else {
                (
                    403,
                    "<Error><Code>InvalidIdentityToken</Code></Error>".into(),
                )
            };
        }
        match checked(seen, body) {
            Err(why) => (
                403,
                json!({"__type": "InvalidSignatureException", "message": why}).to_string(),
            ),
            Ok((access, service)) if service == "sts" => self.sts(access, body),
            Ok((access, _)) => self.ecr(access, seen.header("X-Amz-Target").unwrap_or(""), body),
        }
    }

    fn note(&self, action: &str, body: &str) {
        let mut records = self.records.lock().unwrap();
        records.calls.push((action.to_string(), body.to_string()));
    }

    fn sts(&self, access: &str, body: &str) -> (u16, String) {
        self.note("AssumeRole", body);
        let field = |name| super::field(body, name);
        assert_eq!(field("RoleArn").as_deref(), Some(ROLE_ARN));
        assert_eq!(field("ExternalId").as_deref(), Some("ex+ternal"));
        assert!([USER.0, MACHINE.0].contains(&access), "{access}");
        assumed()
    }

    fn ecr(&self, access: &str, target: &str, body: &str) -> (u16, String) {
        let (service, action) = target.split_once('.').unwrap();
        assert!(
            [
                "AmazonEC2ContainerRegistry_V20150921",
                "SpencerFrontendService"
            ]
            .contains(&service),
            "{target}"
        );
        self.note(action, body);
        match action {
            "GetAuthorizationToken" => {
                let token = STANDARD.encode(format!("AWS:{access}-password"));
                let data = json!({"authorizationToken": token, "expiresAt": 4_102_444_800.5});
                let data = match service {
                    "SpencerFrontendService" => data,
                    _ => json!([data]),
                };
                (200, json!({ "authorizationData": data }).to_string())
            }
            "CreateRepository" => {
                let body: Value = serde_json::from_str(body).unwrap();
                let name = body["repositoryName"].as_str().unwrap().to_string();
                if self.records.lock().unwrap().repositories.insert(name) {
                    return (200, "{}".into());
                }
                let text =
                    json!({"__type": "RepositoryAlreadyExistsException", "message": "there"});
                (400, text.to_string())
            }
            _ => (200, "{}".into()),
        }
    }
}

fn assumed() -> (u16, String) {
    let (access, secret, session) = ROLE;
    let session = session.unwrap();
    (
        200,
        format!(
            "<AssumeRoleResponse><AssumeRoleResult><Credentials><AccessKeyId>{access}</AccessKeyId>\
             <SecretAccessKey>{secret}</SecretAccessKey><SessionToken>{session}</SessionToken>\
             </Credentials></AssumeRoleResult></AssumeRoleResponse>"
        ),
    )
}

/// IMDSv2, which wants a token first, and a container's agent.
fn metadata(seen: &RecordedRequest) -> (u16, String) {
    let (access, secret, session) = MACHINE;
    let keys =
        json!({"AccessKeyId": access, "SecretAccessKey": secret, "Token": session}).to_string();
    let proof = seen.header("x-aws-ec2-metadata-token") == Some("imds-token");
    match (seen.line().as_str(), proof) {
        ("PUT /latest/api/token", _) => {
            assert!(
                seen.header("x-aws-ec2-metadata-token-ttl-seconds")
                    .is_some()
            );
            (200, "imds-token".into())
        }
        ("GET /latest/meta-data/iam/security-credentials/", true) => (200, "worker\n".into()),
        ("GET /latest/meta-data/iam/security-credentials/worker", true) => (200, keys),
        ("GET /container", _) if seen.header("Authorization") == Some("pod-token") => (200, keys),
        _ => (401, String::new()),
    }
}

/// Who signed for which service, if the signature is right to the last byte.
fn checked(seen: &RecordedRequest, body: &str) -> Result<(&'static str, String), String> {
    let header = |name: &str| seen.header(name).ok_or(format!("no {name}"));
    let proof = header("Authorization")?;
    let rest = proof
        .strip_prefix("AWS4-HMAC-SHA256 Credential=")
        .ok_or("another algorithm")?;
    let parts: Vec<&str> = rest.split(", ").collect();
    let [credential, names, signature] = parts[..] else {
        return Err(format!("{} parts", parts.len()));
    };
    let names = names.strip_prefix("SignedHeaders=").ok_or("no names")?;
    let signature = signature.strip_prefix("Signature=").ok_or("no signature")?;
    let parts: Vec<&str> = credential.split('/').collect();
    let [access, date, region, service, "aws4_request"] = parts[..] else {
        return Err(format!("the scope is {credential}"));
    };
    let by_name: BTreeMap<&str, Keys> = [USER, ROLE, MACHINE].map(|k| (k.0, k)).into();
    let (access, secret, session) = *by_name.get(access).ok_or("unknown access key")?;
    if seen.header("X-Amz-Security-Token") != session {
        return Err("another session token".into());
    }
    let time = header("X-Amz-Date")?;
    if !time.starts_with(date) || region != "eu-west-1" && region != "us-east-1" {
        return Err(format!("{time} in {region}"));
    }
    let names: Vec<&str> = names.split(';').collect();
    let must = |name: &str| name == "host" || name == "content-type" || name.starts_with("x-amz-");
    for (name, _) in &seen.headers {
        let name = name.to_ascii_lowercase();
        if must(&name) && !names.contains(&name.as_str()) {
            return Err(format!("{name} is not signed"));
        }
    }
    let (path, query) = seen.target.split_once('?').unwrap_or((&seen.target, ""));
    let mut canonical = vec![seen.method.clone(), path.to_string(), query.to_string()];
    for name in &names {
        canonical.push(format!("{name}:{}", header(name)?.trim()));
    }
    canonical.extend([
        String::new(),
        names.join(";"),
        hex::encode(digest::digest(&digest::SHA256, body.as_bytes())),
    ]);
    let canonical = digest::digest(&digest::SHA256, canonical.join("\n").as_bytes());
    let scope = format!("{date}/{region}/{service}/aws4_request");
    let text = format!(
        "AWS4-HMAC-SHA256\n{time}\n{scope}\n{}",
        hex::encode(canonical)
    );
    let mut key = format!("AWS4{secret}").into_bytes();
    for part in scope.split('/').chain([text.as_str()]) {
        let mac = hmac::Key::new(hmac::HMAC_SHA256, &key);
        key = hmac::sign(&mac, part.as_bytes()).as_ref().to_vec();
    }
    if hex::encode(key) != signature {
        return Err("The request signature we calculated does not match".into());
    }
    Ok((access, service.to_string()))
}
