//! A Compose file as bake reads it: each service with a `build` is a target, and all of them are
//! the group `default` (compose-spec, "Compose Build Specification"; buildx, `bake/compose.go`).
//!
//! Keys of `build` that are unknown are mistakes; what a service says of how it runs is not looked at.

use std::collections::BTreeMap;

use hcl_edit::expr::BinaryOperator;

use super::composed::Composed;
use super::expression::{Expression, Part};
use super::interpolation::{self, Variables};
use super::json::{Json, Kind, Name, Pairs, find, object};
use super::number::Number;
use super::problem::{Problem, unknown};
use super::syntax::{Attribute, Block};
use super::value::Value;

/// Keys of `build`, and what bake calls them.
const KEYS: [(&str, &str); 22] = [
    ("additional_contexts", "contexts"),
    ("args", "args"),
    ("attest", "attest"),
    ("cache_from", "cache-from"),
    ("cache_to", "cache-to"),
    ("context", "context"),
    ("dockerfile", "dockerfile"),
    ("dockerfile_inline", "dockerfile-inline"),
    ("entitlements", "entitlements"),
    ("extra_hosts", "extra-hosts"),
    ("labels", "labels"),
    ("network", "network"),
    ("no_cache", "no-cache"),
    ("platforms", "platforms"),
    ("privileged", "entitlements"),
    ("pull", "pull"),
    ("secrets", "secret"),
    ("shm_size", "shm-size"),
    ("ssh", "ssh"),
    ("tags", "tags"),
    ("target", "target"),
    ("ulimits", "ulimits"),
];

/// Keys of `x-bake`, which have bake's own names.
const BAKE_KEYS: [&str; 11] = [
    "cache-from",
    "cache-to",
    "contexts",
    "no-cache",
    "no-cache-filter",
    "output",
    "platforms",
    "pull",
    "secret",
    "ssh",
    "tags",
];

/// # Errors
/// Not YAML; no services; a `build` that bake would refuse, or that is not understood.
pub(super) fn blocks(composed: &Composed, given: Option<&Given>) -> Result<Vec<Block>, Problem> {
    let mut reader = Reader {
        secrets: &composed.secrets,
        variables: Variables::default(),
        given,
    };
    let services_said = &composed.services;
    // What a place may say of a variable depends on the others, which are read first.
    for (name, service) in services_said {
        reader.service(name, service)?;
    }
    reader.variables.complete();
    let mut blocks = Vec::new();
    for (name, service) in services_said {
        blocks.extend(reader.service(name, service)?);
    }
    if blocks.is_empty() {
        return Err(Problem::at(Some(composed.line), "no service has a `build`"));
    }
    let names = blocks
        .iter()
        .map(|block| Expression::Value(Value::from(block.name.as_str())));
    let targets = attribute("targets", None, Expression::Array(names.collect()));
    blocks.push(block("group", "default", None, vec![targets]));
    blocks.extend(reader.variables.blocks());
    Ok(blocks)
}

/// The environment, where arguments without a value have theirs.
type Given = BTreeMap<String, String>;

struct Reader<'a> {
    /// At the top of the files.
    secrets: Pairs<'a>,
    /// Variables that texts name.
    variables: Variables,
    /// Nothing is known yet: the manifest takes such arguments from the environment.
    given: Option<&'a Given>,
}

