//! Version orders, one per ecosystem. Pure; total on any text that a package
//! database may hold: what cannot be understood is [`None`], never a panic and
//! never a guess.

mod apk;
mod dpkg;
mod maven;
mod packagist;
mod pep440;
mod rpm;
mod rubygems;
mod semver;

#[cfg(test)]
mod tests;

use std::cmp::Ordering;

/// Whose rules order the versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// Debian Policy 5.6.12.
    Dpkg,
    /// apk-tools' `version.c`.
    Apk,
    /// `rpmvercmp` with epoch and release.
    Rpm,
    /// SemVer 2.0, lenient about missing and additional numbers: npm, crates.io, Go, NuGet, …
    Semver,
    Pep440,
    Maven,
    RubyGems,
    /// PHP's `version_compare`.
    Packagist,
}

impl Scheme {
    /// The scheme of an OSV ecosystem, with or without its `:release` suffix.
    pub fn of_ecosystem(ecosystem: &str) -> Scheme {
        let base = ecosystem.split(':').next().unwrap_or_default();
        match base {
            "Debian" | "Ubuntu" | "Echo" => Scheme::Dpkg,
            "Alpine"
            | "Wolfi"
            | "Chainguard"
            | "MinimOS"
            | "Alpaquita"
            | "BellSoft Hardened Containers" => Scheme::Apk,
            "AlmaLinux" | "Rocky Linux" | "Red Hat" | "SUSE" | "openSUSE" | "Mageia"
            | "openEuler" | "Photon OS" | "Azure Linux" => Scheme::Rpm,
            "PyPI" => Scheme::Pep440,
            "Maven" => Scheme::Maven,
            "RubyGems" => Scheme::RubyGems,
            "Packagist" => Scheme::Packagist,
            _ => Scheme::Semver,
        }
    }

    /// How `a` stands to `b`, if both are versions of this scheme.
    pub fn compare(self, a: &str, b: &str) -> Option<Ordering> {
        match self {
            Scheme::Dpkg => Some(dpkg::compare(a, b)),
            Scheme::Apk => Some(apk::compare(a, b)),
            Scheme::Rpm => Some(rpm::compare(a, b)),
            Scheme::Semver => semver::compare(a, b),
            Scheme::Pep440 => pep440::compare(a, b),
            Scheme::Maven => Some(maven::compare(a, b)),
            Scheme::RubyGems => rubygems::compare(a, b),
            Scheme::Packagist => Some(packagist::compare(a, b)),
        }
    }
}

/// Orders two runs of decimal digits of any length, leading zeros aside.
fn compare_digits(a: &str, b: &str) -> Ordering {
    let (a, b) = (a.trim_start_matches('0'), b.trim_start_matches('0'));
    a.len().cmp(&b.len()).then_with(|| a.cmp(b))
}

/// Splits off the leading characters of one kind.
fn split_while(text: &str, keep: impl Fn(char) -> bool) -> (&str, &str) {
    let end = text.find(|c| !keep(c)).unwrap_or(text.len());
    text.split_at(end)
}

/// Alternating runs of digits and ASCII letters; everything else separates.
fn runs(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        rest = rest.trim_start_matches(|c: char| !c.is_ascii_alphanumeric());
        let first = rest.chars().next()?;
        let (run, after) = if first.is_ascii_digit() {
            split_while(rest, |c| c.is_ascii_digit())
        } else {
            split_while(rest, |c| c.is_ascii_alphabetic())
        };
        rest = after;
        Some(run)
    })
}

fn is_number(run: &str) -> bool {
    run.starts_with(|c: char| c.is_ascii_digit())
}
