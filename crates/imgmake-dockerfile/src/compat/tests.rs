//! Each row of the table: a Dockerfile in which it shows, and one in which it does not.

use std::collections::{BTreeMap, BTreeSet};

use super::sight::Sight;
use super::{Asked, Builder, Difference, Shown, Version, compare};
use crate::Dockerfile;

/// A row, lines after `FROM busybox AS base` in which it shows, and the same where it does not.
const SHOWN: &[(&str, &str, &str)] = &[
    ("arg-after-env", "ENV V=1\nARG V=2", "ARG V=2\nENV V=1"),
    ("arg-without-value", "ARG V=1\nARG V", "ARG V\nARG W"),
    (
        "arg-of-base-stage",
        "ARG V=1\nFROM base\nRUN echo ${V}",
        "ARG V=1\nFROM base\nARG V\nRUN echo $V",
    ),
    (
        "escape-in-words",
        "#escape=`\nFROM busybox\nENV P=C:\\x",
        "#escape=`\nFROM busybox\nENV P=C:/x",
    ),
    (
        "directive-in-capitals",
        "# Escape=`\nFROM busybox",
        "# escape=`\nFROM busybox",
    ),
    (
        "patterns-in-variables",
        "ENV V=a W=${V#a}",
        "ENV V=a W='${V#a}'",
    ),
    ("forms-without-colon", "LABEL l=${A-b}", "LABEL l=${A:-b}"),
    ("shell-parameters", "LABEL l=$1", "LABEL l=\\$1"),
    ("stage-name-case", "FROM BASE", "FROM base"),
    (
        "stage-name-in-capitals",
        "FROM BASE",
        "FROM busybox AS Other\nFROM other",
    ),
    (
        "wildcard-below-nothing",
        "COPY a/*.jar /app/",
        "COPY ./*.jar /app/",
    ),
    ("wildcard-escaped", "COPY a\\\\* /app/", "COPY a* /app/"),
    (
        "attributes-through-chown",
        "COPY --from=base --chown=1 a /a",
        "COPY --from=base a /a",
    ),
    ("same-size-and-time", "COPY --link a a", "COPY a a"),
    (
        "mount-from-number",
        "FROM busybox\nRUN --mount=from=0,target=/c a",
        "FROM busybox\nRUN --mount=from=base,target=/c a",
    ),
    (
        "cache-mount-mode",
        "RUN --mount=type=cache,target=/c,mode=1777 a",
        "RUN --mount=type=cache,target=/c,mode=0777 a",
    ),
    ("mknod", "RUN mknod /n c 1 3", "RUN mkdir /n"),
    ("agent-that-is-absent", "RUN --mount=type=ssh a", "RUN a"),
    (
        "stage-name-twice",
        "FROM busybox AS base\nFROM base",
        "FROM busybox AS other\nFROM base",
    ),
    ("unneeded-stages", "FROM busybox", "FROM base"),
    (
        "stage-of-a-trigger",
        "ONBUILD COPY --from=base a a",
        "ONBUILD COPY a a",
    ),
    ("targetstage", "ARG TARGETSTAGE", "ARG TARGETARCH"),
    (
        "syntax-directive",
        "# syntax=a/b\nFROM busybox",
        "# syntax is free\nFROM busybox",
    ),
    ("heredocs", "COPY <<A /a\nA", "COPY A /a"),
    ("heredoc-details", "COPY <<A /a\nA", "COPY <<A /a\nb\nA"),
    (
        "chmod-of-new-directories",
        "ADD --chmod=600 a b/c",
        "ADD a b/c",
    ),
    (
        "mount-relative-target",
        "RUN --mount=target=c a",
        "RUN --mount=type=secret,id=s,target=c --mount=target=/c a",
    ),
    (
        "mount-flag-values",
        "RUN --mount=target=/c,ro=true a",
        "RUN --mount=target=/c,ro a",
    ),
    (
        "ignored-files-in-mounts",
        "RUN --mount=target=/c a",
        "RUN --mount=from=busybox,target=/c a",
    ),
    (
        "stage-names-unique",
        "FROM busybox AS BASE",
        "FROM busybox AS other",
    ),
    (
        "platform-from-an-argument",
        "FROM --platform=$BUILDPLATFORM busybox",
        "FROM --platform=linux/amd64 busybox",
    ),
    (
        "nothing-but-from",
        "FROM scratch\nENV A=b",
        "FROM scratch\nWORKDIR /a",
    ),
    (
        "owner-of-workdir",
        "USER 5\nWORKDIR /w",
        "USER root\nWORKDIR /w",
    ),
    ("workdir-alone", "WORKDIR /w\nENV A=b", "WORKDIR /w\nRUN a"),
    (
        "workdir-alone",
        "WORKDIR /w\nWORKDIR /x\nRUN a",
        "WORKDIR /w\nWORKDIR x\nRUN a",
    ),
    (
        "workdir-alone",
        "USER 5\nWORKDIR /w\nUSER 6\nCOPY a a",
        "USER 5\nWORKDIR /w\nCOPY a a",
    ),
    (
        "workdir-alone",
        "WORKDIR /w\nONBUILD RUN a",
        "ONBUILD WORKDIR /w\nRUN a",
    ),
    (
        "workdir-alone",
        "WORKDIR /w\nFROM base\nRUN a",
        "WORKDIR /w\nRUN a\nFROM base",
    ),
    ("destination-above-the-root", "COPY a /../b", "COPY a /a..b"),
    ("workdir-with-dots", "WORKDIR /a/../b", "WORKDIR /a/b"),
    ("copy-link", "COPY --link a a", "COPY --link=false a a"),
    ("copy-parents", "COPY --parents a a", "COPY a a"),
    ("copy-exclude", "ADD --exclude=b a a", "ADD a a"),
    ("copy-chmod", "COPY --chmod=600 a a", "COPY --chown=600 a a"),
    (
        "symbolic-chmod",
        "COPY --chmod=u+x a a",
        "COPY --chmod=0755 a a",
    ),
    (
        "add-checksum",
        "ADD --checksum=sha256:67948dd9afd6afe5043b0029d5aa7cf0f8b2824baf16f4f097d40d830edb686d https://a.example/b b",
        "ADD https://a.example/b b",
    ),
    (
        "add-keep-git-dir",
        "ADD --keep-git-dir=true https://a.example/b.git b",
        "ADD https://a.example/b.git b",
    ),
    ("add-unpack", "ADD --unpack=false a b", "ADD a b"),
    (
        "add-git",
        "ARG R=https://a.example/b.git\nADD $R#v1 b",
        "ADD https://a.example/b.tar b",
    ),
    (
        "archive-chown",
        "ADD --chown=1 a.tar b",
        "ADD --chown=1 https://a.example/a.tar b",
    ),
    ("archive-root", "ADD a b", "COPY a b"),
    (
        "several-sources-one-file",
        "COPY a b c",
        "ARG D=c/\nCOPY a b $D",
    ),
    (
        "wildcard-without-match",
        "COPY *.jar /app/",
        "COPY a.jar /app/",
    ),
    ("wildcard-class", "COPY [^a] /app/", "COPY [a-c] /app/"),
    ("run-mount", "RUN --mount=type=secret,id=s a", "RUN a"),
    ("mount-points-left", "RUN --mount=target=/c a", "RUN a"),
    (
        "bind-mount-writes",
        "RUN --mount=target=/c,rw a",
        "RUN --mount=type=cache,target=/c,rw a",
    ),
    (
        "mount-without-target",
        "RUN --mount=type=cache,id=c a",
        "RUN --mount=type=secret,id=c a",
    ),
    (
        "cache-mounts-of-one-id",
        "RUN --mount=type=cache,target=/c a\nRUN --mount=type=cache,target=/d,id=/c,uid=5 a",
        "RUN --mount=type=cache,target=/c,uid=5 a\nRUN --mount=type=cache,target=/c,uid=5 a",
    ),
    (
        "cache-mount-private",
        "RUN --mount=type=cache,target=/c,sharing=private a",
        "RUN --mount=type=cache,target=/c,sharing=locked a",
    ),
    (
        "secret-as-variable",
        "RUN --mount=type=secret,id=s,env=S a",
        "RUN --mount=type=secret,id=s a",
    ),
    (
        "tmpfs-size",
        "RUN --mount=type=tmpfs,target=/t,size=1m a",
        "RUN --mount=type=tmpfs,target=/t a",
    ),
    ("run-is-mounted", "RUN echo > /run/x", "RUN echo > /running"),
    ("proxy-spellings", "ARG HTTPS_PROXY", "ARG PROXY"),
    (
        "run-network",
        "RUN --network=none a",
        "RUN --network=default a",
    ),
    (
        "run-security",
        "RUN --security=insecure a",
        "RUN --security=sandbox a",
    ),
    (
        "unknown-owner",
        "COPY --chown=app:1 a /b",
        "COPY --chown=1:1 a /b",
    ),
    (
        "hosts-of-a-stage",
        "RUN a\nFROM scratch\nCOPY --from=base /etc/ /e/",
        "RUN a\nFROM scratch\nCOPY --from=base /opt /e/",
    ),
];

