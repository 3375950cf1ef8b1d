//! What depends on the time, where the bake file asks for it.

use super::Writer;
use super::words::escaped;

/// Places that a note names; others are counted.
const NAMED: usize = 3;

impl Writer<'_> {
    /// Once for each variable, wherever it stands.
    pub(super) fn note_times(&mut self) {
        for (name, places) in &self.timed {
            let (named, others) = places.split_at(places.len().min(NAMED));
            let named = named.join(", ");
            let subject = match (places.len(), others.len()) {
                (1, _) => format!("{named}: depends on the time"),
                (_, 0) => format!("{named}: depend on the time"),
                (_, more) => format!("{named} and {more} more: depend on the time"),
            };
            self.notes.push(format!(
                "{subject}; the variable `{name}` holds that of the import, and `--var {name}=…` or the environment gives another"
            ));
        }
    }

    /// A text whose middle depends on the time, which a variable holds.
    pub(super) fn time(&mut self, place: &str, text: &str, later: &str, twins: &[&str]) -> String {
        let same = |(one, other): &(char, char)| one == other;
        let common = text.chars().zip(later.chars()).take_while(same);
        let common: usize = common.map(|(c, _)| c.len_utf8()).sum();
        // Digits in common are part of the time all the same.
        let digit = |c: char| c.is_ascii_digit();
        let start = text[..common].trim_end_matches(digit).len();
        let ends = text[start..]
            .chars()
            .rev()
            .zip(later[start..].chars().rev());
        let ends = ends.take_while(|pair| same(pair) && !digit(pair.0));
        let end: usize = ends.map(|(c, _)| c.len_utf8()).sum();
        let value = &text[start..text.len() - end];
        let known = self.times.iter().find(|(known, _)| known == value);
        let name = known.map(|(_, name)| name.clone()).unwrap_or_else(|| {
            let numbered = (1..).map(|number| match number {
                1 => "BUILD_TIME".to_string(),
                number => format!("BUILD_TIME_{number}"),
            });
            let is_free = |name: &String| {
                self.times.iter().all(|(_, taken)| taken != name)
                    && self.variables.iter().all(|variable| variable.name != *name)
            };
            let mut free = numbered.filter(is_free);
            let name = free.next().expect("numbers do not end");
            self.times.push((value.to_string(), name.clone()));
            name
        });
        let places = self.timed.entry(name.clone()).or_default();
        if !places.iter().any(|known| known == place) {
            places.push(place.to_string());
        }
        // Around the time, other variables stay variables.
        if let Some(twin) = self.same(text, twins)
            && let [before, after] = twin.split(value).collect::<Vec<_>>()[..]
        {
            return format!(
                "\"{}${{{name}}}{}\"",
                self.unmarked(before),
                self.unmarked(after)
            );
        }
        let (before, after) = (&text[..start], &text[text.len() - end..]);
        if twins.iter().any(|twin| *twin != text) {
            self.constant(place, text);
        }
        format!("\"{}${{{name}}}{}\"", escaped(before), escaped(after))
    }
}
