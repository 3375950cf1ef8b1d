//! Version orders, one per ecosystem. Pure; total on any text that a package
//! database may hold: what cannot be understood is [`None`], never a panic and
//! never a guess.

mod apk;
mod digits;
mod dpkg;
mod maven;
mod packagist;
#[cfg(test)]
#[cfg(feature = "peers")]
mod peers;
mod pep440;
mod pep440_legacy;
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
    /// SemVer 2.0, lenient about missing and additional numbers: npm, crates.io, Go, …
    Semver,
    /// As SemVer, whatever the letters' case.
    NuGet,
    Pep440,
    Maven,
    RubyGems,
    /// Composer's, by PHP's `version_compare`.
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
            "NuGet" => Scheme::NuGet,
            _ => Scheme::Semver,
        }
    }

    /// How `a` stands to `b`, if both are versions of this scheme.
    pub fn compare(self, a: &str, b: &str) -> Option<Ordering> {
        match self {
            Scheme::Dpkg => Some(dpkg::compare(a, b)),
            Scheme::Apk => apk::compare(a, b),
            Scheme::Rpm => Some(rpm::compare(a, b)),
            Scheme::Semver => semver::compare(a, b),
            Scheme::NuGet => semver::compare_without_case(a, b),
            Scheme::Pep440 => pep440::compare(a, b),
            Scheme::Maven => Some(maven::compare(a, b)),
            Scheme::RubyGems => rubygems::compare(a, b),
            Scheme::Packagist => packagist::compare(a, b),
        }
    }
}
