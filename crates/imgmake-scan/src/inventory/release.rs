//! Whether what an image says of its release agrees: advisories are those of the release in os-release, and
//! an image whose other files or packages speak of another one is judged by neither.

use super::distribution::Distribution;
use super::package::{Package, PackageKind};

/// Bytes of such a file that say something.
const LONGEST: usize = 1024;

/// What a file says, if anything.
pub fn said(bytes: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(LONGEST)]);
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_string())
}

/// Why a file is of another release than os-release says, if it is.
pub fn contradiction(of: &Distribution, place: &str, said: &str) -> Option<String> {
    let ecosystems = of.ecosystems();
    let ecosystem = ecosystems.first()?;
    let (base, release) = ecosystem.split_once(':').unwrap_or((ecosystem, ""));
    let first = said.lines().next().unwrap_or_default();
    let agrees = match place {
        "etc/debian_version" => debian(base, release, first),
        "etc/alpine-release" => match base {
            "Alpine" => release == "edge" || starts_with_numbers(first, release),
            // Made from Alpine.
            base => matches!(base, "Alpaquita" | "BellSoft Hardened Containers"),
        },
        "etc/redhat-release" => red_hat(base, release, first),
        "etc/lsb-release" if of.id == "ubuntu" => {
            let field = said
                .lines()
                .find_map(|l| l.strip_prefix("DISTRIB_RELEASE="));
            field.is_none_or(|field| field.trim_matches('"') == release)
        }
        _ => true,
    };
    (!agrees).then(|| {
        let shown: String = first.chars().take(60).collect();
        format!("`/{place}` (`{shown}`)")
    })
}

/// `12.5` in a release, `trixie/sid` before it and in Ubuntu, anything in what was made from them.
fn debian(base: &str, release: &str, said: &str) -> bool {
    let is_number = said.starts_with(|c: char| c.is_ascii_digit());
    match base {
        "Debian" if is_number => major(said) == release || release.parse::<u32>().is_err(),
        // A release that has a number has it here, too.
        "Debian" => {
            let is_of_testing = said.ends_with("/sid");
            let codename = said.strip_suffix("/sid").unwrap_or(said);
            !is_of_testing || super::distribution::is_codename(codename, release)
        }
        "Ubuntu" => !is_number,
        base => Distribution::installs(base, PackageKind::Dpkg),
    }
}

/// `Rocky Linux release 9.4 (Blue Onyx)`.
fn red_hat(base: &str, release: &str, said: &str) -> bool {
    let name = match base {
        "AlmaLinux" => "AlmaLinux",
        "Rocky Linux" => "Rocky Linux",
        "Red Hat" => "",
        base => return Distribution::installs(base, PackageKind::Rpm),
    };
    let number = said.split_once(" release ").map(|(_, rest)| major(rest));
    let release = release.rsplit(':').next().unwrap_or_default();
    said.starts_with(name) && number.is_none_or(|number| number == release)
}

/// The number in front: `12` of `12.5`, `9` of `9.4 (Plow)`.
fn major(text: &str) -> &str {
    let end = text.find(|c: char| !c.is_ascii_digit());
    &text[..end.unwrap_or(text.len())]
}

/// Whether a version is of a branch: `3.20.3` of `v3.20`.
fn starts_with_numbers(version: &str, branch: &str) -> bool {
    let branch = branch.strip_prefix('v').unwrap_or(branch);
    let rest = version.strip_prefix(branch);
    rest.is_some_and(|rest| !rest.starts_with(|c: char| c.is_ascii_digit()))
}

