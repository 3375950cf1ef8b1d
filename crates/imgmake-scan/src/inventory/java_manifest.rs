//! What a Java archive without Maven's own files is: by its manifest and by its file name.

use super::package::{Package, PackageKind};

/// Bytes of a manifest that are read; signed ones have a digest of each file after the main
/// section.
pub const LARGEST: u64 = 1 << 20;

/// The package that an archive is, if its place, its manifest or its name tell a version.
pub fn package(path: &str, manifest: Option<&[u8]>) -> Option<Package> {
    if let Some(package) = in_repository(path) {
        return Some(package);
    }
    let text = String::from_utf8_lossy(manifest.unwrap_or_default());
    let main = Main::parse(&text);
    let named = by_file_name(path);
    let versions = [
        "Implementation-Version",
        "Bundle-Version",
        "Specification-Version",
    ];
    let version = match &named {
        Some((_, version)) => version.to_string(),
        None => versions.iter().find_map(|key| main.get(key))?,
    };
    let bundle = main.get("Bundle-SymbolicName");
    // `name;singleton:=true`.
    let bundle = bundle.and_then(|name| name.split(';').next().map(|n| n.trim().to_string()));
    let title = main.get("Implementation-Title").filter(|t| is_id(t));
    let last = || Some(bundle.as_deref()?.rsplit('.').next()?.to_string());
    let named = named.map(|(artifact, _)| artifact);
    let stem = named.or_else(|| stem(path)).map(str::to_string);
    let own = named.map(str::to_string);
    let artifact = own
        .or_else(|| title.clone())
        .or_else(last)
        .or_else(|| stem.clone())?;
    let mut artifacts: Vec<String> = [stem, title, last()].into_iter().flatten().collect();
    artifacts.sort();
    artifacts.dedup();
    let vendor = main.get("Implementation-Vendor-Id").filter(|v| is_id(v));
    let group = vendor.or_else(|| {
        let bundle = bundle.clone().filter(|b| b.contains('.'))?;
        let shorter = bundle.strip_suffix(&format!(".{artifact}"));
        Some(shorter.map_or(bundle.clone(), str::to_string))
    });
    // The name of a bundle may be the group (`com.google.guava`) or hold the artifact's.
    let other = bundle.filter(|b| b.contains('.') && Some(b) != group.as_ref());
    let full = |group: &str| format!("{group}:{artifact}");
    Some(Package {
        source: other.map(|group| (full(&group), version.clone())),
        artifacts,
        ..Package::new(
            PackageKind::Maven,
            group.map_or_else(|| artifact.clone(), |group| full(&group)),
            version,
        )
    })
}

/// In the repositories of Maven, Debian and Gradle, directories are called as the group, the artifact
/// and the version: `repository/org/example/name/1.0/name-1.0.jar`,
/// `files-2.1/org.example/name/1.0/SHA1/name-1.0.jar`.
fn in_repository(path: &str) -> Option<Package> {
    let mut parts: Vec<&str> = path.split('/').collect();
    let file = parts.pop()?;
    let is_root = |part: &&str| matches!(*part, "repository" | "maven-repo" | "files-2.1");
    let root = parts.iter().rposition(is_root)?;
    if parts[root] == "files-2.1" {
        parts.pop();
    }
    let [group @ .., artifact, version] = parts.get(root + 1..)? else {
        return None;
    };
    let is_named = file.strip_prefix(&format!("{artifact}-{version}"));
    if group.is_empty() || !is_named?.starts_with(['.', '-']) {
        return None;
    }
    let name = format!("{}:{artifact}", group.join("."));
    Some(Package::new(PackageKind::Maven, name, *version))
}

fn stem(path: &str) -> Option<&str> {
    let name = path.rsplit('/').next()?;
    let (stem, _) = name.rsplit_once('.')?;
    is_id(stem).then_some(stem)
}

/// `name-1.2.3.jar`: the version begins with the first digit after a dash.
fn by_file_name(path: &str) -> Option<(&str, &str)> {
    let name = path.rsplit('/').next()?;
    let (stem, _) = name.rsplit_once('.')?;
    let dashes = stem.match_indices('-').map(|(at, _)| at);
    let version = dashes
        .map(|at| (&stem[..at], &stem[at + 1..]))
        .find(|(name, version)| {
            !name.is_empty() && version.starts_with(|c: char| c.is_ascii_digit())
        })?;
    is_id(version.0).then_some(version)
}

fn is_id(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
}

/// The main section: `Name: value`, a line that begins with a blank goes on with the value.
struct Main(Vec<(String, String)>);

impl Main {
    fn parse(text: &str) -> Main {
        let mut fields: Vec<(String, String)> = Vec::new();
        for line in text.lines().take_while(|line| !line.trim().is_empty()) {
            match (line.strip_prefix(' '), fields.last_mut()) {
                (Some(more), Some((_, value))) => value.push_str(more),
                _ => {
                    let field = line.split_once(':');
                    fields.extend(field.map(|(k, v)| (k.to_string(), v.trim().to_string())));
                }
            }
        }
        Main(fields)
    }

    fn get(&self, key: &str) -> Option<String> {
        let field = self.0.iter().find(|(k, _)| k.eq_ignore_ascii_case(key));
        field.map(|(_, v)| v.clone()).filter(|v| !v.is_empty())
    }
}