impl Reader<'_> {
    fn service(&mut self, name: &Name, service: &Json) -> Result<Option<Block>, Problem> {
        let said = object(service, &format!("the service `{}`", name.text))?;
        let Some(build) = find(said, "build").filter(|build| !matches!(build.kind, Kind::Null))
        else {
            return Ok(None);
        };
        let mut attributes = match &build.kind {
            Kind::Object(pairs) => self.build(&name.text, pairs, said)?,
            _ => vec![attribute("context", Some(build.line), self.value(build)?)],
        };
        let has_tags = attributes.iter().any(|one| one.key == "tags");
        if let (false, Some(image)) = (has_tags, find(said, "image")) {
            let tags = Expression::Array(vec![self.value(image)?]);
            attributes.push(attribute("tags", Some(image.line), tags));
        }
        // A name of a target has no dots; buildx writes them so, too.
        let target = name.text.replace('.', "_");
        Ok(Some(block("target", &target, Some(name.line), attributes)))
    }

    /// `said` is the service around it.
    fn build(
        &mut self,
        service: &str,
        pairs: Pairs,
        said: Pairs,
    ) -> Result<Vec<Attribute>, Problem> {
        let mut attributes: Vec<Attribute> = Vec::new();
        let mut bake: Option<Pairs> = None;
        for (name, value) in pairs {
            let key = name.text.as_str();
            if matches!(value.kind, Kind::Null) {
                continue;
            }
            if key == "x-bake" {
                bake = Some(object(value, "`x-bake`")?);
                continue;
            }
            if key.starts_with("x-") {
                continue;
            }
            if ["isolation", "provenance", "sbom"].contains(&key) {
                attributes.extend(self.without_effect(name, value)?);
                continue;
            }
            let Some((_, own)) = KEYS.iter().find(|(theirs, _)| *theirs == key) else {
                let names = KEYS.map(|(theirs, _)| theirs);
                return Err(unknown(Some(name.line), key, &names));
            };
            let read = match key {
                "args" => self.arguments(value, said)?,
                "labels" => self.map(key, value)?,
                "additional_contexts" => self.contexts(value)?,
                "extra_hosts" => self.hosts(value)?,
                "secrets" => self.secrets(service, value)?,
                "ssh" => self.ssh(value)?,
                "privileged" => self.privileged(value)?,
                "ulimits" if matches!(&value.kind, Kind::Object(none) if none.is_empty()) => {
                    continue;
                }
                "ulimits" => Expression::Array(vec![text("ulimits")]),
                _ => self.value(value)?,
            };
            // `entitlements` and `privileged` are one list.
            let known = attributes.iter_mut().find(|one| one.key == *own);
            match (known.map(|one| &mut one.value), read) {
                (Some(Expression::Array(list)), Expression::Array(more)) => list.extend(more),
                (_, read) => attributes.push(attribute(own, Some(name.line), read)),
            }
        }
        for (name, value) in bake.unwrap_or_default() {
            let key = name.text.as_str();
            if !BAKE_KEYS.contains(&key) {
                return Err(unknown(Some(name.line), key, &BAKE_KEYS));
            }
            let read = match (key, &value.kind) {
                ("contexts", _) => self.map(key, value)?,
                // One text is a list of one.
                ("no-cache" | "pull", _) | (_, Kind::List(_)) => self.value(value)?,
                _ => Expression::Array(vec![self.value(value)?]),
            };
            let read = attribute(key, Some(name.line), read);
            // Lists add to those of `build`, as bake has it; other keys take their place.
            match (attributes.iter_mut().find(|one| one.key == key), read.value) {
                (
                    Some(Attribute {
                        value: Expression::Array(list),
                        ..
                    }),
                    Expression::Array(more),
                ) if key != "tags" && key != "platforms" => list.extend(more),
                (Some(known), value) => known.value = value,
                (None, value) => attributes.push(attribute(key, Some(name.line), value)),
            }
        }
        Ok(attributes)
    }

    /// `provenance` and `sbom` are attestations, which bake's `attest` says that none are made of;
    /// `isolation` is a Windows container's.
    fn without_effect(&mut self, name: &Name, value: &Json) -> Result<Option<Attribute>, Problem> {
        if name.text == "isolation" {
            let message = "`isolation` is for Windows containers";
            return Err(Problem::at(Some(name.line), message).with_help("remove it"));
        }
        let is_off = matches!(value.kind, Kind::Bool(false));
        let attest = Expression::Array(vec![text(&format!("type={}", name.text))]);
        Ok((!is_off).then(|| attribute("attest", Some(name.line), attest)))
    }

    /// An entitlement, where it is true.
    fn privileged(&mut self, value: &Json) -> Result<Expression, Problem> {
        let given = || Expression::Array(vec![text("security.insecure")]);
        let none = || Expression::Array(Vec::new());
        match &value.kind {
            Kind::Bool(true) => Ok(given()),
            Kind::Bool(false) => Ok(none()),
            Kind::Text(written) if written.contains('$') => {
                let said = self.text(written, value.line)?;
                let is_true = Box::new([said, text("true")]);
                let is_true = Expression::Binary(BinaryOperator::Eq, is_true);
                Ok(Expression::Conditional(Box::new([
                    is_true,
                    given(),
                    none(),
                ])))
            }
            _ => Err(Problem::at(
                Some(value.line),
                "`privileged` is `true` or `false`",
            )),
        }
    }

    /// As [`Reader::map`]; an argument without a value has that of the service's `environment`, or that of
    /// the environment, and is not passed without one.
    fn arguments(&mut self, value: &Json, said: Pairs) -> Result<Expression, Problem> {
        let mut known = Vec::new();
        let mut open: Vec<(&str, usize)> = Vec::new();
        match &value.kind {
            Kind::Object(pairs) => {
                for (name, value) in pairs {
                    match value.kind {
                        Kind::Null => open.push((&name.text, name.line)),
                        _ => known.push((self.text(&name.text, name.line)?, self.value(value)?)),
                    }
                }
            }
            Kind::List(list) => {
                for one in list {
                    match plain(one, "args")?.split_once('=') {
                        None => open.push((plain(one, "args")?, one.line)),
                        Some((name, value)) => {
                            known.push((self.text(name, one.line)?, self.text(value, one.line)?));
                        }
                    }
                }
            }
            _ => return self.map("args", value),
        }
        for (name, line) in open {
            if name.is_empty() || name.contains('$') {
                let message = format!("`args`: a variable cannot name an argument: `{name}`");
                return Err(Problem::at(Some(line), message));
            }
            if let Some(value) = self.of_environment(name, line, said)? {
                known.push((text(name), value));
            }
        }
        Ok(Expression::Object(known))
    }

    /// The value of an argument that says none; nothing, if the environment has none either.
    fn of_environment(
        &mut self,
        name: &str,
        line: usize,
        said: Pairs,
    ) -> Result<Option<Expression>, Problem> {
        if let Some(environment) = find(said, "environment") {
            let written = match &environment.kind {
                Kind::Object(pairs) => find(pairs, name)
                    .filter(|value| !matches!(value.kind, Kind::Null))
                    .map(|value| self.value(value)),
                Kind::List(list) => list.iter().rev().find_map(|one| {
                    let (known, value) = plain(one, "environment").ok()?.split_once('=')?;
                    (known == name).then(|| self.text(value, one.line))
                }),
                _ => None,
            };
            if let Some(value) = written {
                return value.map(Some);
            }
        }
        if find(said, "env_file").is_some_and(|files| !matches!(files.kind, Kind::Null)) {
            let message = format!(
                "`args`: `{name}` has no value, and its value may come from the `env_file` of the service, which is not read"
            );
            return Err(Problem::at(Some(line), message)
                .with_help(format!("write `{name}: ${{{name}}}`, or its value")));
        }
        Ok(match self.given {
            None => Some(text(interpolation::FROM_ENVIRONMENT)),
            Some(given) => given.get(name).map(|value| text(value)),
        })
    }

    /// `{ NAME: value }` or `["NAME=value"]`.
    fn map(&mut self, what: &str, value: &Json) -> Result<Expression, Problem> {
        let mut pairs = Vec::new();
        match &value.kind {
            Kind::Object(said) => {
                for (name, value) in said {
                    if matches!(value.kind, Kind::Null) {
                        return Err(no_value(what, &name.text, name.line));
                    }
                    pairs.push((self.text(&name.text, name.line)?, self.value(value)?));
                }
            }
            Kind::List(list) => {
                for one in list {
                    let said = plain(one, what)?;
                    let Some((name, value)) = said.split_once('=') else {
                        return Err(no_value(what, said, one.line));
                    };
                    pairs.push((self.text(name, one.line)?, self.text(value, one.line)?));
                }
            }
            _ => {
                let message = format!("`{what}` is a map, or a list of `NAME=value`");
                return Err(Problem::at(Some(value.line), message));
            }
        }
        Ok(Expression::Object(pairs))
    }

    /// `service:NAME` is a target's image.
    fn contexts(&mut self, value: &Json) -> Result<Expression, Problem> {
        let Expression::Object(mut pairs) = self.map("additional_contexts", value)? else {
            unreachable!("a map is an object")
        };
        for (_, place) in &mut pairs {
            if let Expression::Value(Value::String(written)) = place
                && let Some(service) = written.strip_prefix("service:")
            {
                *place = text(&format!("target:{}", service.replace('.', "_")));
            }
        }
        Ok(Expression::Object(pairs))
    }

    /// `["name:address"]`, `["name=address"]` or a map.
    fn hosts(&mut self, value: &Json) -> Result<Expression, Problem> {
        let Kind::List(list) = &value.kind else {
            return self.map("extra_hosts", value);
        };
        let mut pairs = Vec::new();
        for one in list {
            let said = plain(one, "extra_hosts")?;
            let Some((name, address)) = said.split_once('=').or_else(|| said.split_once(':'))
            else {
                let message = format!("`extra_hosts`: invalid host and address `{said}`");
                return Err(Problem::at(Some(one.line), message).with_help("write `name=address`"));
            };
            pairs.push((self.text(name, one.line)?, self.text(address, one.line)?));
        }
        Ok(Expression::Object(pairs))
    }

    /// Ids, whose sources are at the top of the file. bake's id is the `source`; the `target` is one of a running
    /// service.
    fn secrets(&mut self, service: &str, value: &Json) -> Result<Expression, Problem> {
        let Kind::List(list) = &value.kind else {
            return Err(Problem::at(
                Some(value.line),
                "`secrets` of a build is a list",
            ));
        };
        let mut all = Vec::new();
        for one in list {
            let source = match &one.kind {
                Kind::Object(pairs) => {
                    let source = find(pairs, "source").ok_or_else(|| {
                        Problem::at(Some(one.line), "a secret of a build has a `source`")
                    })?;
                    plain(source, "source")?
                }
                _ => plain(one, "secrets")?,
            };
            let declared = find(self.secrets, source).ok_or_else(|| {
                let message = format!("service `{service}`: the secret `{source}` is not declared");
                Problem::at(Some(one.line), message).with_help(format!(
                    "declare it: `secrets: {{ {source}: {{ file: PATH }} }}`"
                ))
            })?;
            let declared = object(declared, &format!("the secret `{source}`"))?;
            let of = |key: &str| find(declared, key);
            let (key, from) = match (of("file"), of("environment")) {
                (Some(file), None) => ("src", file),
                (None, Some(name)) => ("env", name),
                _ => {
                    let message = format!("the secret `{source}` has no file and no variable");
                    return Err(Problem::at(Some(one.line), message)
                        .with_help("write `file: PATH` or `environment: NAME`"));
                }
            };
            let parts = vec![
                Part::Text(format!("id={source},{key}=")),
                Part::Expression(self.value(from)?),
            ];
            all.push(Expression::Template(parts));
        }
        Ok(Expression::Array(all))
    }

    /// A list, or a map of ids to sockets.
    fn ssh(&mut self, value: &Json) -> Result<Expression, Problem> {
        let Kind::Object(pairs) = &value.kind else {
            return self.value(value);
        };
        let mut all = Vec::new();
        for (name, socket) in pairs {
            let mut parts = vec![Part::Text(name.text.clone())];
            if !matches!(socket.kind, Kind::Null) {
                parts.push(Part::Text("=".to_string()));
                parts.push(Part::Expression(self.value(socket)?));
            }
            all.push(Expression::Template(parts));
        }
        Ok(Expression::Array(all))
    }

    fn value(&mut self, value: &Json) -> Result<Expression, Problem> {
        Ok(match &value.kind {
            Kind::Null => Expression::Value(Value::Null),
            Kind::Bool(flag) => Expression::Value(Value::Bool(*flag)),
            Kind::Number(written) => match Number::parse(written) {
                // 1.20 is a version to whoever wrote it.
                Some(number) if !written.contains('.') => Expression::Value(Value::Number(number)),
                _ => text(written),
            },
            Kind::Text(written) => self.text(written, value.line)?,
            Kind::List(list) => {
                let all = list.iter().map(|one| self.value(one));
                Expression::Array(all.collect::<Result<_, _>>()?)
            }
            Kind::Object(pairs) => {
                let mut all = Vec::new();
                for (name, value) in pairs {
                    all.push((text(&name.text), self.value(value)?));
                }
                Expression::Object(all)
            }
        })
    }

    fn text(&mut self, written: &str, line: usize) -> Result<Expression, Problem> {
        interpolation::read(written, &mut self.variables)
            .map_err(|why| Problem::at(Some(line), why))
    }
}

fn no_value(what: &str, name: &str, line: usize) -> Problem {
    let message = format!("`{what}`: `{name}` has no value");
    Problem::at(Some(line), message).with_help(format!("write `{name}: VALUE`"))
}

fn text(written: &str) -> Expression {
    Expression::Value(Value::from(written))
}

fn plain<'a>(value: &'a Json, what: &str) -> Result<&'a str, Problem> {
    match &value.kind {
        Kind::Text(text) | Kind::Number(text) => Ok(text),
        _ => Err(Problem::at(
            Some(value.line),
            format!("`{what}`: a text is expected"),
        )),
    }
}

fn attribute(key: &str, line: Option<usize>, value: Expression) -> Attribute {
    Attribute {
        key: key.to_string(),
        line,
        value,
    }
}

fn block(kind: &str, name: &str, line: Option<usize>, attributes: Vec<Attribute>) -> Block {
    Block {
        kind: kind.to_string(),
        name: name.to_string(),
        line,
        attributes,
        blocks: Vec::new(),
    }
}
