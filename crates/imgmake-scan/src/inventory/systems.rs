//! Package managers of systems beside dpkg, apk and rpm: pacman, Portage, opkg, conda; the lists
//! that distroless images have instead of a database.

use serde::Deserialize;

use super::classify::holds_plugins;
use super::dpkg::{self, as_text};
use super::json;
use super::package::{Package, PackageKind};

/// `var/lib/pacman/local/NAME-VERSION/desc`: `%FIELD%`, its values, a blank line.
///
/// # Errors
/// No name or no version.
pub fn read_pacman(bytes: &[u8]) -> Result<Vec<Package>, String> {
    let text = as_text(bytes)?;
    let value = |field: &str| {
        let mut lines = text.lines().skip_while(|line| line.trim_end() != field);
        let value = lines.nth(1).map(str::trim).filter(|v| !v.is_empty());
        value.ok_or_else(|| format!("it has no `{field}`"))
    };
    Ok(vec![Package {
        architecture: value("%ARCH%").ok().map(String::from),
        license: value("%LICENSE%").ok().map(String::from),
        ..Package::new(PackageKind::Pacman, value("%NAME%")?, value("%VERSION%")?)
    }])
}

/// `var/db/pkg/CATEGORY/NAME-VERSION/PF`: the directory says everything.
///
/// # Errors
/// A directory that is not so named, or a file that says another name.
pub fn read_portage(path: &str, bytes: &[u8]) -> Result<Vec<Package>, String> {
    let text = as_text(bytes)?;
    let mut parts = path.rsplit('/').skip(1);
    let (Some(name), Some(category)) = (parts.next(), parts.next()) else {
        return Err("it is not in the directory of a package".into());
    };
    if text.trim() != name {
        return Err(format!("it does not name `{name}`"));
    }
    let mut dashes = name.match_indices('-').map(|(at, _)| at);
    let at = dashes.find(|at| name[at + 1..].starts_with(|c: char| c.is_ascii_digit()));
    let at = at.ok_or_else(|| format!("`{name}` has no version"))?;
    let (name, version) = (&name[..at], &name[at + 1..]);
    let name = format!("{category}/{name}");
    Ok(vec![Package::new(PackageKind::Portage, name, version)])
}

/// `usr/lib/opkg/status`, in dpkg's form.
///
/// # Errors
/// As for dpkg's.
pub fn read_opkg(bytes: &[u8]) -> Result<Vec<Package>, String> {
    let packages = dpkg::read(bytes)?.into_iter().map(|package| Package {
        kind: PackageKind::Opkg,
        source: None,
        ..package
    });
    Ok(packages.collect())
}

#[derive(Deserialize)]
struct Conda {
    name: String,
    version: String,
    license: Option<String>,
}

/// `conda-meta/NAME-VERSION-BUILD.json`.
///
/// # Errors
/// It is not such a document.
pub fn read_conda(bytes: &[u8]) -> Result<Vec<Package>, String> {
    let conda: Conda = json::read(bytes).map_err(|error| error.to_string())?;
    Ok(vec![Package {
        license: conda.license,
        ..Package::new(PackageKind::Conda, conda.name, conda.version)
    }])
}

/// `var/lib/rpmmanifest/container-manifest-2` of distroless images of Azure Linux: a package in
/// each line, its fields separated by tabs: name, version and release, two times, vendor, epoch,
/// size, architecture, epoch again, source package.
///
/// # Errors
/// Lines of another form.
pub fn read_rpm_manifest(bytes: &[u8]) -> Result<Vec<Package>, String> {
    let text = as_text(bytes)?;
    let lines = (1..).zip(text.lines()).filter(|(_, line)| !line.is_empty());
    let packages: Result<Vec<Package>, String> = lines
        .map(|(number, line)| {
            let fields: Vec<&str> = line.split('\t').map(str::trim).collect();
            let [name, version, .., architecture, epoch, source] = fields[..] else {
                return Err(format!("line {number} is not one of `rpm -qa`"));
            };
            if fields.len() != 10 || name.is_empty() || !version.contains('-') {
                return Err(format!("line {number} is not one of `rpm -qa`"));
            }
            let with_epoch = |version: &str| match epoch {
                "0" | "" | "(none)" => version.to_string(),
                epoch => format!("{epoch}:{version}"),
            };
            // `name-version-release.src.rpm`
            let source = source.strip_suffix(".src.rpm").and_then(|source| {
                let (rest, release) = source.rsplit_once('-')?;
                let (name, version) = rest.rsplit_once('-')?;
                Some((
                    name.to_string(),
                    with_epoch(&format!("{version}-{release}")),
                ))
            });
            Ok(Package {
                architecture: Some(architecture.to_string()),
                source,
                ..Package::new(PackageKind::Rpm, name, with_epoch(version))
            })
        })
        .collect();
    let packages = packages?;
    match packages.is_empty() {
        true => Err("it does not name a package".into()),
        false => Ok(packages),
    }
}

#[derive(Deserialize)]
struct Wall {
    kind: Option<String>,
    name: Option<String>,
    version: Option<String>,
    arch: Option<String>,
}

/// Bytes of an unpacked manifest of chisel.
const LARGEST_WALL: u64 = 256 << 20;

