//! Dockerfiles by a grammar, for builders to be compared with: small, mostly right, and full of
//! what the reference says in passing.
//!
//! It leaves out what other builders are known to do otherwise and no text shows: links where
//! something is copied to, special bits, VOLUME.

use std::os::unix::fs::symlink;
use std::path::Path;

use crate::ground::images::path;
use crate::ground::{run, write};

/// xorshift64*: good enough to mix, the same everywhere.
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Dice {
        // Neighbors must not begin alike, and zero would stay zero.
        let mut dice = Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
        for _ in 0..8 {
            dice.next();
        }
        dice
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() >> 33) as usize % end
    }

    /// Once in so many times.
    fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    fn of<'a>(&mut self, list: &[&'a str]) -> &'a str {
        list[self.below(list.len())]
    }

    fn some(&mut self, list: &[&str], most: usize) -> Vec<String> {
        let count = 1 + self.below(most);
        (0..count).map(|_| self.of(list).to_string()).collect()
    }
}

/// A Dockerfile as its lines, and an ignore file.
pub struct Sample {
    pub lines: Vec<String>,
    pub ignore: String,
}

const NAMES: [&str; 5] = ["A", "B", "C", "D", "LONG_name2"];

const WORDS: [&str; 34] = [
    "plain",
    "a-b.c",
    "é",
    "1",
    "$A",
    "${A}",
    "${B}",
    "$C/x",
    "x$A.y",
    "${A}${B}",
    "${A:-d}",
    "${A-d}",
    "${N:-$A}",
    "${A:+s}",
    "${N:+s}",
    "${N:-}",
    "\"q $A\"",
    "\"$A\"\"$B\"",
    "'$A'",
    "'a b'",
    "a\\ b",
    "\\$A",
    "\"\\$A\"",
    "\"a\\\"b\"",
    "'a\"b'",
    "a'b'c",
    "\"\"",
    "$LONG_name2",
    "${LONG_name2}x",
    "a=b",
    "a\\\\b",
    "\"a\\\\b\"",
    "${N:-\"$A\"}",
    "$A$B$C",
];

const SOURCES: [&str; 22] = [
    "a", "./a", "/a", "b.txt", "run.sh", "d", "d/", "d/x", "./d/.", "d/e", "d/*", "d/?", "*.txt",
    "[ab]*", "d*", "l", "dl", "dl/x", ".", "empty", ".hidden", "$S",
];

const DESTINATIONS: [&str; 20] = [
    "/x/",
    "/y/",
    "/deep/er/",
    "/tmp/",
    "/",
    "./",
    ".",
    "rel/",
    "rel/more/",
    "/etc/",
    "/x",
    "/y",
    "/deep/f",
    "rel",
    "$D/",
    "${D}/in/",
    "/a/../b/",
    "/x//y/",
    "/tmp",
    "../up/",
];

const RUNS: [&str; 18] = [
    "echo \"$A|$B|$C\" > /tmp/seen",
    "pwd > /tmp/pwd",
    "id -u > /tmp/id; id -g >> /tmp/id",
    "mkdir -p -m 700 /made/in && echo 1 > /made/in/f",
    "rm -rf /opt",
    "rm -f /etc/os-release",
    "touch /tmp/t && chmod 4755 /tmp/t",
    "mkdir -p /x && echo run > /x/run",
    "mkdir -p /x/y && rm -rf /x && mkdir /x && echo 2 > /x/2",
    "echo more >> /etc/passwd-more",
    "chown 3:4 /tmp",
    "umask 077; echo secret > /tmp/umask",
    "echo a; echo b > /tmp/b && mv /tmp/b /tmp/c",
    "ls -A / > /dev/null",
    "echo \"$HOME\" > /tmp/home",
    "[ -f /etc/passwd ] && echo yes > /tmp/yes",
    "printf '%s|' \"a  b\"   c > /tmp/printf",
    "echo $0 > /tmp/zero",
];