/// The rest, by the same rules.
const SHOWN_IN_CONFIGS: &[(&str, &str, &str)] = &[
    ("volume-makes-a-directory", "VOLUME /v", "RUN mkdir /v"),
    (
        "changes-below-a-volume",
        "VOLUME /v\nRUN a",
        "RUN a\nVOLUME /v",
    ),
    ("expose-range", "EXPOSE 1-2", "EXPOSE 1"),
    ("expose-protocol-case", "EXPOSE 1/TCP", "EXPOSE 1/tcp"),
    ("expose-address", "EXPOSE 127.0.0.1:1:1", "EXPOSE 1"),
    (
        "expose-other-protocol",
        "EXPOSE 1/udp\nFROM base\nEXPOSE 1/tcp",
        "EXPOSE 1/tcp\nFROM base\nEXPOSE 1",
    ),
    (
        "shell-of-commands",
        "SHELL [\"a\"]\nCMD b",
        "SHELL [\"a\"]\nCMD [\"b\"]",
    ),
    (
        "healthcheck-start-interval",
        "HEALTHCHECK --start-interval=1s CMD a",
        "HEALTHCHECK --interval=1s CMD a",
    ),
    (
        "healthcheck-zero",
        "HEALTHCHECK --timeout=0s CMD a",
        "HEALTHCHECK --timeout=1s CMD a",
    ),
    ("maintainer", "MAINTAINER a", "LABEL maintainer=a"),
];

