//! From blocks to the values of each target: matrix, `inherits`, groups, `--set`.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use super::budget::{Budget, EACH};
use super::context::Context;
use super::display::as_text;
use super::fields::KEYS;
use super::given::{Given, Values, list, merge};
use super::overrides::Override;
use super::problem::{Problem, unknown};
use super::syntax::{Attribute, Block};
use super::value::Value;
use super::variables::{self, evaluated};
use imgmake_core::manifest::suggest;

/// More targets than this from one declaration are a mistake.
const MOST_MEMBERS: usize = 256;

pub(super) struct File {
    /// In the order of the file; members of a matrix stand for their declaration.
    targets: Vec<(String, Values)>,
    /// Groups, and a group for each matrix.
    groups: BTreeMap<String, Vec<String>>,
    budget: Budget,
}

/// An attribute that refers to other targets.
struct Later<'a> {
    target: String,
    attribute: &'a Attribute,
    context: Context,
}

impl File {
    /// # Errors
    /// An unknown key, an expression that cannot be evaluated, a name that is taken.
    pub(super) fn new(
        blocks: &[Block],
        environment: &BTreeMap<String, String>,
        budget: &Budget,
    ) -> Result<File, Problem> {
        let context = variables::context(blocks, environment, budget)?;
        let mut file = File {
            targets: Vec::new(),
            groups: BTreeMap::new(),
            budget: budget.clone(),
        };
        let mut later = Vec::new();
        for block in blocks {
            match block.kind.as_str() {
                "group" => file.group(block, &context)?,
                "target" => file.target(block, &context, &mut later)?,
                _ => {}
            }
        }
        file.refer(later)?;
        Ok(file)
    }

    /// Evaluates what refers to other targets, when those are evaluated.
    fn refer(&mut self, mut later: Vec<Later>) -> Result<(), Problem> {
        while !later.is_empty() {
            let (before, targets) = (later.len(), Rc::new(self.as_value()?));
            let mut waiting = Vec::new();
            let mut cause = None;
            for mut one in later {
                one.context.declare("target", targets.clone());
                match evaluated(one.attribute, &one.context) {
                    Ok(value) => self.give(&one.target, one.attribute, value)?,
                    Err(problem) if self.budget.is_exhausted() => return Err(problem),
                    Err(problem) => {
                        cause = cause.or(Some(problem));
                        waiting.push(one);
                    }
                }
            }
            if let (Some(problem), true) = (cause, waiting.len() == before) {
                return Err(problem);
            }
            later = waiting;
        }
        Ok(())
    }

    fn as_value(&self) -> Result<Value, Problem> {
        for (name, values) in &self.targets {
            self.budget.spend(weight(values) + name.len())?;
        }
        let one = |(name, values): &(String, Values)| {
            let pairs = values
                .iter()
                .map(|(key, given)| (key.clone(), given.value.clone()));
            (name.clone(), Value::Object(pairs.collect()))
        };
        Ok(Value::Object(self.targets.iter().map(one).collect()))
    }

    fn group(&mut self, block: &Block, context: &Context) -> Result<(), Problem> {
        let mut members = Vec::new();
        for attribute in &block.attributes {
            match attribute.key.as_str() {
                "targets" => {
                    members = list(
                        &attribute.key,
                        &evaluated(attribute, context)?,
                        attribute.line,
                    )?
                }
                "description" => {}
                other => return Err(unknown(attribute.line, other, &["targets", "description"])),
            }
        }
        // As bake: a later group of this name takes its place.
        self.groups.insert(block.name.clone(), members);
        Ok(())
    }