/// `var/lib/chisel/manifest.wall`: lines of JSON in zstd. It names no source packages, of which
/// Ubuntu's advisories speak: what it tells is in documents, and is not judged.
///
/// # Errors
/// It is not such a list.
pub fn read_chisel(bytes: &[u8]) -> Result<Vec<Package>, String> {
    let plain = imgmake_oci::layer::decompress(bytes).map_err(|error| error.to_string())?;
    let plain = imgmake_guard::bounded::take(plain, LARGEST_WALL).map_err(|e| e.to_string())?;
    let text = as_text(&plain)?;
    let mut lines = (1..).zip(text.lines());
    if !lines
        .next()
        .is_some_and(|(_, first)| first.contains("\"jsonwall\""))
    {
        return Err("it does not begin with `jsonwall`".into());
    }
    let mut packages = Vec::new();
    for (number, line) in lines.filter(|(_, line)| !line.is_empty()) {
        let entry: Wall = serde_json::from_str(line).map_err(|e| format!("line {number}: {e}"))?;
        if entry.kind.as_deref() != Some("package") {
            continue;
        }
        let (Some(name), Some(version)) = (entry.name, entry.version) else {
            return Err(format!(
                "the package on line {number} has no name or version"
            ));
        };
        packages.push(Package {
            architecture: entry.arch,
            ..Package::new(PackageKind::Dpkg, name, version)
        });
    }
    Ok(packages)
}

#[derive(Deserialize)]
struct Spdx {
    #[serde(rename = "spdxVersion")]
    _version: String,
    packages: Vec<SpdxPackage>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SpdxPackage {
    #[serde(default)]
    external_refs: Vec<ExternalRef>,
    license_concluded: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ExternalRef {
    reference_locator: String,
}

/// `opt/bitnami/NAME/.spdx-NAME.spdx`: what Bitnami put there, by package URLs
/// `pkg:bitnami/NAME@VERSION`.
///
/// # Errors
/// It is not such a document.
pub fn read_bitnami(bytes: &[u8]) -> Result<Vec<Package>, String> {
    let spdx: Spdx = json::read(bytes).map_err(|error| error.to_string())?;
    let mut found = Vec::new();
    for package in spdx.packages {
        let locators = package.external_refs.iter();
        let own = locators.filter_map(|one| one.reference_locator.strip_prefix("pkg:bitnami/"));
        for locator in own {
            let plain = locator.split(['?', '#']).next().unwrap_or_default();
            let Some((name, version)) = plain.split_once('@') else {
                return Err(format!("`pkg:bitnami/{plain}` has no version"));
            };
            // `1.2.3-4` is the fourth package of 1.2.3, and `1.2.3-rc` none of it.
            let is_number = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
            let revision = version.rsplit_once('-');
            let revision = revision.filter(|(_, last)| !last.is_empty() && is_number(last));
            let version = revision.map_or(version, |(version, _)| version);
            found.push(Package {
                license: package.license_concluded.clone(),
                ..Package::new(PackageKind::Bitnami, name, version)
            });
        }
    }
    match found.is_empty() {
        true => Err("it does not name a package with `pkg:bitnami/`".into()),
        false => Ok(found),
    }
}

/// `wp-includes/version.php`: `$wp_version = '6.4.2';`
///
/// # Errors
/// It says none.
pub fn read_wordpress(bytes: &[u8]) -> Result<Vec<Package>, String> {
    let text = as_text(bytes)?;
    let said = text.lines().find_map(|line| {
        let value = line.trim().strip_prefix("$wp_version")?.trim_start();
        value.strip_prefix('=')?.trim().strip_suffix(';')
    });
    let version = said.map(|value| value.trim().trim_matches(['\'', '"']));
    let version = version.filter(|v| v.starts_with(|c: char| c.is_ascii_digit()));
    let version = version.ok_or("it has no `$wp_version`")?;
    Ok(vec![Package::new(
        PackageKind::WordPress,
        "wordpress",
        version,
    )])
}

/// A file of `wp-content/plugins/NAME/`, or `wp-content/plugins/NAME.php`: the one with `Plugin Name:` and `Version:` in its first
/// comment describes the plugin, the others do not.
pub fn read_wordpress_plugin(path: &str, bytes: &[u8]) -> Result<Vec<Package>, String> {
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(8 << 10)]);
    let field = |name: &str| {
        let mut lines = text
            .lines()
            .map(|line| line.trim_start_matches([' ', '\t', '*', '/']));
        let value = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        value.map(|value| value.trim().to_string())
    };
    if field("Plugin Name").is_none() {
        return Ok(Vec::new());
    }
    let (directory, file) = path.rsplit_once('/').unwrap_or(("", path));
    // A plugin of one file has no directory.
    let name = match holds_plugins(directory) {
        true => file.strip_suffix(".php").unwrap_or(file),
        false => directory.rsplit('/').next().unwrap_or_default(),
    };
    let version = field("Version").filter(|version| !version.is_empty());
    let version = version.ok_or("the plugin has no `Version:`")?;
    Ok(vec![Package::new(
        PackageKind::WordPress,
        format!("plugins/{name}"),
        version,
    )])
}
