//! Platforms, `os/architecture[/variant]`, normalized as containerd does.

use std::fmt;
use std::str::FromStr;

/// OCI `platform` of a descriptor.
#[derive(
    Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
pub struct Platform {
    pub architecture: String,
    pub os: String,
    #[serde(
        rename = "os.version",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub os_version: Option<String>,
    #[serde(rename = "os.features", default, skip_serializing_if = "Vec::is_empty")]
    pub os_features: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a platform: expected `os/architecture` or `os/architecture/variant`, like `linux/amd64`"
)]
pub struct PlatformError(String);

impl Platform {
    pub fn new(os: &str, architecture: &str, variant: Option<&str>) -> Platform {
        let (architecture, variant) = normalize(architecture, variant.unwrap_or(""));
        Platform {
            architecture,
            os: os.to_ascii_lowercase(),
            os_version: None,
            os_features: Vec::new(),
            variant,
        }
    }

    /// The platform that this program runs on; images are Linux images.
    pub fn host() -> Platform {
        Platform::new("linux", std::env::consts::ARCH, None)
    }

    /// Whether there are such machines, as far as Go knows: of which images are made elsewhere.
    pub fn is_known(&self) -> bool {
        let variant = self.variant.as_deref().unwrap_or("");
        let is_version = |text: &str| {
            let mut parts = text.split('.');
            text.is_empty()
                || parts.all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()))
        };
        let is_variant = match self.architecture.as_str() {
            "amd64" | "arm" | "arm64" => is_version(variant.strip_prefix('v').unwrap_or(variant)),
            _ => true,
        };
        SYSTEMS.contains(&self.os.as_str())
            && ARCHITECTURES.contains(&self.architecture.as_str())
            && is_variant
    }

    /// Whether an image made for `self` serves a request for `wanted`: same
    /// system and architecture, and the same variant once defaults are filled
    /// in (`arm64` is `arm64/v8`, `arm` is `arm/v7`).
    pub fn serves(&self, wanted: &Platform) -> bool {
        let have = Platform::new(&self.os, &self.architecture, self.variant.as_deref());
        let want = Platform::new(&wanted.os, &wanted.architecture, wanted.variant.as_deref());
        have.os == want.os && have.architecture == want.architecture && have.variant == want.variant
    }
}

/// `go tool dist list`, and the systems that only containerd's list has.
const SYSTEMS: [&str; 19] = [
    "aix",
    "android",
    "darwin",
    "dragonfly",
    "freebsd",
    "hurd",
    "illumos",
    "ios",
    "js",
    "linux",
    "nacl",
    "netbsd",
    "openbsd",
    "plan9",
    "solaris",
    "wasi",
    "wasip1",
    "windows",
    "zos",
];

const ARCHITECTURES: [&str; 28] = [
    "386",
    "amd64",
    "amd64p32",
    "arm",
    "arm64",
    "arm64be",
    "armbe",
    "loong64",
    "mips",
    "mips64",
    "mips64le",
    "mips64p32",
    "mips64p32le",
    "mipsle",
    "ppc",
    "ppc64",
    "ppc64le",
    "riscv",
    "riscv64",
    "s390",
    "s390x",
    "sparc",
    "sparc64",
    "wasm",
    "wasm32",
    "wasm64",
    "sw_64",
    "unknown",
];

/// containerd's `normalizeArch`: aliases become Go's names, default variants go.
fn normalize(architecture: &str, variant: &str) -> (String, Option<String>) {
    let architecture = architecture.to_ascii_lowercase();
    let variant = variant.to_ascii_lowercase();
    let (architecture, variant) = match (architecture.as_str(), variant.as_str()) {
        ("i386" | "i686" | "x86", _) => ("386", ""),
        ("x86_64" | "x86-64" | "amd64", "v1" | "") => ("amd64", ""),
        ("x86_64" | "x86-64" | "amd64", v) => ("amd64", v),
        ("aarch64" | "arm64", "8" | "v8" | "") => ("arm64", ""),
        ("aarch64" | "arm64", v) => ("arm64", v),
        ("armhf", _) => ("arm", "v7"),
        ("armel", _) => ("arm", "v6"),
        ("arm", "" | "7") => ("arm", "v7"),
        ("arm", "5") => ("arm", "v5"),
        ("arm", "6") => ("arm", "v6"),
        ("arm", "8") => ("arm", "v8"),
        ("powerpc64le", v) => ("ppc64le", v),
        (a, v) => (a, v),
    };
    (
        architecture.to_string(),
        (!variant.is_empty()).then(|| variant.to_string()),
    )
}

impl FromStr for Platform {
    type Err = PlatformError;

    fn from_str(text: &str) -> Result<Platform, PlatformError> {
        let refused = || PlatformError(text.to_string());
        let parts: Vec<&str> = text.split('/').collect();
        let word = |s: &str| {
            !s.is_empty()
                && s.bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
        };
        if !parts.iter().all(|p| word(p)) {
            return Err(refused());
        }
        match parts[..] {
            [architecture]
                if [
                    "amd64", "arm64", "arm", "386", "ppc64le", "s390x", "riscv64",
                ]
                .contains(&architecture) =>
            {
                Ok(Platform::new("linux", architecture, None))
            }
            [os, architecture] => Ok(Platform::new(os, architecture, None)),
            [os, architecture, variant] => Ok(Platform::new(os, architecture, Some(variant))),
            _ => Err(refused()),
        }
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        match &self.variant {
            Some(variant) => write!(f, "/{variant}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aliases_and_default_variants_are_one_platform() {
        for (text, canonical) in [
            ("linux/x86_64", "linux/amd64"),
            ("linux/arm64/v8", "linux/arm64"),
            ("linux/arm", "linux/arm/v7"),
            ("linux/armel", "linux/arm/v6"),
            ("Linux/AMD64", "linux/amd64"),
            ("arm64", "linux/arm64"),
        ] {
            assert_eq!(text.parse::<Platform>().unwrap().to_string(), canonical);
        }
    }

    #[test]
    fn an_explicit_v8_serves_a_request_without_variant() {
        let mut child = Platform::new("linux", "arm64", None);
        child.variant = Some("v8".into());
        assert!(child.serves(&"linux/arm64".parse().unwrap()));
        assert!(!child.serves(&"linux/amd64".parse().unwrap()));
    }

    #[test]
    fn what_no_machine_has_is_not_known() {
        for (text, known) in [
            ("linux/amd64/v3", true),
            ("linux/arm64/v8.1", true),
            ("windows/amd64", true),
            ("linux/loong64", true),
            ("linux/armm64", false),
            ("linus/amd64", false),
            ("linux/arm/x7", false),
        ] {
            let platform: Platform = text.parse().unwrap();
            assert_eq!(platform.is_known(), known, "{text}");
        }
    }

    #[test]
    fn half_a_platform_is_refused() {
        for text in [
            "",
            "linux",
            "linux/",
            "/amd64",
            "linux/a/b/c",
            "linux/am d64",
        ] {
            assert!(text.parse::<Platform>().is_err(), "{text}");
        }
    }
}
