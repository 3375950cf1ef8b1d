//! Which plugin we stand in for. The family decides what a name means:
//! `DOCKER_REGISTRY` is the base image's registry for kaniko, the push registry
//! for buildx and buildah.

/// The builder whose plugin is replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Family {
    Kaniko,
    Buildx,
    Buildah,
}

impl Family {
    pub fn word(self) -> &'static str {
        match self {
            Family::Kaniko => "kaniko",
            Family::Buildx => "buildx",
            Family::Buildah => "buildah",
        }
    }
}

/// The registry that a plugin was made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cloud {
    Docker,
    Ecr,
    Gcr,
    Gar,
    Acr,
    Heroku,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EntryPoint {
    pub family: Family,
    pub cloud: Cloud,
}

/// Names under which the plugins' binaries are called, and what they are.
const NAMES: [(&str, Family, Cloud); 15] = [
    ("kaniko-docker", Family::Kaniko, Cloud::Docker),
    ("kaniko-ecr", Family::Kaniko, Cloud::Ecr),
    ("kaniko-gcr", Family::Kaniko, Cloud::Gcr),
    ("kaniko-gar", Family::Kaniko, Cloud::Gar),
    ("kaniko-acr", Family::Kaniko, Cloud::Acr),
    ("drone-docker", Family::Buildx, Cloud::Docker),
    ("drone-ecr", Family::Buildx, Cloud::Ecr),
    ("drone-gcr", Family::Buildx, Cloud::Gcr),
    ("drone-gar", Family::Buildx, Cloud::Gar),
    ("drone-acr", Family::Buildx, Cloud::Acr),
    ("drone-heroku", Family::Buildx, Cloud::Heroku),
    ("drone-buildah", Family::Buildah, Cloud::Docker),
    ("buildah-docker", Family::Buildah, Cloud::Docker),
    ("buildah-ecr", Family::Buildah, Cloud::Ecr),
    ("buildah-gcr", Family::Buildah, Cloud::Gcr),
];

/// The image's own entry script in the buildx plugins; the name comes after it.
const ENTRY_SCRIPT: &str = "dockerd-entrypoint.sh";

impl EntryPoint {
    /// The plugin of this name, with or without folders before it:
    /// `kaniko-docker`, `/bin/drone-ecr`, `plugins/buildah-docker`.
    pub fn named(name: &str) -> Option<EntryPoint> {
        let name = name.rsplit('/').next().unwrap_or(name);
        let name = name
            .strip_prefix("buildx-")
            .map_or_else(|| name.to_string(), |cloud| format!("drone-{cloud}"));
        NAMES
            .iter()
            .find(|(n, ..)| *n == name)
            .map(|&(_, family, cloud)| EntryPoint { family, cloud })
    }

    /// The plugin that `argv[0]`, and for the entry script the argument after it, names.
    pub fn called(argv: &[String]) -> Option<EntryPoint> {
        let program = argv.first()?;
        if program.rsplit('/').next() == Some(ENTRY_SCRIPT) {
            return argv.get(1).and_then(|name| EntryPoint::named(name));
        }
        EntryPoint::named(program)
    }

    /// Every name, for messages.
    pub fn names() -> impl Iterator<Item = &'static str> {
        NAMES.iter().map(|(name, ..)| *name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_that_pipelines_call_finds_its_plugin() {
        for (path, family, cloud) in [
            ("/kaniko/kaniko-docker", Family::Kaniko, Cloud::Docker),
            ("/kaniko/kaniko-gar", Family::Kaniko, Cloud::Gar),
            ("/bin/drone-ecr", Family::Buildx, Cloud::Ecr),
            ("plugins/buildah-docker", Family::Buildah, Cloud::Docker),
            ("buildx-acr", Family::Buildx, Cloud::Acr),
        ] {
            assert_eq!(
                EntryPoint::named(path),
                Some(EntryPoint { family, cloud }),
                "{path}"
            );
        }
        assert_eq!(EntryPoint::named("imgmake"), None);
    }

    #[test]
    fn the_entry_script_takes_the_name_from_its_argument() {
        let argv = [
            "/usr/local/bin/dockerd-entrypoint.sh".to_string(),
            "/bin/drone-docker".to_string(),
        ];
        assert_eq!(EntryPoint::called(&argv).unwrap().family, Family::Buildx);
        assert_eq!(EntryPoint::called(&argv[..1]), None);
    }
}
