//! The rules of a SARIF run: of the tool's driver and of its extensions, and which of them a
//! result is of.

use serde::Deserialize;

#[derive(Deserialize)]
pub struct Tool {
    pub driver: Component,
    #[serde(default)]
    extensions: Option<Vec<Component>>,
}

#[derive(Deserialize)]
pub struct Component {
    #[serde(default)]
    pub name: String,
    #[serde(default)]
    guid: Option<String>,
    #[serde(default)]
    rules: Option<Vec<Rule>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rule {
    pub id: String,
    #[serde(default)]
    guid: Option<String>,
    #[serde(default)]
    pub default_configuration: Configuration,
    #[serde(default)]
    pub properties: Properties,
    #[serde(default)]
    short_description: Message,
    #[serde(default)]
    full_description: Message,
}

#[derive(Deserialize, Default)]
pub struct Configuration {
    #[serde(default)]
    pub level: Option<String>,
}

#[derive(Deserialize, Default)]
pub struct Properties {
    #[serde(rename = "security-severity", default)]
    security_severity: Option<serde_json::Value>,
}

#[derive(Deserialize, Default)]
pub struct Message {
    #[serde(default)]
    pub text: String,
}

/// `rule` of a result (3.27.7).
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
pub struct RuleReference {
    #[serde(default)]
    pub id: Option<String>,
    #[serde(default)]
    index: Option<i64>,
    #[serde(default)]
    guid: Option<String>,
    #[serde(default)]
    tool_component: Option<ComponentReference>,
}

#[derive(Deserialize)]
struct ComponentReference {
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    index: Option<i64>,
    #[serde(default)]
    guid: Option<String>,
}

impl Properties {
    /// A number, or one in quotes, as code hosts want it.
    pub fn score(&self) -> Option<f64> {
        let value = self.security_severity.as_ref()?;
        let score = value.as_f64().or_else(|| value.as_str()?.parse().ok())?;
        (0.0..=10.0).contains(&score).then_some(score)
    }
}

impl Rule {
    pub fn text(&self) -> &str {
        match self.full_description.text.as_str() {
            "" => &self.short_description.text,
            text => text,
        }
    }

    /// Results may be of a part of a rule: `CA2101/1` (3.27.5).
    fn is_of(&self, id: &str) -> bool {
        let rest = id.strip_prefix(self.id.as_str());
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

impl Tool {
    /// The rule of a result. An index that leads to a rule of another id is a mistake of the
    /// tool's, and the id counts.
    pub fn rule(
        &self,
        id: Option<&str>,
        index: Option<i64>,
        reference: &RuleReference,
    ) -> Option<&Rule> {
        let component = match &reference.tool_component {
            Some(named) => self.component(named),
            None => Some(&self.driver),
        };
        let rules = component.and_then(|c| c.rules.as_deref());
        let index = reference.index.or(index);
        let index = index.and_then(|index| usize::try_from(index).ok());
        let by_index = index.and_then(|index| rules?.get(index));
        if let Some(rule) = by_index.filter(|rule| id.is_none_or(|id| rule.is_of(id))) {
            return Some(rule);
        }
        if let Some(guid) = &reference.guid {
            let found = self.all().find(|rule| rule.guid.as_ref() == Some(guid));
            if found.is_some() {
                return found;
            }
        }
        let id = id?;
        let own = rules.into_iter().flatten().chain(self.all());
        let exact = own.clone().find(|rule| rule.id == id);
        exact.or_else(|| own.clone().find(|rule| rule.is_of(id)))
    }

    fn component(&self, named: &ComponentReference) -> Option<&Component> {
        let extensions = self.extensions.as_deref().unwrap_or_default();
        let index = named.index.and_then(|index| usize::try_from(index).ok());
        if let Some(index) = index {
            return extensions.get(index);
        }
        let mut all = std::iter::once(&self.driver).chain(extensions);
        all.find(|component| match (&named.guid, &named.name) {
            (Some(guid), _) => component.guid.as_ref() == Some(guid),
            (None, Some(name)) => component.name == *name,
            (None, None) => false,
        })
    }

    fn all(&self) -> impl Iterator<Item = &Rule> + Clone {
        let components = std::iter::once(&self.driver).chain(self.extensions.iter().flatten());
        components.flat_map(|component| component.rules.iter().flatten())
    }
}
