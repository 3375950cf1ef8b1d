//! Which files tell of packages or passwords, by their path.

use super::{java, secrets};

/// What a name says of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Meaning {
    Packages(Reading),
    /// A file in which programs keep passwords.
    Passwords,
}

pub fn meaning(path: &str) -> Option<Meaning> {
    let reading = classify(path).map(Meaning::Packages);
    reading.or_else(|| secrets::is_password_file(path).then_some(Meaning::Passwords))
}

/// Files and directories that are known by where they are, not by how they are called: a link
/// may stand anywhere on the way to them.
pub const PLACES: [&str; 20] = [
    OS_RELEASE[0],
    OS_RELEASE[1],
    RELEASES[0],
    RELEASES[1],
    RELEASES[2],
    RELEASES[3],
    "var/lib/dpkg",
    "var/lib/dpkg/status.d",
    "lib/apk/db",
    "usr/lib/apk/db",
    "var/lib/apk/db",
    RPM[0],
    RPM[1],
    RPM[2],
    "var/lib/opkg",
    "usr/lib/opkg",
    "var/lib/pacman/local",
    "var/lib/rpmmanifest",
    "var/lib/chisel",
    "var/db/pkg",
];

/// The first that there is counts.
pub const OS_RELEASE: [&str; 2] = ["etc/os-release", "usr/lib/os-release"];
/// Further files that say of which release an image is: of Debian, Alpine, rebuilds of Red Hat, and Ubuntu.
pub const RELEASES: [&str; 4] = [
    "etc/debian_version",
    "etc/alpine-release",
    "etc/redhat-release",
    "etc/lsb-release",
];
const RPM: [&str; 3] = ["var/lib/rpm", "usr/lib/sysimage/rpm", "usr/share/rpm"];

/// What a file is read as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reading {
    OsRelease,
    /// One of [`RELEASES`].
    Release,
    DpkgStatus,
    /// Which files a package of dpkg has.
    DpkgFiles,
    ApkInstalled,
    /// In the format of apk-tools 3.
    ApkBinary,
    RpmSqlite,
    /// The write-ahead log of a database beside it.
    RpmSqliteLog,
    RpmNdb,
    RpmBerkeley,
    CargoLock,
    NpmPackage,
    NpmLock,
    YarnLock,
    PnpmLock,
    BunLock,
    /// Of Bun before version 1.2.
    BunBinaryLock,
    /// `uv.lock`, `pdm.lock` and `pylock.toml`, too.
    PoetryLock,
    PipfileLock,
    NuGetLock,
    /// `packages.config` of NuGet.
    NuGetConfig,
    DenoLock,
    PomProperties,
    PythonMetadata,
    GemSpec,
    GemfileLock,
    ComposerLock,
    ComposerInstalled,
    Jar,
    DotnetDeps,
    Pacman,
    Portage,
    Opkg,
    Conda,
    RpmManifest,
    Chisel,
    Bitnami,
    WordPress,
    WordPressPlugin,
    PlugNPlay,
    PlugNPlayData,
    Egg,
    /// The name of a directory in which a package of Python is.
    EggLink,
    /// A module of Java for its linker.
    JavaModule,
}

impl Reading {
    /// Whether a distribution's whole inventory stands in this one file.
    pub fn is_database(self) -> bool {
        matches!(
            self,
            Reading::DpkgStatus
                | Reading::ApkInstalled
                | Reading::ApkBinary
                | Reading::RpmSqlite
                | Reading::RpmNdb
                | Reading::RpmBerkeley
                | Reading::Pacman
                | Reading::Portage
                | Reading::Opkg
                | Reading::RpmManifest
        )
    }

    /// Whether the file lists what should be installed, not what is.
    pub fn is_lockfile(self) -> bool {
        matches!(
            self,
            Reading::NpmLock
                | Reading::YarnLock
                | Reading::PnpmLock
                | Reading::BunLock
                | Reading::BunBinaryLock
                | Reading::PoetryLock
                | Reading::PipfileLock
                | Reading::NuGetLock
                | Reading::NuGetConfig
                | Reading::DenoLock
                | Reading::CargoLock
                | Reading::GemfileLock
                | Reading::ComposerLock
        )
    }
}

pub fn classify(path: &str) -> Option<Reading> {
    by_place(path).or_else(|| by_name(path))
}