impl Sample {
    pub fn new(seed: u64) -> Sample {
        let dice = &mut Dice::new(seed);
        let mut lines = Vec::new();
        if dice.once_in(4) {
            lines.push(format!("ARG A={}", dice.of(&["global", "'g l'", "$N"])));
        }
        let stages = 1 + dice.below(3);
        for stage in 0..stages {
            let base = match stage {
                _ if stage > 0 && dice.once_in(3) => format!("s{}", dice.below(stage)),
                _ => dice.of(&["scratch", "busybox", "busybox"]).to_string(),
            };
            lines.push(format!("FROM {base} AS s{stage}"));
            // What RUN needs may come from another stage; what fails in both builders costs time only.
            let may_run = base != "scratch";
            for _ in 0..2 + dice.below(7) {
                let line = instruction(dice, stage, may_run);
                let line = spelled(dice, line);
                lines.push(line);
            }
        }
        let patterns = dice.some(
            &[
                "*.md", "d/e", "!d/e/z", "**/x", "d/*", "!d/x", "# a", "/b.txt", "e*y", "none",
            ],
            3,
        );
        let ignore = match dice.once_in(3) {
            true => patterns.join("\n") + "\n",
            false => String::new(),
        };
        Sample { lines, ignore }
    }

    pub fn text(&self) -> String {
        self.lines.join("\n") + "\n"
    }

    /// The Dockerfile, and the context that is the same for all.
    pub fn lay_out(&self, place: &Path) {
        write(place, "Dockerfile", self.text());
        let context = place.join("context");
        for (name, content) in [
            ("a", "a\n"),
            ("b.txt", "b\n"),
            ("run.sh", "#!/bin/sh\n"),
            ("with space", "s\n"),
            (".hidden", "h\n"),
            ("d/x", "x\n"),
            ("d/y.txt", "y\n"),
            ("d/e/z", "z\n"),
            ("d/.dot", ""),
            ("read.md", "m\n"),
            ("packed/1", "1\n"),
            ("packed/sub/2", "2\n"),
        ] {
            write(&context, name, content);
        }
        let script = "cd \"$1\" && tar --owner=0 --group=0 --mtime=@1 -czf t.tgz -C packed 1 sub && rm -r packed \
            && mkdir empty && chmod -R u=rwX,go=rX . && chmod 755 run.sh && chmod 600 b.txt && chmod 750 d/e && chmod 700 empty";
        run("sh", &["-euc", script, "context", path(&context)]);
        symlink("a", context.join("l")).unwrap();
        symlink("d", context.join("dl")).unwrap();
        symlink("nowhere", context.join("d/broken")).unwrap();
        if !self.ignore.is_empty() {
            write(&context, ".dockerignore", &self.ignore);
        }
    }
}

fn pairs(dice: &mut Dice) -> String {
    let count = 1 + dice.below(3);
    let pair = |dice: &mut Dice| format!("{}={}", dice.of(&NAMES), dice.of(&WORDS));
    let pairs: Vec<String> = (0..count).map(|_| pair(dice)).collect();
    pairs.join(" ")
}

fn instruction(dice: &mut Dice, stage: usize, may_run: bool) -> String {
    match dice.below(if may_run { 26 } else { 20 }) {
        0 | 1 => format!("ENV {}", pairs(dice)),
        2 => format!("ENV {} {} $A", dice.of(&NAMES), dice.of(&WORDS)),
        3 => format!("ARG {}", dice.of(&NAMES)),
        4 => format!("ARG {}={}", dice.of(&NAMES), dice.of(&WORDS)),
        5 => format!("LABEL {}", pairs(dice)),
        6 => format!(
            "LABEL \"k $A\"={} l.{}={}",
            dice.of(&WORDS),
            dice.of(&NAMES),
            dice.of(&WORDS)
        ),
        7 => format!(
            "EXPOSE {}",
            dice.some(&["80", "81/udp", "80/tcp", "${P:-90}", "443"], 3)
                .join(" ")
        ),
        8 => format!(
            "WORKDIR {}",
            dice.of(&[
                "/w",
                "rel",
                "/w/../v",
                "$D",
                "${D:-/d}/x",
                "/x y",
                ".",
                "..",
                "/w/",
                "\"/q q\""
            ])
        ),
        9 => command(dice, "CMD"),
        10 => command(dice, "ENTRYPOINT"),
        11 => other(dice),
        12 | 13 => copy(dice, "COPY"),
        14 => copy(dice, "ADD"),
        15 => format!(
            "ADD t.tgz {}",
            dice.of(&["/packed/", "/tmp/", "/", "/x/y", "rel/"])
        ),
        16 => format!(
            "COPY [\"with space\", \"a\", \"{}\"]",
            dice.of(&["/json dir/", "/x/", "$D/"])
        ),
        17 if stage > 0 => copy_from(dice, stage),
        17 => copy(dice, "COPY"),
        18 => format!(
            "ENV D={} S={}",
            dice.of(&["/dir", "dir", "/d/e"]),
            dice.of(&["a", "d", "d/x", "*.txt"])
        ),
        19 => format!(
            "USER {}",
            dice.of(&["0", "1000", "1000:50", "0:0", "root", "7:8"])
        ),
        20 if dice.once_in(2) => format!(
            "USER {}",
            dice.of(&["user", "user:staff", "root:staff", "${U:-user}"])
        ),
        21 => {
            let words: Vec<String> = dice
                .of(&["echo a>/tmp/exec", "touch /tmp/exec", "mkdir -p /e/x"])
                .split(' ')
                .map(|w| format!("\"{w}\""))
                .collect();
            format!("RUN [{}]", words.join(", "))
        }
        _ => format!("RUN {}", dice.of(&RUNS)),
    }
}

