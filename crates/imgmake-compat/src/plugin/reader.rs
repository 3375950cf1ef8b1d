//! Reads the variables of one plugin by the table: aliases, types, defaults, and
//! who reads what come from there, so no name is looked up in two ways.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use super::family::EntryPoint;
use super::variables::{Effect, Kind, VARIABLES, Variable};
use super::{Refusal, value};
use crate::error::Fact;
use imgmake_core::manifest::suggest;

pub(super) struct Reader<'a> {
    entry: EntryPoint,
    environment: &'a BTreeMap<String, String>,
    /// First names of the rows that were asked for; a test compares them with the table.
    asked: RefCell<BTreeSet<&'static str>>,
    /// Names in no row of this plugin that were looked up all the same.
    undeclared: RefCell<BTreeSet<String>>,
}

/// Read before the others: what the file says is in the environment.
const READ_EARLIER: &str = "PLUGIN_ENV_FILE";

impl<'a> Reader<'a> {
    /// # Errors
    /// A variable that is set, used or not, is not of its type.
    pub(super) fn new(
        entry: EntryPoint,
        environment: &'a BTreeMap<String, String>,
    ) -> Result<Reader<'a>, Refusal> {
        let reader = Reader {
            entry,
            environment,
            asked: RefCell::default(),
            undeclared: RefCell::default(),
        };
        for row in reader.rows() {
            if let Some((name, text)) = value::lookup(environment, row.names) {
                value::check(name, text, row.kind)?;
                if row.effect == Effect::NotYet
                    && !text.is_empty()
                    && !matches!(value::boolean(name, text), Ok(false))
                {
                    return Err(Refusal::new(
                        Fact::Unsupported(name.to_string()),
                        "unset it, or keep the former image for this step",
                    ));
                }
            }
        }
        Ok(reader)
    }

    fn rows(&self) -> impl Iterator<Item = &'static Variable> {
        let EntryPoint { family, cloud } = self.entry;
        VARIABLES
            .iter()
            .filter(move |row| row.is_read_by(family, cloud))
    }

    /// The row that has this name first, else the first that has it at all.
    fn row(&self, name: &str) -> Option<&'static Variable> {
        let first = self.rows().find(|row| row.names[0] == name);
        first.or_else(|| self.rows().find(|row| row.names.contains(&name)))
    }

    /// Whether this plugin reads a variable of this name.
    pub(super) fn is_read(&self, name: &str) -> bool {
        self.row(name).is_some()
    }

    fn find(&self, name: &str) -> Option<(&'static Variable, Option<&str>)> {
        let row = self.row(name)?;
        self.asked.borrow_mut().insert(row.names[0]);
        Some((
            row,
            value::lookup(self.environment, row.names).map(|(_, text)| text),
        ))
    }

    /// The text, or the default; empty for a variable that this plugin does not read.
    pub(super) fn text(&self, name: &str) -> String {
        self.find(name).map_or_else(String::new, |(row, text)| {
            text.unwrap_or(row.default).to_string()
        })
    }

    /// The text when it is there and not empty.
    pub(super) fn some(&self, name: &str) -> Option<String> {
        Some(self.text(name)).filter(|text| !text.is_empty())
    }

    /// The variable that [`Reader::some`] reads: for secrets, whose values stay where they are.
    pub(super) fn variable(&self, name: &str) -> Option<&'static str> {
        let row = self.row(name)?;
        self.asked.borrow_mut().insert(row.names[0]);
        let (name, text) = value::lookup(self.environment, row.names)?;
        (!text.is_empty()).then_some(name)
    }

    /// Whether any of the row's names is present, even if empty.
    pub(super) fn is_present(&self, name: &str) -> bool {
        self.find(name).is_some_and(|(_, text)| text.is_some())
    }

    pub(super) fn flag(&self, name: &str) -> bool {
        let Some((row, text)) = self.find(name) else {
            return false;
        };
        value::boolean(name, text.unwrap_or(row.default))
            .expect("every variable was checked at the door")
    }

    pub(super) fn number(&self, name: &str) -> Option<i64> {
        let (_, text) = self.find(name)?;
        let text = text.filter(|text| !text.is_empty())?;
        Some(value::integer(name, text).expect("every variable was checked at the door"))
    }

    /// The elements that are not empty.
    pub(super) fn list(&self, name: &str) -> Vec<String> {
        let Some((row, text)) = self.find(name) else {
            return Vec::new();
        };
        let Kind::List(separator) = row.kind else {
            unreachable!("the table says that {name} is a list")
        };
        let mut elements = value::list(text.unwrap_or(row.default), separator);
        elements.retain(|element| !element.is_empty());
        elements
    }

    /// A variable that is in no row (read by the cloud wrappers): the first non-empty one.
    pub(super) fn first_set(&self, names: &[&str]) -> Option<String> {
        self.environment.get(self.first_name(names)?).cloned()
    }

    /// The name of that variable.
    pub(super) fn first_name<'n>(&self, names: &[&'n str]) -> Option<&'n str> {
        let looked_up = names.iter().map(|name| name.to_string());
        self.undeclared.borrow_mut().extend(looked_up);
        let is_set = |name: &&&str| {
            let text = self.environment.get(**name);
            text.is_some_and(|text| !text.is_empty())
        };
        names.iter().find(is_set).copied()
    }

    /// One line for each variable that is set and changes nothing here.
    pub(super) fn notes(&self) -> Vec<String> {
        let set = |row: &&Variable| {
            value::lookup(self.environment, row.names)
                .is_some_and(|(name, text)| !says_nothing(row, name, text))
        };
        let note = |row: &Variable| {
            let (name, _) = value::lookup(self.environment, row.names)?;
            match row.effect {
                Effect::Used | Effect::NotYet => None,
                Effect::Inherent(why) => Some(format!("{name}: {why}")),
                Effect::Daemon => Some(format!("{name} has no effect: no daemon is used")),
            }
        };
        self.rows().filter(set).filter_map(note).collect()
    }

    /// Variables of the step that say something nobody asked for. What the platform sets for every step does not count.
    pub(super) fn unasked(&self) -> Vec<String> {
        let asked = self.asked.borrow();
        let rows = self
            .rows()
            .filter(|row| row.effect == Effect::Used && !asked.contains(row.names[0]));
        let set = rows.filter_map(|row| {
            let (name, text) = value::lookup(self.environment, row.names)?;
            (name.starts_with("PLUGIN_") && !says_nothing(row, name, text))
                .then(|| name.to_string())
        });
        set.collect()
    }

    /// One line for each setting of the step that this plugin knows nothing of. Called last: what was
    /// looked up until then was known.
    pub(super) fn unknown(&self) -> Vec<String> {
        let undeclared = self.undeclared.borrow();
        let set = self.environment.iter().filter(|(name, text)| {
            name.starts_with("PLUGIN_")
                && !["", "false"].contains(&text.as_str())
                && !undeclared.contains(*name)
                && *name != READ_EARLIER
                && !self.rows().any(|row| row.names.contains(&name.as_str()))
        });
        let note = |(name, _): (&String, &String)| {
            let others = VARIABLES
                .iter()
                .filter(|row| row.names.contains(&name.as_str()));
            let mut families: Vec<&str> = others
                .flat_map(|row| row.readers.iter().map(|(family, _)| family.word()))
                .collect();
            families.sort_unstable();
            families.dedup();
            if !families.is_empty() {
                let families = families.join(" and ");
                return format!("{name} has no effect: only other plugins ({families}) read it");
            }
            let own = self.rows().flat_map(|row| row.names.iter().copied());
            let help = suggest::nearest(name, own.filter(|own| own.starts_with("PLUGIN_")));
            let help = help.map_or_else(String::new, |near| format!("; did you mean {near}?"));
            format!("{name} has no effect: unknown variable{help}")
        };
        set.map(note).collect()
    }

    #[cfg(test)]
    pub(super) fn asked(&self) -> BTreeSet<&'static str> {
        self.asked.borrow().clone()
    }
}

/// Whether a value is no more than its absence: a platform writes `false` for every switch that is off.
fn says_nothing(row: &Variable, name: &str, text: &str) -> bool {
    text.is_empty()
        || text == row.default
        || (row.kind == Kind::Bool
            && value::boolean(name, text).ok() == value::boolean(name, row.default).ok())
}
