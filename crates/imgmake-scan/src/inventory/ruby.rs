//! Ruby: installed `*.gemspec` files, and `Gemfile.lock`.

use super::package::{Package, PackageKind};

/// RubyGems writes `# stub: name version platform paths` at the top; hand-made
/// ones assign `name` and `version`.
pub fn read_specification(text: &str) -> Vec<Package> {
    let stub = text
        .lines()
        .take(5)
        .find_map(|l| l.strip_prefix("# stub: "));
    let mut words = stub.unwrap_or_default().split_ascii_whitespace();
    let named = match (words.next(), words.next()) {
        (Some(name), Some(version)) => Some((name.to_string(), version.to_string())),
        _ => assigned(text, "name").zip(assigned(text, "version")),
    };
    let package = named.map(|(name, version)| Package::new(PackageKind::Gem, name, version));
    package.into_iter().collect()
}

/// A gem by the name of its directory: `name-1.0`, `name-1.0-x86_64-linux`.
pub fn of_directory(path: &str) -> Option<Package> {
    let name = path.rsplit('/').next()?;
    let mut dashes = name.match_indices('-').map(|(at, _)| at);
    let at = dashes.find(|at| name[at + 1..].starts_with(|c: char| c.is_ascii_digit()))?;
    let version = name[at + 1..].split('-').next().unwrap_or_default();
    let is_named = !name[..at].is_empty();
    is_named.then(|| Package::new(PackageKind::Gem, &name[..at], version))
}

fn assigned(text: &str, field: &str) -> Option<String> {
    let line = text.lines().find_map(|l| {
        let (_, attribute) = l.trim().split_once('.')?;
        attribute
            .strip_prefix(field)?
            .trim_start()
            .strip_prefix('=')
    })?;
    let quoted = line.split(['"', '\'']).nth(1)?;
    Some(quoted.to_string())
}

/// What stands at the margin of every `Gemfile.lock`, one or the other.
const SECTIONS: [&str; 5] = ["GEM", "PATH", "GIT", "PLUGIN SOURCE", "DEPENDENCIES"];

/// `    name (version)` under `specs:`; deeper lines are requirements.
///
/// # Errors
/// It has none of the sections of such a file.
pub fn read_lock(text: &str) -> Result<Vec<Package>, String> {
    if !text.lines().any(|l| SECTIONS.contains(&l.trim_end())) {
        return Err("it has neither `GEM` nor `DEPENDENCIES`".to_string());
    }
    let mut is_specs = false;
    for (number, line) in (1..).zip(text.lines()) {
        match line {
            "  specs:" => is_specs = true,
            _ if !line.starts_with([' ', '\t']) => is_specs = false,
            _ if is_specs && !line.starts_with("    ") => {
                return Err(format!("line {number} is not one that Bundler writes"));
            }
            _ => {}
        }
    }
    let specs = text.lines().filter_map(|l| l.strip_prefix("    "));
    let own = specs.filter(|l| !l.starts_with(' '));
    let named = own.filter_map(|l| {
        let (name, version) = l.split_once(" (")?;
        Some((name, version.trim_end().strip_suffix(')')?))
    });
    // `1.2.3-x86_64-linux` is 1.2.3 for a platform.
    let plain = named.map(|(n, v)| (n, v.split('-').next().unwrap_or(v)));
    Ok(plain
        .filter(|(_, v)| v.starts_with(|c: char| c.is_ascii_digit()))
        .map(|(n, v)| Package::new(PackageKind::Gem, n, v))
        .collect())
}
