//! Parser, expansion, lint and ignore rules: `cargo bench -p imgmake-dockerfile`.

use std::collections::BTreeMap;
use std::fmt::Write;

use imgmake_dockerfile::ignore::{Ignore, Parent};
use imgmake_dockerfile::lint::{Facts, lint};
use imgmake_dockerfile::words::expand as expand_word;
use imgmake_dockerfile::{Dockerfile, Escape};

fn main() {
    divan::main();
}

/// As long as the longest of well-known projects: 40 stages of 12 instructions.
fn long() -> String {
    let mut text = String::from("# syntax=docker/dockerfile:1\nARG VERSION=1.2\n");
    for stage in 0..40 {
        write!(
            text,
            "FROM registry.example.com/base:${{VERSION}} AS stage{stage}\n\
             ARG TARGETARCH\n\
             ENV PATH=/opt/${{TARGETARCH:-amd64}}/bin:$PATH LANG=C.UTF-8\n\
             WORKDIR /work/{stage}\n\
             COPY --chown=1000:1000 --chmod=0644 go.mod go.sum ./\n\
             RUN --mount=type=cache,target=/root/.cache,sharing=locked \\\n\
             \x20   --mount=type=secret,id=token \\\n\
             \x20   set -eux; \\\n\
             \x20   make all && make install\n\
             COPY <<EOF /etc/one.conf\nfirst ${{VERSION}}\nsecond\nEOF\n\
             LABEL org.opencontainers.image.version=\"${{VERSION}}\" stage=\"{stage}\"\n\
             EXPOSE 80/tcp 443\n\
             USER 1000\n\
             HEALTHCHECK --interval=30s CMD curl -f http://localhost/\n\
             ENTRYPOINT [\"/usr/bin/tini\", \"--\", \"/app\"]\n"
        )
        .expect("a string can be written to");
    }
    text
}

#[divan::bench]
fn parse(bencher: divan::Bencher<'_, '_>) {
    let text = long();
    bencher
        .counter(divan::counter::BytesCount::of_str(&text))
        .bench(|| Dockerfile::parse(text.as_bytes()));
}

#[divan::bench]
fn lint_all(bencher: divan::Bencher<'_, '_>) {
    let file = Dockerfile::parse(long().as_bytes()).expect("it is valid");
    bencher.bench(|| lint(&file, &Facts::default()));
}

/// Each path of 10,000 is asked about as a walk does: with what its directory's verdict was.
#[divan::bench]
fn ignore(bencher: divan::Bencher<'_, '_>) {
    let rules = Ignore::parse("**/node_modules\n*.log\n!keep.log\n/target\ndocs/**/*.md\n")
        .expect("the rules are valid");
    let paths: Vec<String> = (0..10_000).map(|at| format!("source{}.rs", at)).collect();
    let parent = Parent::default();
    bencher
        .counter(divan::counter::ItemsCount::new(paths.len()))
        .bench(|| {
            paths
                .iter()
                .filter(|path| rules.verdict_in(path, &parent).is_hidden())
                .count()
        });
}

#[divan::bench]
fn expand(bencher: divan::Bencher<'_, '_>) {
    let values: BTreeMap<String, String> = (0..50)
        .map(|at| (format!("NAME{at}"), format!("value {at}")))
        .collect();
    let text = "/opt/${NAME1}/${NAME2:-none}/${NAME3%%e*}/$NAME4/${ABSENT:+set}";
    bencher.bench(|| {
        expand_word(
            text,
            &|name: &str| values.get(name).cloned(),
            Escape::Backslash,
        )
    });
}