fn by_place(path: &str) -> Option<Reading> {
    let in_directory = |d: &&str| path.strip_prefix(d)?.strip_prefix('/');
    if let Some(file) = RPM.iter().find_map(in_directory) {
        return match file {
            "rpmdb.sqlite" => Some(Reading::RpmSqlite),
            "rpmdb.sqlite-wal" => Some(Reading::RpmSqliteLog),
            "Packages.db" => Some(Reading::RpmNdb),
            "Packages" => Some(Reading::RpmBerkeley),
            _ => None,
        };
    }
    match path {
        "etc/os-release" | "usr/lib/os-release" => Some(Reading::OsRelease),
        "var/lib/dpkg/status" => Some(Reading::DpkgStatus),
        "lib/apk/db/installed" | "usr/lib/apk/db/installed" | "var/lib/apk/db/installed" => {
            Some(Reading::ApkInstalled)
        }
        "lib/apk/db/installed.adb"
        | "usr/lib/apk/db/installed.adb"
        | "var/lib/apk/db/installed.adb" => Some(Reading::ApkBinary),
        release if RELEASES.contains(&release) => Some(Reading::Release),
        "var/lib/opkg/status" | "usr/lib/opkg/status" | "opt/lib/opkg/status" => {
            Some(Reading::Opkg)
        }
        "var/lib/rpmmanifest/container-manifest-2" => Some(Reading::RpmManifest),
        "var/lib/chisel/manifest.wall" => Some(Reading::Chisel),
        _ => beneath_a_place(path),
    }
}

/// One of the files that a database of many files consists of.
fn beneath_a_place(path: &str) -> Option<Reading> {
    if let Some(status) = path.strip_prefix("var/lib/dpkg/status.d/") {
        return Some(match status.ends_with(".md5sums") {
            true => Reading::DpkgFiles,
            false => Reading::DpkgStatus,
        });
    }
    if let Some(list) = path.strip_prefix("var/lib/dpkg/info/") {
        return list.ends_with(".list").then_some(Reading::DpkgFiles);
    }
    // What dpkg has not yet put into its status: an interrupted one leaves it.
    if let Some(number) = path.strip_prefix("var/lib/dpkg/updates/") {
        return number
            .bytes()
            .all(|b| b.is_ascii_digit())
            .then_some(Reading::DpkgStatus);
    }
    if let Some(package) = path.strip_prefix("var/lib/pacman/local/") {
        let (_, file) = package.split_once('/')?;
        return (file == "desc").then_some(Reading::Pacman);
    }
    if let Some(package) = path.strip_prefix("var/db/pkg/") {
        let mut parts = package.split('/').skip(2);
        return (parts.next() == Some("PF") && parts.next().is_none()).then_some(Reading::Portage);
    }
    None
}

fn by_name(path: &str) -> Option<Reading> {
    let (directory, name) = path.rsplit_once('/').unwrap_or(("", path));
    let parent = directory.rsplit('/').next().unwrap_or_default();
    // What a dependency locked for its own development is not installed.
    let own = !is_inside_a_package(directory);
    match name {
        "Cargo.lock" if own => Some(Reading::CargoLock),
        "bun.lock" if own => Some(Reading::BunLock),
        "bun.lockb" if own => Some(Reading::BunBinaryLock),
        "poetry.lock" | "uv.lock" | "pdm.lock" | "pylock.toml" if own => Some(Reading::PoetryLock),
        "Pipfile.lock" if own => Some(Reading::PipfileLock),
        "packages.lock.json" if own => Some(Reading::NuGetLock),
        _ if own && name.eq_ignore_ascii_case("packages.config") => Some(Reading::NuGetConfig),
        "deno.lock" if own => Some(Reading::DenoLock),
        "pom.properties" if format!("/{directory}/").contains("/META-INF/maven/") => {
            Some(Reading::PomProperties)
        }
        "package.json" if is_installed_module(directory) => Some(Reading::NpmPackage),
        "package-lock.json" | "npm-shrinkwrap.json" if own => Some(Reading::NpmLock),
        "yarn.lock" if own => Some(Reading::YarnLock),
        "pnpm-lock.yaml" if own => Some(Reading::PnpmLock),
        "METADATA" if parent.ends_with(".dist-info") => Some(Reading::PythonMetadata),
        "PKG-INFO" if parent.ends_with(".egg-info") || parent == "EGG-INFO" => {
            Some(Reading::PythonMetadata)
        }
        "Gemfile.lock" | "gems.locked" if own => Some(Reading::GemfileLock),
        "composer.lock" if own => Some(Reading::ComposerLock),
        "installed.json" if parent == "composer" => Some(Reading::ComposerInstalled),
        _ if name.ends_with(".egg-info") => Some(Reading::PythonMetadata),
        _ if name.ends_with(".gemspec") && directory.ends_with("specifications") => {
            Some(Reading::GemSpec)
        }
        _ if name.ends_with(".gemspec") && directory.ends_with("specifications/default") => {
            Some(Reading::GemSpec)
        }
        _ if name.ends_with(".deps.json") => Some(Reading::DotnetDeps),
        ".pnp.cjs" | ".pnp.js" => Some(Reading::PlugNPlay),
        ".pnp.data.json" => Some(Reading::PlugNPlayData),
        "version.php" if parent == "wp-includes" => Some(Reading::WordPress),
        _ if name.ends_with(".php") && is_plugin(directory) => Some(Reading::WordPressPlugin),
        _ if name.ends_with(".json") && parent == "conda-meta" => Some(Reading::Conda),
        _ if name.starts_with(".spdx-") && name.ends_with(".spdx") => Some(Reading::Bitnami),
        _ if name.ends_with(".egg") => Some(Reading::Egg),
        _ if name.ends_with(".egg-link") => Some(Reading::EggLink),
        _ if name.ends_with(".jmod") => Some(Reading::JavaModule),
        _ if java::is_archive(name) => Some(Reading::Jar),
        _ => None,
    }
}