fn command(dice: &mut Dice, name: &str) -> String {
    let rest = dice.of(&[
        "[\"a\", \"b c\"]",
        "[]",
        "run $A  two",
        "[\"$A\"]",
        "[ \"x\" , \"y\" ]",
        "[not json]",
        "exec a \"b\"",
        "[\"é\\n\"]",
    ]);
    format!("{name} {rest}")
}

fn other(dice: &mut Dice) -> String {
    dice.of(&[
        "STOPSIGNAL SIGTERM",
        "STOPSIGNAL 9",
        "STOPSIGNAL ${X:-SIGINT}",
        "HEALTHCHECK NONE",
        "HEALTHCHECK CMD a b",
        "HEALTHCHECK --interval=1m30s --retries=2 CMD [\"a\", \"$A\"]",
        "HEALTHCHECK --timeout=5s --start-period=1m CMD a || exit 1",
        "SHELL [\"/bin/sh\", \"-c\"]",
        "ONBUILD LABEL from=trigger",
        "ONBUILD ENV T=$A",
        "ONBUILD COPY a /triggered/",
        "ONBUILD WORKDIR /t",
        "MAINTAINER some  body $A",
    ])
    .to_string()
}

fn owner(dice: &mut Dice) -> String {
    match dice.below(4) {
        0 => format!(
            "--chown={} ",
            dice.of(&["1:2", "5", "0", "${O:-6}:7", "user", "user:staff"])
        ),
        1 => format!("--chmod={} ", dice.of(&["640", "0755", "700"])),
        _ => String::new(),
    }
}

fn copy(dice: &mut Dice, name: &str) -> String {
    let flags = owner(dice);
    let most = if dice.once_in(3) { 3 } else { 1 };
    let sources = dice.some(&SOURCES, most);
    format!(
        "{name} {flags}{} {}",
        sources.join(" "),
        dice.of(&DESTINATIONS)
    )
}

fn copy_from(dice: &mut Dice, stage: usize) -> String {
    let from = match dice.once_in(4) {
        true => format!("{}", dice.below(stage)),
        false => format!("s{}", dice.below(stage)),
    };
    let flags = owner(dice);
    let source = dice.of(&[
        "/x",
        "/tmp",
        "/etc/os-release",
        "/etc",
        "/y/",
        "tmp/",
        "/deep",
        "/x/.",
        "/t*",
        "/e*/os-release",
    ]);
    format!(
        "COPY --from={from} {flags}{source} {}",
        dice.of(&DESTINATIONS)
    )
}

/// The same instruction in another spelling.
fn spelled(dice: &mut Dice, line: String) -> String {
    let (name, rest) = line.split_once(' ').unwrap();
    match dice.below(16) {
        0 => format!("{} {rest}", name.to_lowercase()),
        1 => format!("{name}    {rest}  "),
        2 => format!("{name} \\\n  {rest}"),
        3 => format!("# a comment\n\n{line}"),
        4 => format!("{name} \\\n# in between\n  {rest}"),
        5 => format!("  {line}"),
        _ => line,
    }
}