    fn target<'a>(
        &mut self,
        block: &'a Block,
        context: &Context,
        later: &mut Vec<Later<'a>>,
    ) -> Result<(), Problem> {
        if let Some(inner) = block.blocks.first() {
            return Err(unknown(inner.line, &inner.kind, &[]));
        }
        for attribute in &block.attributes {
            if !KEYS.contains(&attribute.key.as_str()) {
                return Err(unknown(attribute.line, &attribute.key, &KEYS));
            }
        }
        let find = |key: &str| block.attributes.iter().find(|one| one.key == key);
        let Some(matrix) = find("matrix") else {
            if let Some(name) = find("name") {
                let message = format!("target `{}` has a `name` and no `matrix`", block.name);
                return Err(Problem::at(name.line, message)
                    .with_help("`name` is for the members of a matrix"));
            }
            return self.member(&block.name, block, context, later);
        };
        let axes = evaluated(matrix, context)?;
        let combinations = combinations(&axes, matrix.line, &self.budget)?;
        let name = find("name");
        if name.is_none() && combinations.len() > 1 {
            let message = format!(
                "target `{}` has a matrix and no `name` for its members",
                block.name
            );
            return Err(Problem::at(matrix.line, message));
        }
        let mut members: Vec<String> = Vec::new();
        for combination in combinations {
            let mut context = context.clone();
            for (axis, value) in combination {
                context.declare(&axis, value);
            }
            let name = match name {
                Some(name) => as_text(&evaluated(name, &context)?)
                    .map_err(|why| Problem::at(name.line, why))?,
                None => block.name.clone(),
            };
            if members.contains(&name) {
                let message = format!("duplicate name `{name}` in the matrix of `{}`", block.name);
                return Err(Problem::at(matrix.line, message)
                    .with_help("use the values of the matrix in `name`"));
            }
            self.member(&name, block, &context, later)?;
            members.push(name);
        }
        // A member that has the block's own name needs no group.
        if members != [block.name.clone()] {
            self.groups.insert(block.name.clone(), members);
        }
        Ok(())
    }

    fn member<'a>(
        &mut self,
        name: &str,
        block: &'a Block,
        context: &Context,
        later: &mut Vec<Later<'a>>,
    ) -> Result<(), Problem> {
        let legal = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if name.is_empty() || !name.chars().all(legal) {
            let message =
                format!("invalid target name {name:?}: expected letters, digits, `-` and `_`");
            return Err(Problem::at(block.line, message));
        }
        self.budget.spend(self.targets.len())?;
        if !self.targets.iter().any(|(other, _)| other == name) {
            self.targets.push((name.to_string(), Values::new()));
        }
        for attribute in &block.attributes {
            if ["matrix", "name"].contains(&attribute.key.as_str()) {
                continue;
            }
            if attribute.value.reads("target") && context.variable("target").is_err() {
                later.push(Later {
                    target: name.to_string(),
                    attribute,
                    context: context.clone(),
                });
                continue;
            }
            let value = evaluated(attribute, context)?;
            self.give(name, attribute, value)?;
        }
        Ok(())
    }

    /// A later block of a target adds to the earlier.
    fn give(&mut self, name: &str, attribute: &Attribute, value: Value) -> Result<(), Problem> {
        self.budget.spend(self.targets.len())?;
        let line = attribute.line;
        let given = [(attribute.key.clone(), Given { value, line })];
        if let Some((_, values)) = self.targets.iter_mut().find(|(other, _)| other == name) {
            merge(values, given.into());
        }
        Ok(())
    }

    /// Values of the wanted targets, and of those that their contexts name.
    ///
    /// # Errors
    /// A name that is neither a group nor a target, or an override that matches nothing.
    pub(super) fn resolve(
        &self,
        wanted: &[String],
        overrides: &[String],
        environment: &BTreeMap<String, String>,
    ) -> Result<Vec<(String, Values)>, Problem> {
        let default = ["default".to_string()];
        let wanted = if wanted.is_empty() {
            &default[..]
        } else {
            wanted
        };
        let mut names: Vec<String> = Vec::new();
        for name in self.named(wanted)? {
            self.expand(&name, &mut Vec::new(), &mut names)?;
        }
        let overrides = self.overrides(overrides, environment)?;
        let mut resolved: Vec<(String, Values)> = Vec::new();
        let mut at = 0;
        while at < names.len() {
            let name = names[at].clone();
            let mut values = self.inherited(&name, &mut Vec::new())?;
            for one in overrides.iter().filter(|one| matches(&one.pattern, &name)) {
                one.apply(&mut values)?;
            }
            for needed in needed_by(&values) {
                self.budget.spend(EACH + names.len())?;
                if !names.contains(&needed) {
                    self.values_of(&needed)?;
                    names.push(needed);
                }
            }
            resolved.push((name, values));
            at += 1;
        }
        Ok(resolved)
    }

    /// The names that are wanted, with those that a pattern such as `tool-*` means.
    fn named(&self, wanted: &[String]) -> Result<Vec<String>, Problem> {
        let mut names = Vec::new();
        for pattern in wanted {
            if !pattern.contains('*') {
                names.push(pattern.clone());
                continue;
            }
            let targets = self.targets.iter().map(|(name, _)| name);
            let all = targets.chain(self.groups.keys());
            let found: Vec<String> = all.filter(|name| matches(pattern, name)).cloned().collect();
            if found.is_empty() {
                let message = format!("no target or group is called like `{pattern}`");
                return Err(Problem::at(None, message));
            }
            names.extend(found);
        }
        Ok(names)
    }

    fn parents(&self) -> Vec<String> {
        let inherits = self
            .targets
            .iter()
            .filter_map(|(_, values)| values.get("inherits"));
        inherits
            .flat_map(|given| list("inherits", &given.value, given.line).unwrap_or_default())
            .collect()
    }

    /// Targets that others inherit from, that no group has and that are not named as such: bake builds them
    /// when they are asked for.
    pub(super) fn mere_parents(&self) -> Vec<String> {
        let parents = self.parents();
        let mut grouped = Vec::new();
        for name in self.groups.keys() {
            // One that is wrong is told of when it is read.
            drop(self.expand(name, &mut Vec::new(), &mut grouped));
        }
        let targets = self.targets.iter().map(|(name, _)| name);
        let parents = targets.filter(|name| parents.contains(name) && !grouped.contains(name));
        parents
            .filter(|name| !name.starts_with('_'))
            .cloned()
            .collect()
    }

    pub(super) fn everything(&self) -> Vec<String> {
        let parents = self.parents();
        let targets = self.targets.iter().map(|(name, _)| name);
        let own = targets.filter(|name| !name.starts_with('_') && !parents.contains(name));
        let groups = self.groups.keys();
        groups.chain(own).cloned().collect()
    }

    /// The wanted groups and the targets in each.
    ///
    /// # Errors
    /// Groups that hold each other, or what is not there.
    pub(super) fn groups(&self, wanted: &[String]) -> Result<Vec<(String, Vec<String>)>, Problem> {
        let wanted = self.named(wanted)?.into_iter();
        // Named twice, as a group and as the target of its name, it is one.
        let mut seen = BTreeSet::new();
        let wanted = wanted.filter(|name| self.groups.contains_key(name));
        let wanted = wanted.filter(|name| seen.insert(name.clone()));
        let members = |name: String| {
            let mut members = Vec::new();
            self.expand(&name, &mut Vec::new(), &mut members)?;
            Ok((name, members))
        };
        wanted.map(members).collect()
    }

    fn overrides(
        &self,
        texts: &[String],
        environment: &BTreeMap<String, String>,
    ) -> Result<Vec<Override>, Problem> {
        let mut all: Vec<Override> = Vec::new();
        for text in texts {
            let Some(one) = Override::parse(text, environment)? else {
                continue;
            };
            if !self
                .targets
                .iter()
                .any(|(name, _)| matches(&one.pattern, name))
            {
                return Err(Problem::at(
                    None,
                    format!("--set {text}: no target matches"),
                ));
            }
            // Several for one list are one list.
            let same = |other: &&mut Override| {
                other.is_list() && (&other.pattern, &other.key) == (&one.pattern, &one.key)
            };
            match all.iter_mut().find(same) {
                Some(list) => list.add(one),
                None => all.push(one),
            }
        }
        Ok(all)
    }

    fn expand(
        &self,
        name: &str,
        path: &mut Vec<String>,
        names: &mut Vec<String>,
    ) -> Result<(), Problem> {
        self.budget
            .spend(EACH + path.len() + names.len() + self.targets.len())?;
        // Within a group of its name it is the target.
        let inside = path.iter().any(|one| one == name);
        let is_target = self.targets.iter().any(|(other, _)| other == name);
        if inside && !is_target {
            let circle = imgmake_guard::printable::listed(
                path.iter().map(String::as_str).chain([name]),
                " → ",
            );
            return Err(Problem::at(
                None,
                format!("groups contain each other: {circle}"),
            ));
        }
        let Some(members) = self.groups.get(name).filter(|_| !inside) else {
            self.values_of(name)?;
            if !names.iter().any(|one| one == name) {
                names.push(name.to_string());
            }
            return Ok(());
        };
        path.push(name.to_string());
        for member in members {
            self.expand(member, path, names)?;
        }
        path.pop();
        Ok(())
    }

    fn values_of(&self, name: &str) -> Result<&Values, Problem> {
        self.budget.spend(EACH + self.targets.len())?;
        let found = self.targets.iter().find(|(other, _)| other == name);
        found.map(|(_, values)| values).ok_or_else(|| {
            let all = self.targets.iter().map(|(name, _)| name.as_str());
            let names = all.chain(self.groups.keys().map(String::as_str));
            let help = suggest::help(name, names).unwrap_or_default();
            Problem::at(None, format!("target or group `{name}` not found")).with_help(help)
        })
    }

    fn inherited(&self, name: &str, path: &mut Vec<String>) -> Result<Values, Problem> {
        self.budget.spend(EACH + path.len())?;
        if path.iter().any(|one| one == name) {
            let circle = imgmake_guard::printable::listed(
                path.iter().map(String::as_str).chain([name]),
                " → ",
            );
            return Err(Problem::at(
                None,
                format!("targets inherit from each other: {circle}"),
            ));
        }
        let own = self.values_of(name)?;
        self.budget.spend(weight(own))?;
        let own = own.clone();
        path.push(name.to_string());
        let mut values = Values::new();
        if let Some(parents) = own.get("inherits") {
            for parent in list("inherits", &parents.value, parents.line)? {
                let inherited = self.inherited(&parent, path)?;
                self.budget.spend(weight(&inherited))?;
                merge(&mut values, inherited);
            }
        }
        path.pop();
        merge(&mut values, own);
        values.remove("inherits");
        Ok(values)
    }
}