/// `…/wp-content/plugins/name`, or without a name for plugins of one file; what is in `mu-plugins`
/// is always active.
fn is_plugin(directory: &str) -> bool {
    let above = directory.rsplit_once('/').map_or("", |(above, _)| above);
    holds_plugins(directory) || holds_plugins(above)
}

/// `…/wp-content/plugins`, `…/wp-content/mu-plugins`
pub fn holds_plugins(directory: &str) -> bool {
    let mut parts = directory.rsplit('/');
    let is_named = matches!(parts.next(), Some("plugins" | "mu-plugins"));
    is_named && parts.next() == Some("wp-content")
}

/// Whether a path is that of a lock file inside of an installed package: it is not read.
pub fn is_left_out(path: &str) -> bool {
    let Some((directory, name)) = path.rsplit_once('/') else {
        return false;
    };
    is_inside_a_package(directory) && by_name(name).is_some_and(Reading::is_lockfile)
}

/// The lists of what Composer installed of which one makes a lock file that of an installed package
/// (`vendor/name/package`): people have directories of that name too.
pub fn composer_lists(path: &str) -> impl Iterator<Item = String> {
    let parts: Vec<&str> = path.split('/').collect();
    let vendors = (0..parts.len()).filter(|at| parts[*at] == "vendor" && parts.len() > at + 3);
    let lists: Vec<String> = vendors
        .map(|at| format!("{}/composer/installed.json", parts[..=at].join("/")))
        .collect();
    lists.into_iter()
}

/// Whether a directory is of a package that a package manager installed: of npm, Python, RubyGems
/// (`gems/name-1.0`), or in the caches of Cargo and Go (`pkg/mod/example.com/name@v1.0.0`).
fn is_inside_a_package(directory: &str) -> bool {
    let parts: Vec<&str> = directory.split('/').collect();
    parts.iter().enumerate().any(|(at, part)| {
        let next = parts.get(at + 1);
        match *part {
            "node_modules" => true,
            "site-packages" | "dist-packages" => next.is_some(),
            "gems" => next.is_some_and(|name| is_versioned(name)),
            "registry" => {
                let home = at.checked_sub(1).map(|before| parts[before]);
                next == Some(&"src") && matches!(home, Some(".cargo" | "cargo"))
            }
            "pkg" => next == Some(&"mod") && parts[at + 2..].iter().any(|part| part.contains("@v")),
            _ => false,
        }
    })
}

/// What tells of a package in a directory of this name, if the directory is that of one package.
pub fn description(directory: &str) -> Option<&'static str> {
    let (above, name) = directory.rsplit_once('/').unwrap_or(("", directory));
    // What pip could not remove is called so, and nobody can import it.
    let is_left = name.starts_with('~');
    if name.ends_with(".dist-info") && !is_left {
        Some("METADATA")
    } else if (name.ends_with(".egg-info") && !is_left) || name == "EGG-INFO" {
        Some("PKG-INFO")
    } else if above == "var/lib/pacman/local" {
        Some("desc")
    } else if above
        .strip_prefix("var/db/pkg/")
        .is_some_and(|category| !category.contains('/'))
    {
        Some("PF")
    } else if name == "composer" && above.rsplit('/').next() == Some("vendor") {
        Some("installed.json")
    } else {
        None
    }
}

