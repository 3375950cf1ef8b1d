//! Who may do what: Basic authentication, and tokens of the registry's own `/token`.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::answers::error;
use super::options::Credentials;
use super::route::{Route, Target};
use crate::http::{Head, Response};

pub(super) struct Access {
    credentials: Credentials,
    /// Token → the scopes that it was given for.
    tokens: BTreeMap<String, Vec<String>>,
}

impl Access {
    pub(super) fn new(credentials: Credentials) -> Access {
        Access {
            credentials,
            tokens: BTreeMap::new(),
        }
    }

    /// The answer to a request that may not be made.
    pub(super) fn refused(&self, head: &Head, route: &Route) -> Option<Response> {
        let given = head.header("Authorization").unwrap_or_default();
        match &self.credentials {
            Credentials::Open => None,
            Credentials::Basic { user, password } => {
                let expected = format!("Basic {}", STANDARD.encode(format!("{user}:{password}")));
                (given != expected).then(|| unauthorized("Basic realm=\"testkit\"".to_string()))
            }
            Credentials::Token { .. } => {
                let scope = scope_of(&head.method, route);
                let token = given.strip_prefix("Bearer ").unwrap_or_default();
                let granted = self.tokens.get(token);
                let enough = granted.is_some_and(|granted| {
                    scope
                        .as_deref()
                        .is_none_or(|scope| granted.iter().any(|one| covers(one, scope)))
                });
                if enough {
                    return None;
                }
                let host = head.header("Host").unwrap_or_default();
                let mut challenge =
                    format!("Bearer realm=\"http://{host}/token\",service=\"testkit\"");
                if let Some(scope) = scope {
                    challenge.push_str(&format!(",scope=\"{scope}\""));
                }
                Some(unauthorized(challenge))
            }
        }
    }

    /// `/token`: by GET with Basic authentication, or by POST with a form.
    pub(super) fn token(&mut self, head: &Head, body: &[u8]) -> Response {
        let Credentials::Token { user, password } = &self.credentials else {
            return error(404, "NOT_FOUND", "this registry issues no tokens");
        };
        let query = head.target.split_once('?').map_or("", |(_, query)| query);
        let fields = match head.method.as_str() {
            "POST" => body,
            _ => query.as_bytes(),
        };
        let fields: Vec<(String, String)> =
            url::form_urlencoded::parse(fields).into_owned().collect();
        let field = |name: &str| {
            let found = fields.iter().find(|(key, _)| key == name);
            found.map(|(_, value)| value.as_str())
        };
        let basic = format!("Basic {}", STANDARD.encode(format!("{user}:{password}")));
        let is_right = match head.method.as_str() {
            "POST" => {
                field("refresh_token") == Some(password.as_str())
                    || (field("username"), field("password")) == (Some(user), Some(password))
            }
            _ => head.header("Authorization") == Some(&basic),
        };
        if !is_right {
            return error(401, "UNAUTHORIZED", "incorrect username or password");
        }
        let scopes = fields.iter().filter(|(name, _)| name == "scope");
        let scopes: Vec<String> = scopes
            .flat_map(|(_, scope)| scope.split(' ').map(String::from))
            .collect();
        let token = format!("testkit-{}", self.tokens.len() + 1);
        self.tokens.insert(token.clone(), scopes);
        let body = json!({ "token": token, "access_token": token, "expires_in": 300 });
        Response::new(200)
            .header("Content-Type", "application/json")
            .body(body.to_string())
    }
}

fn unauthorized(challenge: String) -> Response {
    error(401, "UNAUTHORIZED", "authentication required").header("WWW-Authenticate", challenge)
}

/// The scope that a request needs; none for what belongs to no repository.
fn scope_of(method: &str, route: &Route) -> Option<String> {
    let actions = match (method, &route.target) {
        (_, Target::Root | Target::Token | Target::Catalog | Target::Unknown) => return None,
        ("GET" | "HEAD", Target::Upload(_)) => "pull,push",
        ("GET" | "HEAD", _) => "pull",
        ("DELETE", Target::Manifest(_) | Target::Blob(_)) => "delete",
        _ => "pull,push",
    };
    Some(format!("repository:{}:{actions}", route.repository))
}

/// `repository:a/b:pull,push` covers `repository:a/b:pull`, and `*` every action.
fn covers(granted: &str, wanted: &str) -> bool {
    let (Some((of, granted)), Some((name, wanted))) =
        (granted.rsplit_once(':'), wanted.rsplit_once(':'))
    else {
        return false;
    };
    let actions: Vec<&str> = granted.split(',').collect();
    of == name
        && wanted
            .split(',')
            .all(|action| actions.contains(&action) || actions.contains(&"*"))
}
