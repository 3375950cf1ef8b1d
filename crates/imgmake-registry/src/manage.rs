//! What people ask of a registry besides images: its tags, a deletion, whether a
//! password is right.

use std::collections::BTreeMap;
use std::sync::Arc;

use ureq::http::Method;

use super::cloud::Ecr;
use super::endpoint::{Declared, Endpoint, canonical, settings_for};
use super::http::Call;
use super::session::{Request, Retry, Session, pull_scope};
use super::{Auth, Client, HostSettings, RegistryError, Secret, remember};
use imgmake_oci::image::Reference;

/// A page of tags is small; a registry that sends more is not one.
const PAGE_LIMIT: u64 = 16 << 20;
const PAGES: usize = 10_000;

#[derive(serde::Deserialize)]
struct Page {
    #[serde(default)]
    tags: Vec<String>,
}

impl Client {
    /// The tags of a repository, sorted.
    ///
    /// # Errors
    /// The repository is missing or forbidden.
    pub fn tags(&self, of: &Reference) -> Result<Vec<String>, RegistryError> {
        let session = self.session(of);
        let scopes = [pull_scope(&of.repository)];
        let located = |e: RegistryError| e.during(&of.registry, &of.repository, "list the tags");
        let mut url = session.url(&format!("v2/{}/tags/list", of.repository))?;
        let mut tags = Vec::new();
        for _ in 0..PAGES {
            let request = Request {
                operation: "list the tags",
                repository: &of.repository,
                scopes: &scopes,
                call: Call::new(Method::GET, url.clone()).header("Accept", "application/json"),
                retry: Retry::Whole,
                cancel: session.cancel(),
            };
            let (bytes, next) = session.send_and_read(&request, |answer| {
                let next = answer.header("Link").and_then(next_page);
                let next = next.map(str::to_string);
                Ok((answer.bytes(PAGE_LIMIT)?, next))
            })?;
            let page: Page = imgmake_oci::image::from_json(&bytes)
                .map_err(|e| located(RegistryError::invalid(format!("its list of tags: {e}"))))?;
            let ended = page.tags.is_empty();
            tags.extend(page.tags);
            match next {
                Some(next) if !ended => url = session.locate(&url, &next).map_err(located)?,
                _ => break,
            }
        }
        tags.sort();
        tags.dedup();
        Ok(tags)
    }

    /// Deletes a manifest by digest, or a tag where the registry can.
    ///
    /// # Errors
    /// It is missing, or the registry does not delete.
    pub fn delete_manifest(&self, reference: &Reference) -> Result<(), RegistryError> {
        let session = self.session(reference);
        let repository = &reference.repository;
        let url = session.url(&format!("v2/{repository}/manifests/{}", reference.target()))?;
        let operation = format!("delete `{}`", reference.target());
        session
            .send(&Request {
                operation: &operation,
                repository,
                scopes: &[format!("repository:{repository}:delete,pull")],
                call: Call::new(Method::DELETE, url),
                retry: Retry::Whole,
                cancel: session.cancel(),
            })
            .map(super::http::Answer::drain)
            .map_err(|e| match e.status() {
                Some(405) => {
                    e.help("this registry does not allow deletes; its operator can enable them")
                }
                _ => e,
            })
    }

    /// The registry of whoever the options of `aws-ecr` are: its host.
    ///
    /// # Errors
    /// Keys that are missing or refused, as for a pull.
    pub fn ecr_registry(
        &self,
        options: &BTreeMap<String, Secret>,
    ) -> Result<String, RegistryError> {
        let ecr = Ecr::new(options, &self.inner.options.environment)?;
        let endpoint = Endpoint::new(
            "ecr",
            HostSettings::default(),
            Declared::default(),
            &self.inner.options,
        );
        let session = Session::new(endpoint, Arc::clone(&self.inner.options));
        ecr.own_registry(&session)
    }

    /// Tries a user and a password and remembers them when they are right.
    ///
    /// # Errors
    /// The registry refuses them, or they cannot be written.
    pub fn login(
        &self,
        registry: &str,
        user: &str,
        password: &Secret,
    ) -> Result<LoggedIn, RegistryError> {
        let registry = canonical(registry);
        let host = registry.split('/').next().unwrap_or(&registry);
        let options = &self.inner.options;
        let settings = HostSettings {
            auth: Auth::Basic {
                user: user.to_string(),
                password: password.clone(),
                source: "the login".to_string(),
            },
            ..settings_for(&options.hosts, &registry, "")
        };
        let endpoint = Endpoint::new(host, settings, Declared::default(), options);
        let session = Session::new(endpoint, Arc::clone(options));
        session
            .send(&Request {
                operation: "log in",
                repository: "",
                scopes: &[],
                call: Call::new(Method::GET, session.url("v2/")?),
                retry: Retry::Whole,
                cancel: session.cancel(),
            })
            .map(super::http::Answer::drain)?;
        let checked = match session.was_challenged() {
            true => Checked::Yes,
            false => Checked::NotAskedFor,
        };
        let place = remember(options, &registry, user, password)?;
        Ok(LoggedIn { place, checked })
    }
}

