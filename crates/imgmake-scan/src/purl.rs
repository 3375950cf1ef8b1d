//! Package URLs (package-url/purl-spec): made for packages, compared for VEX and
//! ignore rules.

use super::advisory::canonical_name;
use super::inventory::{Distribution, Package, PackageKind};
use super::percent::decode;
use super::version::Scheme;

/// `pkg:deb/debian/openssl@3.0.11-1?arch=amd64&distro=debian-12`.
pub fn of(package: &Package, distribution: Option<&Distribution>) -> String {
    let (namespace, name) = names(package, distribution);
    let mut purl = format!("pkg:{}/", package.kind.purl_type());
    for part in namespace.iter().flat_map(|n| n.split('/')) {
        encode(part, &mut purl);
        purl.push('/');
    }
    encode(&name, &mut purl);
    if !package.version.is_empty() {
        purl.push('@');
        encode(&package.version, &mut purl);
    }
    purl.push_str(&qualifiers(package, distribution));
    purl
}

fn names(package: &Package, distribution: Option<&Distribution>) -> (Option<String>, String) {
    let name = package.name.as_str();
    let split = |at: char| match name.rsplit_once(at) {
        Some((namespace, name)) => (Some(namespace.to_string()), name.to_string()),
        None => (None, name.to_string()),
    };
    match package.kind {
        PackageKind::Dpkg
        | PackageKind::Apk
        | PackageKind::Rpm
        | PackageKind::Opkg
        | PackageKind::Pacman => (distribution.map(|d| d.id.clone()), name.to_string()),
        PackageKind::Maven => split(':'),
        PackageKind::Npm
        | PackageKind::Go
        | PackageKind::Composer
        | PackageKind::Portage
        | PackageKind::WordPress => split('/'),
        PackageKind::Python => (None, canonical_name("PyPI", name)),
        PackageKind::Cargo
        | PackageKind::Gem
        | PackageKind::NuGet
        | PackageKind::Bitnami
        | PackageKind::Conda => (None, name.to_string()),
    }
}

fn qualifiers(package: &Package, distribution: Option<&Distribution>) -> String {
    let mut pairs = Vec::new();
    if let Some(architecture) = &package.architecture {
        pairs.push(format!("arch={architecture}"));
    }
    if let (None, Some(d)) = (package.kind.ecosystem(), distribution) {
        let version = if d.version.is_empty() {
            String::new()
        } else {
            format!("-{}", d.version)
        };
        pairs.push(format!("distro={}{version}", d.id));
    }
    if pairs.is_empty() {
        String::new()
    } else {
        format!("?{}", pairs.join("&"))
    }
}

fn encode(part: &str, out: &mut String) {
    use std::fmt::Write;
    for byte in part.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~:".contains(&byte) {
            out.push(byte as char);
        } else {
            write!(out, "%{byte:02X}").expect("writing to a string succeeds");
        }
    }
}

/// How versions of a package are ordered, by the type of its URL.
pub fn scheme(purl: &str) -> Scheme {
    let kind = purl.strip_prefix("pkg:").unwrap_or_default();
    Scheme::of_ecosystem(match kind.split('/').next().unwrap_or_default() {
        "deb" => "Debian",
        "apk" => "Alpine",
        "rpm" => "AlmaLinux",
        "golang" => "Go",
        "cargo" => "crates.io",
        "npm" => "npm",
        "pypi" => "PyPI",
        "gem" => "RubyGems",
        "composer" => "Packagist",
        "maven" => "Maven",
        "nuget" => "NuGet",
        other => other,
    })
}

/// Whether `purl` is covered by `pattern`: same type and name, and the same
/// version and qualifiers where the pattern has them.
pub fn covers(pattern: &str, purl: &str) -> bool {
    let (pattern, purl) = (Parts::of(pattern), Parts::of(purl));
    pattern.name.eq_ignore_ascii_case(&purl.name)
        && pattern
            .version
            .as_ref()
            .is_none_or(|v| Some(v) == purl.version.as_ref())
        && pattern
            .qualifiers
            .iter()
            .all(|q| purl.qualifiers.contains(q))
}

/// A purl taken apart, percent-encoding undone.
pub struct Parts {
    /// With `pkg:`, type and namespace.
    pub name: String,
    pub version: Option<String>,
    qualifiers: Vec<String>,
}

impl Parts {
    pub fn of(purl: &str) -> Parts {
        let purl = purl.split('#').next().unwrap_or_default();
        let (path, qualifiers) = purl.split_once('?').unwrap_or((purl, ""));
        // An unencoded `@` may start an npm scope: a version has no `/` behind it.
        let (name, version) = match path.rsplit_once('@') {
            Some((name, version)) if !version.contains('/') && !name.is_empty() => {
                (name, Some(version))
            }
            _ => (path, None),
        };
        Parts {
            name: decode(name),
            version: version.map(decode),
            qualifiers: qualifiers
                .split('&')
                .filter(|q| !q.is_empty())
                .map(decode)
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn package_urls_have_the_form_of_the_specification() {
        let debian = Distribution::parse("ID=debian\nVERSION_ID=12\n");
        let mut deb = Package::new(PackageKind::Dpkg, "libstdc++6", "1:12.2.0-14");
        deb.architecture = Some("amd64".into());
        for (package, distribution, purl) in [
            (
                deb,
                debian.as_ref(),
                "pkg:deb/debian/libstdc%2B%2B6@1:12.2.0-14?arch=amd64&distro=debian-12",
            ),
            (
                Package::new(PackageKind::Npm, "@angular/core", "1.0.0"),
                None,
                "pkg:npm/%40angular/core@1.0.0",
            ),
            (
                Package::new(PackageKind::Go, "golang.org/x/net", "v0.1.0"),
                None,
                "pkg:golang/golang.org/x/net@v0.1.0",
            ),
            (
                Package::new(PackageKind::Maven, "org.a:b", "1"),
                None,
                "pkg:maven/org.a/b@1",
            ),
            (
                Package::new(PackageKind::Python, "Flask_Login", "1"),
                None,
                "pkg:pypi/flask-login@1",
            ),
        ] {
            assert_eq!(of(&package, distribution), purl);
        }
    }

    #[test]
    fn a_purl_without_version_covers_all_versions() {
        let purl = "pkg:deb/debian/openssl@3.0%2B1?arch=amd64&distro=debian-12";
        assert!(covers("pkg:deb/debian/openssl", purl));
        assert!(covers("pkg:deb/debian/openssl@3.0+1", purl));
        assert!(covers("pkg:deb/debian/openssl@3.0%2B1?arch=amd64", purl));
        assert!(!covers("pkg:deb/debian/openssl@3.1", purl));
        assert!(!covers("pkg:deb/debian/openssl?arch=arm64", purl));
        assert!(!covers("pkg:deb/debian/open", purl));
        assert!(covers("pkg:npm/@s/a", "pkg:npm/%40s/a@1"));
    }
}