fn weight(values: &Values) -> usize {
    let values = values.values();
    values.map(|given| 2 * EACH + given.value.weight()).sum()
}

/// `*` is any text.
fn matches(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((start, rest)) => name.strip_prefix(start).is_some_and(|name| {
            let ends = name.char_indices().map(|(at, _)| at).chain([name.len()]);
            ends.into_iter().any(|at| matches(rest, &name[at..]))
        }),
    }
}

/// Targets whose images are contexts of this one.
pub(super) fn needed_by(values: &Values) -> Vec<String> {
    let Some(Value::Object(contexts)) = values.get("contexts").map(|given| &given.value) else {
        return Vec::new();
    };
    let names = contexts
        .values()
        .filter_map(|value| value.as_str()?.strip_prefix("target:"));
    names.map(String::from).collect()
}

/// Each axis of a matrix and its value.
type Member = Vec<(String, Rc<Value>)>;

fn combinations(
    axes: &Value,
    line: Option<usize>,
    budget: &Budget,
) -> Result<Vec<Member>, Problem> {
    let Value::Object(axes) = axes else {
        return Err(Problem::at(line, "`matrix` is an object of lists"));
    };
    if axes.is_empty() {
        return Ok(Vec::new());
    }
    let mut all: Vec<Member> = vec![Vec::new()];
    for (axis, values) in axes {
        let values: Vec<Rc<Value>> = match values {
            Value::Array(values) => values.iter().cloned().map(Rc::new).collect(),
            Value::Object(values) => values.values().cloned().map(Rc::new).collect(),
            _ => {
                let message = format!("invalid list `{axis}` of the matrix");
                return Err(Problem::at(line, message));
            }
        };
        let members = all.len().saturating_mul(values.len());
        if members > MOST_MEMBERS {
            return Err(Problem::at(
                line,
                format!("the matrix has more than {MOST_MEMBERS} members"),
            ));
        }
        let names: usize = axes.keys().map(|name| EACH + name.len()).sum();
        budget.spend(members * names)?;
        let longer = |one: &Member| {
            let with = |value: &Rc<Value>| [&one[..], &[(axis.clone(), value.clone())]].concat();
            values.iter().map(with).collect::<Vec<_>>()
        };
        all = all.iter().flat_map(longer).collect();
    }
    Ok(all)
}