/// Rows found in a file. Lines of their own follow a first stage; what brings directives is a whole file.
fn found(lines: &str) -> BTreeSet<&'static str> {
    let text = match lines.starts_with('#') {
        true => format!("{lines}\n"),
        false => format!("FROM busybox AS base\n{lines}\n"),
    };
    let file = Dockerfile::parse(text.as_bytes()).unwrap_or_else(|e| panic!("{text}{e}"));
    let args = BTreeMap::new();
    let asked = Asked {
        args: &args,
        stage: None,
    };
    let findings = compare(&file, text.as_bytes(), &asked, &Builder::ALL);
    for finding in &findings {
        let lines = text.lines().count();
        assert!((1..=lines).contains(&finding.place.line), "{text}");
    }
    findings.iter().map(|f| f.difference.name).collect()
}

fn shown() -> impl Iterator<Item = &'static (&'static str, &'static str, &'static str)> {
    SHOWN.iter().chain(SHOWN_IN_CONFIGS)
}

#[test]
fn each_row_is_found_where_it_shows_and_nowhere_else() {
    for (name, breaks, keeps) in shown() {
        assert!(Difference::named(name).is_some(), "no row `{name}`");
        assert!(
            found(breaks).contains(name),
            "`{name}` is not found:\n{breaks}"
        );
        assert!(!found(keeps).contains(name), "`{name}` is found:\n{keeps}");
    }
}

#[test]
fn every_row_that_shows_is_tried_and_every_name_stands_once() {
    let tried: BTreeSet<&str> = shown().map(|(name, ..)| *name).collect();
    let mut names = BTreeSet::new();
    for row in Difference::all() {
        assert!(names.insert(row.name), "duplicate `{}`", row.name);
        let never = matches!(row.shown, Shown::Never);
        assert_eq!(tried.contains(row.name), !never, "{}", row.name);
        assert!(!row.elsewhere.is_empty(), "{}", row.name);
        for other in row.elsewhere {
            let known = other.until.is_none_or(|v| Version::parse(v).is_some());
            assert!(known, "{}: {:?}", row.name, other.until);
        }
    }
}

#[test]
fn only_the_builders_that_are_asked_for_count() {
    let text = b"FROM busybox\nMAINTAINER a\n";
    let file = Dockerfile::parse(text).unwrap();
    let args = BTreeMap::new();
    let asked = Asked {
        args: &args,
        stage: None,
    };
    let by = |builder| compare(&file, text, &asked, &[builder]).len();
    assert_eq!((by(Builder::Kaniko), by(Builder::Buildah)), (1, 0));
}

#[test]
fn versions_are_read_from_what_programs_say() {
    let parse = |text| Version::parse(text).map(|v| v.to_string());
    assert_eq!(parse("v0.33.0-dev").as_deref(), Some("0.33.0"));
    assert_eq!(parse("28.5.2+dfsg4").as_deref(), Some("28.5.2"));
    assert_eq!(parse("github.com/moby/buildkit"), None);
    assert_eq!(parse("28"), None);
    assert!(Version::parse("1.28.2") < Version::parse("1.43"));
}

#[test]
fn of_an_env_and_an_arg_the_later_one_with_a_value_counts() {
    let text = "ARG G=global\nFROM a AS base\nENV A=env B=env C=env\nARG A=arg\nARG B\nARG G\nENV C=later\nLABEL x=y\n\
        FROM base\nENV A=again\nLABEL x=y\n";
    let file = Dockerfile::parse(text.as_bytes()).unwrap();
    let args = BTreeMap::new();
    let asked = Asked {
        args: &args,
        stage: None,
    };
    let sight = Sight::new(&file, text.as_bytes(), &asked);
    let mut labels = sight.steps.iter().filter(|step| step.text == "LABEL x=y");
    let mut seen = || {
        let scope = &labels.next().unwrap().before;
        ["A", "B", "C", "G"].map(|name| scope.look_up(name).unwrap_or_default())
    };
    assert_eq!(seen(), ["arg", "env", "later", "global"]);
    assert_eq!(seen(), ["again", "env", "later", "global"]);
}