/// The package that brings these files, if it is of another release than os-release says.
pub fn contradicting_package<'p>(
    of: &Distribution,
    packages: impl Iterator<Item = &'p Package>,
) -> Option<String> {
    let ecosystem = of.ecosystems().into_iter().next()?;
    let (base, release) = ecosystem.split_once(':')?;
    let is_other = |package: &&Package| match (base, package.kind, package.name.as_str()) {
        // Before a release, its number is that of the next one.
        ("Debian", PackageKind::Dpkg, "base-files") if of.id == "debian" => {
            release.parse::<u32>().is_ok() && major(&package.version) != release
        }
        ("Alpine", PackageKind::Apk, "alpine-release") => {
            release != "edge" && !starts_with_numbers(&package.version, release)
        }
        _ => false,
    };
    let mut packages = packages;
    let package = packages.find(is_other)?;
    Some(format!("the package {} {}", package.name, package.version))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Distribution {
        Distribution::parse(text).unwrap()
    }

    #[test]
    fn files_of_one_release_agree_and_those_of_another_do_not() {
        let debian = "ID=debian\nVERSION_ID=\"12\"\nVERSION_CODENAME=bookworm\n";
        let testing = "ID=debian\nVERSION_CODENAME=forky\n";
        let ubuntu = "ID=ubuntu\nID_LIKE=debian\nVERSION_ID=\"24.04\"\n";
        let mint =
            "ID=linuxmint\nID_LIKE=\"ubuntu debian\"\nVERSION_ID=\"22\"\nUBUNTU_CODENAME=noble\n";
        let (alpine, edge) = (
            "ID=alpine\nVERSION_ID=3.20.3\n",
            "ID=alpine\nVERSION_ID=3.21_alpha20240923\n",
        );
        let (wolfi, rocky) = ("ID=wolfi\n", "ID=rocky\nVERSION_ID=\"9.4\"\n");
        let (rhel, alma) = (
            "ID=rhel\nVERSION_ID=\"9.4\"\n",
            "ID=almalinux\nVERSION_ID=\"9.4\"\n",
        );
        for (release, place, said, agrees) in [
            (debian, "etc/debian_version", "12.5", true),
            (debian, "etc/debian_version", "11.9", false),
            (debian, "etc/debian_version", "trixie/sid", false),
            (debian, "etc/debian_version", "bookworm/sid", true),
            (testing, "etc/debian_version", "forky/sid", true),
            (testing, "etc/debian_version", "trixie/sid", false),
            (testing, "etc/debian_version", "12.5", false),
            (ubuntu, "etc/debian_version", "trixie/sid", true),
            (ubuntu, "etc/debian_version", "12.5", false),
            (mint, "etc/debian_version", "trixie/sid", true),
            (
                ubuntu,
                "etc/lsb-release",
                "DISTRIB_ID=Ubuntu\nDISTRIB_RELEASE=24.04\n",
                true,
            ),
            (
                ubuntu,
                "etc/lsb-release",
                "DISTRIB_ID=Ubuntu\nDISTRIB_RELEASE=20.04\n",
                false,
            ),
            (alpine, "etc/alpine-release", "3.20.3", true),
            (alpine, "etc/alpine-release", "3.2.3", false),
            (edge, "etc/alpine-release", "3.21.0_alpha20240923", true),
            (alpine, "etc/debian_version", "12.5", false),
            (wolfi, "etc/alpine-release", "3.20.3", false),
            (
                rocky,
                "etc/redhat-release",
                "Rocky Linux release 9.4 (Blue Onyx)",
                true,
            ),
            (
                rocky,
                "etc/redhat-release",
                "Rocky Linux release 8.10 (Green Obsidian)",
                false,
            ),
            (
                rocky,
                "etc/redhat-release",
                "CentOS Linux release 7.9.2009 (Core)",
                false,
            ),
            (
                alma,
                "etc/redhat-release",
                "AlmaLinux release 9.4 (Seafoam Ocelot)",
                true,
            ),
            (
                alma,
                "etc/redhat-release",
                "Rocky Linux release 9.4 (Blue Onyx)",
                false,
            ),
            (
                rhel,
                "etc/redhat-release",
                "Red Hat Enterprise Linux release 9.4 (Plow)",
                true,
            ),
            (
                debian,
                "etc/redhat-release",
                "Rocky Linux release 9.4 (Blue Onyx)",
                false,
            ),
        ] {
            let found = contradiction(&of(release), place, said);
            assert_eq!(found.is_none(), agrees, "{release} {place} {said}");
        }
    }

    #[test]
    fn the_package_that_brings_these_files_is_of_the_same_release() {
        let debian = of("ID=debian\nVERSION_ID=\"12\"\n");
        let alpine = of("ID=alpine\nVERSION_ID=3.20.3\n");
        let base = |version: &str| Package::new(PackageKind::Dpkg, "base-files", version);
        let release = |version: &str| Package::new(PackageKind::Apk, "alpine-release", version);
        let is_other = |of: &Distribution, package: Package| {
            contradicting_package(of, [&package].into_iter()).is_some()
        };
        assert!(!is_other(&debian, base("12.4+deb12u5")));
        assert!(is_other(&debian, base("11.1+deb11u9")));
        assert!(!is_other(&alpine, release("3.20.3-r0")));
        assert!(is_other(&alpine, release("3.18.4-r0")));
    }
}