/// What a login did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoggedIn {
    /// The file or the helper program that remembers it.
    pub place: String,
    pub checked: Checked,
}

/// Whether the registry has seen the password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checked {
    Yes,
    /// It lets everybody in, or asks later.
    NotAskedFor,
}

/// `Link: </v2/x/tags/list?last=b&n=2>; rel="next"`.
pub(super) fn next_page(link: &str) -> Option<&str> {
    link.split(',').find_map(|part| {
        let (address, parameters) = part.trim().strip_prefix('<')?.split_once('>')?;
        let next = parameters
            .split(';')
            .any(|p| matches!(p.trim(), "rel=\"next\"" | "rel=next"));
        next.then_some(address)
    })
}

#[cfg(test)]
mod tests {
    use super::super::testing::{
        FaultProxy, Shelf, answer, client, job, options, random_bytes, start_registry,
    };
    use super::*;
    use crate::{ClientOptions, OperationContext};

    /// end-8a, end-8b: Tags are listed page by page, by the `Link` of each answer.
    #[test]
    fn tags_are_listed_page_by_page() {
        let between = FaultProxy::new(None, |seen| {
            if seen.target.contains("last=b") {
                return answer(200, &[], r#"{"name":"a","tags":["c"]}"#);
            }
            let link = ("Link", r#"</v2/a/tags/list?last=b&n=2>; rel="next""#);
            answer(200, &[link], r#"{"name":"a","tags":["b","a"]}"#)
        });
        let of = format!("{}/a", between.host()).parse().unwrap();
        assert_eq!(client().tags(&of).unwrap(), ["a", "b", "c"]);
        let none = FaultProxy::new(None, |_| answer(200, &[], r#"{"name":"a","tags":null}"#));
        let of = format!("{}/a", none.host()).parse().unwrap();
        assert!(client().tags(&of).unwrap().is_empty());
    }

    /// end-9: A manifest is deleted by its digest; what is missing is reported as missing.
    #[test]
    fn what_is_deleted_is_gone() {
        let registry = start_registry();
        let shelf = Shelf::new();
        let image = shelf.image("linux/amd64", &[random_bytes(40, 10)]);
        let name = format!("{}/a:1", registry.host());
        client()
            .push(
                &job(&name, &image),
                &shelf.store,
                &OperationContext::background(),
            )
            .unwrap();
        let tag: Reference = name.parse().unwrap();
        assert_eq!(client().tags(&tag).unwrap(), ["1"]);
        client()
            .delete_manifest(&tag.with_digest(&image.digest))
            .unwrap();
        assert!(client().head(&tag).unwrap().is_none());
        assert!(
            client()
                .delete_manifest(&tag.with_digest(&image.digest))
                .unwrap_err()
                .is_missing()
        );
    }

    #[test]
    fn only_a_password_that_the_registry_takes_is_remembered() {
        let between = FaultProxy::new(None, |seen| match seen.header("Authorization") {
            Some("Basic dTpw") => answer(200, &[], "{}"),
            _ => answer(401, &[("WWW-Authenticate", "Basic realm=\"r\"")], ""),
        });
        let home = tempfile::tempdir().unwrap();
        let environment = [("HOME".to_string(), home.path().display().to_string())];
        let client = Client::new(ClientOptions {
            environment: environment.into(),
            ..options()
        })
        .unwrap();
        let login = |password: &str| client.login(&between.host(), "u", &Secret(password.into()));
        assert!(login("wrong").unwrap_err().is_unauthorized());
        assert!(!home.path().join(".docker").exists());
        let done = login("p").unwrap();
        assert!(done.place.ends_with(".docker/config.json"));
        assert_eq!(done.checked, Checked::Yes);
        let open = FaultProxy::new(None, |_| answer(200, &[], "{}"));
        let done = client
            .login(&open.host(), "u", &Secret("x".into()))
            .unwrap();
        assert_eq!(done.checked, Checked::NotAskedFor);
        client
            .tags(&format!("{}/a", between.host()).parse().unwrap())
            .unwrap();
    }

    #[test]
    fn only_a_next_link_is_followed() {
        assert_eq!(next_page(r#"</a?x=1,2>; rel="prev""#), None);
        assert_eq!(
            next_page(r#"</p>; rel="prev", </n>; rel="next""#),
            Some("/n")
        );
    }
}
