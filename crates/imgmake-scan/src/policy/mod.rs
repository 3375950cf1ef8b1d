//! What is acceptable: threshold, ignore rules with reasons and expiry,
//! `.trivyignore`, OpenVEX. Judges [`Finding`]s; knows no scanner.

mod aliases;
mod baseline;
mod glob;
mod ignore_file;
mod judge;
mod judgement;
mod lists;
mod rule;
mod settings;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_of_lists;
mod threshold;
mod vex;

pub use baseline::Baseline;
pub use judge::{Rules, Told};
pub use judgement::{Judged, Judgement, Subject};
pub use lists::Lists;
pub use settings::{
    FailRule, FixableOnly, Gate, IgnoreRule, ListFile, Policy, TextFile, calendar_day,
};

/// Whether a file can be read as ignore rules or as a VEX document.
pub fn understands(file: &TextFile) -> bool {
    let rules = ignore_file::read(file).is_ok();
    vex::read(file).is_ok() || rules
}

/// Whether a file can be read as a list of EPSS or as the KEV catalog.
pub fn understands_list(file: &ListFile) -> bool {
    let kev = Lists::of(None, Some(file)).is_ok();
    Lists::of(Some(file), None).is_ok() || kev
}