/// The directory of an installed gem that a file is in, and where RubyGems describes it:
/// `…/gems/name-1.0`.
pub fn gem_of(path: &str) -> Option<(&str, [String; 2])> {
    let at = path.rfind("/gems/")?;
    let (home, inside) = (&path[..at], &path[at + "/gems/".len()..]);
    let (name, _) = inside.split_once('/')?;
    // Bundler's are clones of repositories.
    if !is_versioned(name) || home.ends_with("/bundler") {
        return None;
    }
    let file = |place: &str| format!("{home}/{place}/{name}.gemspec");
    let described = [file("specifications"), file("specifications/default")];
    Some((&path[..at + "/gems/".len() + name.len()], described))
}

/// `name-1.0`
fn is_versioned(name: &str) -> bool {
    let mut dashes = name.match_indices('-');
    dashes.any(|(at, _)| name[at + 1..].starts_with(|c: char| c.is_ascii_digit()))
}

/// The directory of the installed module of npm that a program is in, at any depth.
pub fn module_of(path: &str) -> Option<&str> {
    const MODULES: &str = "node_modules/";
    let (_, ending) = path.rsplit_once('.')?;
    if !matches!(ending, "js" | "cjs" | "mjs" | "node" | "wasm") {
        return None;
    }
    let at = path.rfind(MODULES)? + MODULES.len();
    if !(path[..at - MODULES.len()].is_empty() || path[..at - MODULES.len()].ends_with('/')) {
        return None;
    }
    let inside = &path[at..];
    let depth = if inside.starts_with('@') { 2 } else { 1 };
    let (end, _) = inside.match_indices('/').nth(depth - 1)?;
    // What tools keep there: `.bin`, `.cache`, `.pnpm`.
    (!inside.starts_with('.')).then_some(&path[..at + end])
}

/// Signs of a distribution: where they stand, and no package of one is known, what it
/// installed was removed from its database.
pub const SIGNS: [&str; 9] = [
    "etc/debian_version",
    "etc/alpine-release",
    "etc/redhat-release",
    "var/lib/dpkg/info",
    "usr/bin/dpkg",
    "sbin/apk",
    "usr/sbin/apk",
    "usr/bin/rpm",
    "usr/bin/pacman",
];

/// Where package managers install for which nobody publishes advisories, and their names.
pub const FOREIGN: [(&str, &str); 10] = [
    ("nix/store", "Nix"),
    ("gnu/store", "Guix"),
    ("home/linuxbrew/.linuxbrew/Cellar", "Homebrew"),
    ("opt/homebrew/Cellar", "Homebrew"),
    ("var/db/xbps", "xbps"),
    ("var/lib/pkgtools/packages", "Slackware"),
    ("var/lib/eopkg/package", "eopkg"),
    ("usr/share/clear/bundles", "swupd"),
    ("var/lib/snapd/snaps", "snapd"),
    ("var/lib/flatpak/app", "Flatpak"),
];

/// Whether a file is the database of a distribution in a directory that is a root of its own
/// (`opt/rootfs/var/lib/dpkg/status`).
pub fn is_of_another_root(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or_default();
    let is_named = matches!(
        name,
        "status" | "installed" | "installed.adb" | "rpmdb.sqlite" | "Packages.db" | "Packages"
    );
    let mut parts = path.match_indices('/');
    let is_database = |inside| by_place(inside).is_some_and(Reading::is_database);
    is_named && by_place(path).is_none() && parts.any(|(at, _)| is_database(&path[at + 1..]))
}

/// The package of which dpkg keeps this list of files: `libc6` of `…/info/libc6:amd64.list`.
pub fn package_of_list(path: &str) -> Option<&str> {
    let list = path
        .strip_prefix("var/lib/dpkg/info/")?
        .strip_suffix(".list")?;
    list.split(':').next()
}

/// `…/node_modules/name` or `…/node_modules/@scope/name`.
fn is_installed_module(directory: &str) -> bool {
    let mut parts = directory.rsplit('/');
    let (_name, parent) = (parts.next(), parts.next());
    match parent {
        Some("node_modules") => true,
        Some(scope) if scope.starts_with('@') => parts.next() == Some("node_modules"),
        _ => false,
    }
}
