//! Credentials of registries as secrets: nodes name them, and the manifest holds none.

use std::collections::BTreeMap;

use crate::hidden::Hidden;
use crate::nodes::plain;
use imgmake_core::manifest::{
    Absence, AuthNode, PasswordFrom, RegistryNode, SecretFrom, SecretNode, Spanned,
};

/// Begins the names of secrets that are the value of a variable.
const OF_VARIABLE: &str = "credential ";
/// Options of clouds that are credentials.
const OPTIONS: [&str; 6] = [
    "access-key",
    "client-secret",
    "federated-token",
    "secret",
    "secret-key",
    "web-identity-token",
];

/// A credential that is the whole value of a variable.
pub(crate) fn of_variable(name: &str) -> PasswordFrom {
    PasswordFrom::Secret(plain(format!("{OF_VARIABLE}{name}")))
}

/// The secret of a variable that is a credential, among the secrets of a manifest.
pub(crate) fn declared(variable: &str, secrets: &mut Vec<SecretNode>) -> Spanned<String> {
    let name = plain(format!("{OF_VARIABLE}{variable}"));
    if secrets.iter().all(|secret| secret.name != name) {
        secrets.push(SecretNode {
            name: name.clone(),
            source: SecretFrom::Env(variable.to_string()),
            absence: Absence::Fails,
        });
    }
    name
}

/// The secrets that registry nodes name, and what their variables hold beside the environment.
#[derive(Default)]
pub(crate) struct Credentials {
    pub secrets: Vec<SecretNode>,
    pub variables: BTreeMap<String, Hidden>,
}

impl Credentials {
    /// Declares what a node's login names. A credential that the node holds itself becomes a
    /// variable.
    pub(crate) fn declare(&mut self, node: &mut RegistryNode) {
        let host = &node.prefix.value;
        match &mut node.auth {
            AuthNode::DockerConfig | AuthNode::Anonymous => {}
            AuthNode::Basic { password, .. } => self.credential(host, "password", password),
            AuthNode::Bearer { token } => self.credential(host, "token", token),
            AuthNode::AwsEcr(options) | AuthNode::Gcp(options) | AuthNode::Azure(options) => {
                self.options(host, options);
            }
        }
    }

    /// The same for a cloud's options alone.
    pub(crate) fn options(&mut self, host: &str, options: &mut BTreeMap<String, PasswordFrom>) {
        for (name, value) in options {
            if OPTIONS.contains(&name.as_str()) {
                self.credential(host, name, value);
            }
        }
    }

    fn credential(&mut self, host: &str, what: &str, from: &mut PasswordFrom) {
        if let PasswordFrom::Literal(text) = from {
            let variable = format!("{what} of {host}");
            let text = Hidden(std::mem::take(text));
            self.variables.insert(variable.clone(), text);
            *from = of_variable(&variable);
        }
        let PasswordFrom::Secret(name) = from else {
            return;
        };
        let variable = name.value.strip_prefix(OF_VARIABLE);
        if self.secrets.iter().all(|secret| secret.name != *name) {
            self.secrets.push(SecretNode {
                name: name.clone(),
                source: SecretFrom::Env(variable.unwrap_or(&name.value).to_string()),
                absence: Absence::Fails,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nodes::registry;

    #[test]
    fn a_node_names_its_credential_and_holds_none() {
        let basic = |password| AuthNode::Basic {
            user: "ann".into(),
            password,
        };
        let mut credentials = Credentials::default();
        let mut nodes = [
            registry("a.io", basic(of_variable("PLUGIN_PASSWORD"))),
            registry("b.io", basic(of_variable("PLUGIN_PASSWORD"))),
            registry("c.io", basic(PasswordFrom::Literal("hunter2".into()))),
        ];
        for node in &mut nodes {
            credentials.declare(node);
            let AuthNode::Basic { password, .. } = &node.auth else {
                panic!()
            };
            assert!(matches!(password, PasswordFrom::Secret(_)));
        }
        let sources = credentials.secrets.iter().map(|one| one.source.clone());
        let env = |name: &str| SecretFrom::Env(name.to_string());
        assert_eq!(
            sources.collect::<Vec<_>>(),
            [env("PLUGIN_PASSWORD"), env("password of c.io")]
        );
        assert_eq!(credentials.variables["password of c.io"].0, "hunter2");
    }

    #[test]
    fn what_is_no_credential_stays_in_the_options() {
        let literal = |text: &str| PasswordFrom::Literal(text.into());
        let mut options = BTreeMap::from([
            ("client-secret".to_string(), literal("hunter2")),
            ("tenant".to_string(), literal("t")),
        ]);
        Credentials::default().options("a.azurecr.io", &mut options);
        assert_eq!(options["tenant"], literal("t"));
        assert!(matches!(options["client-secret"], PasswordFrom::Secret(_)));
    }
}
