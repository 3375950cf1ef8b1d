//! AWS profiles: `~/.aws/config` and `~/.aws/credentials`, and the ways in which a
//! profile says where its keys come from: a role, keys, a program.
//!
//! Signing in with a browser (SSO) or a one-time code is not supported; the error says so.

use std::collections::BTreeMap;

use serde_json::Value;

use super::super::RegistryError;
use super::super::helper::{Failed, talk};
use super::aws::Aws;
use super::exchange::text;
use super::keys::{Found, found};
use super::settings::{filled, read_file};
use imgmake_guard::program::{Kind, Program};

type Profile = BTreeMap<String, String>;

impl Aws<'_> {
    /// `None` when there is no such profile, or nothing of a login in it.
    pub(super) fn profile(&self, name: &str) -> Result<Option<Found>, RegistryError> {
        self.profile_below(name, &mut Vec::new())
    }

    /// `above` are the profiles that name this one as their source.
    fn profile_below(
        &self,
        name: &str,
        above: &mut Vec<String>,
    ) -> Result<Option<Found>, RegistryError> {
        let Some(profile) = self.read_profile(name) else {
            return Ok(None);
        };
        let get = |key: &str| filled(&profile, key);
        let source = format!("the AWS profile `{name}`");
        if let Some(role) = get("role_arn") {
            return self.role_of(name, &profile, role, above).map(Some);
        }
        if let Some(found) = plain_keys(&profile, &source) {
            return Ok(Some(found));
        }
        if let Some(command) = get("credential_process") {
            let origin = format!("the program of {source}");
            return self.by_program(command, &origin).map(Some);
        }
        if get("sso_session").or(get("sso_start_url")).is_some() {
            return Err(RegistryError::configuration(format!(
                "AWS: the profile `{name}` signs in through a browser (SSO), which is not possible in a build"
            ))
            .help(format!(
                "sign in before and export the keys: `aws sso login --profile {name}`, then `eval \"$(aws configure export-credentials --profile {name} --format env)\"`"
            )));
        }
        Ok(None)
    }

    /// The keys of a profile with `role_arn`.
    fn role_of(
        &self,
        name: &str,
        profile: &Profile,
        role: &str,
        above: &mut Vec<String>,
    ) -> Result<Found, RegistryError> {
        let get = |key: &str| filled(profile, key);
        let source = format!("the AWS profile `{name}`");
        let refused = |why: String| Err(RegistryError::configuration(format!("AWS: {why}")));
        let session = get("role_session_name");
        if let Some(file) = get("web_identity_token_file") {
            let token = read_file(file, "the web identity token")?;
            return self.web_identity(token.trim(), role, session, &source);
        }
        if get("mfa_serial").is_some() {
            return refused(format!(
                "the role of profile `{name}` needs a one-time code (`mfa_serial`), which cannot be typed during a build"
            ));
        }
        let base = match (get("source_profile"), get("credential_source")) {
            (Some(from), _) if from != name => {
                if above.iter().any(|other| other == from) {
                    above.push(name.to_string());
                    return refused(format!(
                        "profiles name each other as source: {} -> {from}",
                        above.join(" -> ")
                    ));
                }
                above.push(name.to_string());
                self.profile_below(from, above)?
            }
            (None, Some("Environment")) => self.environment_keys(),
            (None, Some("EcsContainer")) => self.container()?,
            (None, Some("Ec2InstanceMetadata")) => Some(self.machine()?),
            (None, Some(other)) => {
                return refused(format!(
                    "`credential_source` of profile `{name}` is `{other}`; Environment, EcsContainer and Ec2InstanceMetadata are known"
                ));
            }
            _ => plain_keys(profile, &source),
        };
        let Some(base) = base else {
            return refused(format!(
                "the role of profile `{name}` has no keys to assume it with"
            ));
        };
        self.assume(&base, role, session, get("external_id"))
    }

    /// Runs `credential_process` and reads what it prints. Neither its command line,
    /// which may hold a secret, nor what it printed is ever printed.
    fn by_program(&self, command: &str, origin: &str) -> Result<Found, RegistryError> {
        let refused = |why: &str| RegistryError::configuration(format!("AWS: {origin}: {why}"));
        let shell = Program::shell(Kind::CloudCredentials, command, self.environment)
            .map_err(|error| Failed::Start(error.to_string()));
        let output = shell
            .and_then(|shell| talk(shell, b"", self.transport.cancel()))
            .map_err(|failed| refused(&failed.reason()))?;
        let answer: Value = serde_json::from_slice(&output)
            .map_err(|_| refused("it printed something that is not JSON"))?;
        if answer.get("Version").and_then(Value::as_u64) != Some(1) {
            return Err(refused("its answer is not of version 1"));
        }
        let session = answer.get("SessionToken").and_then(Value::as_str);
        let field = |name| text(&answer, name).map_err(|_| refused(&format!("no `{name}` in it")));
        Ok(found(
            field("AccessKeyId")?,
            field("SecretAccessKey")?,
            session.filter(|token| !token.is_empty()),
            origin,
        ))
    }

    /// The profile in `~/.aws/config`, then `~/.aws/credentials`, which wins.
    fn read_profile(&self, name: &str) -> Option<Profile> {
        let home = filled(self.environment, "HOME").unwrap_or("/");
        let file = |variable: &str, default: &str| {
            filled(self.environment, variable)
                .map_or_else(|| format!("{home}/.aws/{default}"), str::to_string)
        };
        let section = match name {
            "default" => name.to_string(),
            other => format!("profile {other}"),
        };
        let places = [
            (file("AWS_CONFIG_FILE", "config"), section),
            (
                file("AWS_SHARED_CREDENTIALS_FILE", "credentials"),
                name.to_string(),
            ),
        ];
        let mut profile = Profile::new();
        let mut seen = false;
        for (path, section) in places {
            let Ok(text) = std::fs::read_to_string(&path) else {
                continue;
            };
            for (key, value) in ini_section(&text, &section) {
                seen = true;
                profile.insert(key, value);
            }
        }
        seen.then_some(profile)
    }
}

fn plain_keys(profile: &Profile, source: &str) -> Option<Found> {
    Some(found(
        filled(profile, "aws_access_key_id")?,
        filled(profile, "aws_secret_access_key")?,
        filled(profile, "aws_session_token"),
        source,
    ))
}

/// The settings of one `[section]`; nested ones (indented) are not ours.
fn ini_section(text: &str, wanted: &str) -> Vec<(String, String)> {
    let mut inside = false;
    let mut found = Vec::new();
    for line in text.lines() {
        let bare = line.trim();
        if let Some(name) = bare.strip_prefix('[').and_then(|l| l.split(']').next()) {
            inside = name.split_whitespace().eq(wanted.split_whitespace());
        } else if inside
            && !line.starts_with([' ', '\t', '#', ';'])
            && let Some((key, value)) = bare.split_once('=')
        {
            found.push((key.trim().to_ascii_lowercase(), value.trim().to_string()));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn profiles_are_read_from_their_section_alone() {
        let text = "[default]\naws_access_key_id = A\n; comment\n[profile  ci]\nrole_arn=R\ns3 =\n  nested = x\n[other]\nrole_arn=S\n";
        assert_eq!(
            ini_section(text, "default"),
            [("aws_access_key_id".to_string(), "A".to_string())]
        );
        assert_eq!(
            ini_section(text, "profile ci"),
            [
                ("role_arn".to_string(), "R".to_string()),
                ("s3".to_string(), String::new())
            ]
        );
    }
}
