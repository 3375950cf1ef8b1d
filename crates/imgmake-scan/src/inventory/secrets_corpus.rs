//! A corpus of secrets in their real forms, and of what only looks like one: made anew from a
//! seed, so that no secret is in this file. At least 95 of 100 true ones are reported, and at most
//! one of 100 false ones.

use super::secrets::rules;

const HEX: &[u8] = b"0123456789abcdef";
const LETTERS: &[u8] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
const UPPER: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
const WORD: &[u8] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
const URL: &[u8] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_";
const BASE64: &[u8] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+/";

struct Random(u64);

impl Random {
    fn below(&mut self, most: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % most
    }

    fn of(&mut self, alphabet: &[u8], length: usize) -> String {
        let one = |_| char::from(alphabet[self.below(alphabet.len())]);
        (0..length).map(one).collect()
    }

    fn word(&mut self) -> &'static str {
        const WORDS: [&str; 16] = [
            "access", "token", "service", "provider", "refresh", "client", "handler", "session",
            "secret", "manager", "request", "value", "config", "storage", "default", "user",
        ];
        WORDS[self.below(WORDS.len())]
    }
}

/// A token in each issuer's form.
fn tokens(r: &mut Random) -> Vec<String> {
    vec![
        format!("AKIA{}", r.of(UPPER, 16)),
        format!("aws_secret_access_key={}", r.of(BASE64, 40)),
        format!("AccountKey={}==", r.of(BASE64, 86)),
        format!("{}8Q~{}", r.of(WORD, 3), r.of(WORD, 34)),
        format!("dckr_pat_{}", r.of(URL, 27)),
        format!("ghp_{}", r.of(WORD, 36)),
        format!("github_pat_{}_{}", r.of(WORD, 22), r.of(WORD, 59)),
        format!("glpat-{}", r.of(WORD, 20)),
        format!("AIza{}", r.of(WORD, 35)),
        format!("GOCSPX-{}", r.of(WORD, 28)),
        format!("npm_{}", r.of(WORD, 36)),
        format!("pypi-AgEIcHlwaS5vcmc{}", r.of(URL, 80)),
        format!("rubygems_{}", r.of(HEX, 48)),
        format!("cio{}", r.of(WORD, 32)),
        format!("xoxb-{}-{}", r.of(b"123456789", 12), r.of(WORD, 24)),
        format!(
            "https://hooks.slack.com/services/T{}/B{}/{}",
            r.of(UPPER, 10),
            r.of(UPPER, 10),
            r.of(WORD, 24)
        ),
        format!("sk_live_{}", r.of(WORD, 24)),
        format!("hvs.{}", r.of(WORD, 95)),
        format!("AGE-SECRET-KEY-1{}", r.of(UPPER, 58)),
        format!("SG.{}.{}", r.of(WORD, 22), r.of(WORD, 43)),
        format!("key-{}", r.of(HEX, 32)),
        format!("SK{}", r.of(HEX, 32)),
        format!("{}:AA{}", r.of(b"123456789", 9), r.of(WORD, 33)),
        format!("dop_v1_{}", r.of(HEX, 64)),
        format!("HRKU-AA{}", r.of(WORD, 58)),
        format!("shpat_{}", r.of(HEX, 32)),
        format!("sk-proj-{}T3BlbkFJ{}", r.of(WORD, 20), r.of(WORD, 20)),
        format!("sk-ant-api03-{}", r.of(URL, 93)),
        format!("hf_{}", r.of(LETTERS, 34)),
        format!("dapi{}", r.of(HEX, 32)),
        format!("glsa_{}_{}", r.of(WORD, 32), r.of(HEX, 8)),
        format!("{}.atlasv1.{}", r.of(WORD, 14), r.of(WORD, 67)),
        format!("pul-{}", r.of(HEX, 40)),
        format!("lin_api_{}", r.of(WORD, 40)),
        format!("NRAK-{}", r.of(UPPER, 27)),
        format!("sq0atp-{}", r.of(WORD, 22)),
        format!("sbp_{}", r.of(HEX, 40)),
        format!("pscale_tkn_{}", r.of(WORD, 43)),
        format!("PMAK-{}-{}", r.of(HEX, 24), r.of(HEX, 34)),
        format!("ATATT3{}", r.of(WORD, 180)),
        format!("dp.pt.{}", r.of(WORD, 43)),
        format!(
            "eyJ{}.eyJ{}.{}",
            r.of(URL, 33),
            r.of(URL, 60),
            r.of(WORD, 43)
        ),
        format!("postgres://app:{}@db.internal/app", r.of(WORD, 20)),
        format!("mongodb+srv://app:{}@cluster0.mongodb.net", r.of(WORD, 16)),
    ]
}

/// Passwords in the settings of programs that keep some.
fn password(number: usize, r: &mut Random) -> (String, String) {
    const SIGNS: &[u8] =
        b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!@#%^&*(-_=+)";
    let (word, signs) = (r.of(WORD, 18), r.of(SIGNS, 50));
    let (path, text) = match number % 10 {
        0 => (".env", format!("DJANGO_SECRET_KEY={signs}\n")),
        1 => ("settings.py", format!("SECRET_KEY = \"{signs}\"\n")),
        2 => (
            "application.properties",
            format!("spring.datasource.password={word}\n"),
        ),
        3 => (
            "appsettings.json",
            format!("{{\"Db\":\"Server=db;User Id=sa;Password={word}!;\"}}\n"),
        ),
        4 => (
            "wp-config.php",
            format!("define('DB_PASSWORD', '{word}');\n"),
        ),
        5 => (
            "wp-config.php",
            format!("define( 'AUTH_KEY', '{signs}' );\n"),
        ),
        6 => (
            ".m2/settings.xml",
            format!("<server><password>{word}</password></server>\n"),
        ),
        7 => ("run.sh", format!("export MYSQL_PWD={word}\n")),
        8 => ("redis.conf", format!("requirepass {word}\n")),
        _ => ("db.tfvars", format!("db_password = \"{word}\"\n")),
    };
    (format!("app/{path}"), text)
}

fn true_ones() -> Vec<(String, String)> {
    let mut r = Random(0x5eed_0001);
    let mut corpus = Vec::new();
    for round in 0..4 {
        for token in tokens(&mut r) {
            let (path, text) = match round {
                0 => (".env", format!("SETTING={token}\n")),
                1 => ("config.yaml", format!("app:\n  setting: \"{token}\"\n")),
                2 => ("main.py", format!("call('{token}')\n")),
                _ => ("notes.txt", format!("use {token} for it\n")),
            };
            corpus.push((path.to_string(), text));
        }
    }
    for number in 0..20 {
        let key: Vec<String> = (0..5).map(|_| r.of(BASE64, 64)).collect();
        let kind = ["OPENSSH ", "RSA ", "EC ", ""][number % 4];
        let text = format!(
            "-----BEGIN {kind}PRIVATE KEY-----\n{}\n-----END {kind}PRIVATE KEY-----\n",
            key.join("\n")
        );
        corpus.push((format!("srv/{number}.pem"), text));
        let name = ["DB_PASSWORD", "api_key", "client-secret", "AUTH_TOKEN"][number % 4];
        let value = if number % 2 == 0 {
            r.of(WORD, 28)
        } else {
            r.of(HEX, 40)
        };
        let (path, text) = match number % 3 {
            0 => ("app/.env", format!("{name}={value}\n")),
            1 => ("app/settings.yml", format!("{name}: {value}\n")),
            _ => (
                "app/settings.json",
                format!("{{\"{name}\": \"{value}\"}}\n"),
            ),
        };
        corpus.push((path.to_string(), text));
    }
    for number in 0..40 {
        corpus.push(password(number, &mut r));
    }
    for (path, text) in [
        (
            "root/.pgpass",
            format!("db:5432:app:user:{}\n", r.of(WORD, 9)),
        ),
        (
            "root/.netrc",
            format!("machine a login b password {}\n", r.of(WORD, 9)),
        ),
        (
            "root/.npmrc",
            format!("//r.example/:_authToken={}\n", r.of(WORD, 20)),
        ),
        (
            "root/.git-credentials",
            format!("https://a:{}@git.example\n", r.of(WORD, 9)),
        ),
        (
            "root/.kube/config",
            format!(
                "users:\n- user:\n    client-key-data: {}\n",
                r.of(BASE64, 800)
            ),
        ),
        (
            "etc/kubernetes/admin.conf",
            format!("    client-key-data: {}\n", r.of(BASE64, 800)),
        ),
        (
            "root/.docker/config.json",
            format!(
                "{{\"auths\":{{\"r\":{{\"auth\":\"{}\"}}}}}}",
                r.of(BASE64, 12)
            ),
        ),
        (
            "root/.my.cnf",
            format!("[client]\npassword={}\n", r.of(WORD, 9)),
        ),
        (
            "root/.cargo/credentials.toml",
            format!("[registry]\ntoken = \"{}\"\n", r.of(WORD, 35)),
        ),
        (
            "root/.aws/credentials",
            format!("[default]\naws_secret_access_key = {}\n", r.of(BASE64, 40)),
        ),
        ("var/www/.htpasswd", format!("a:$apr1${}\n", r.of(WORD, 31))),
    ] {
        corpus.push((path.to_string(), text));
    }
    corpus
}

fn false_ones() -> Vec<(String, String)> {
    let mut r = Random(0x5eed_0002);
    let mut corpus: Vec<(String, String)> = Vec::new();
    for number in 0..30 {
        let words = |r: &mut Random, separator: &str| {
            [r.word(), r.word(), r.word(), r.word()].join(separator)
        };
        let uuid = format!(
            "{}-{}-{}-{}-{}",
            r.of(HEX, 8),
            r.of(HEX, 4),
            r.of(HEX, 4),
            r.of(HEX, 4),
            r.of(HEX, 12)
        );
        let lines = [
            (
                "package-lock.json",
                format!("\"integrity\": \"sha512-{}==\"", r.of(BASE64, 86)),
            ),
            (
                "go.sum",
                format!("example.com/a v1.{number}.0 h1:{}=", r.of(BASE64, 43)),
            ),
            ("Cargo.lock", format!("checksum = \"{}\"", r.of(HEX, 64))),
            (
                "image.json",
                format!("{{\"digest\": \"sha256:{}\"}}", r.of(HEX, 64)),
            ),
            ("log.txt", format!("commit {}", r.of(HEX, 40))),
            ("ids.yaml", format!("id: {uuid}")),
            (
                "cert.pem",
                format!("-----BEGIN CERTIFICATE-----\n{}", r.of(BASE64, 64)),
            ),
            (
                "id.pub",
                format!("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5{} a@b", r.of(BASE64, 48)),
            ),
            (
                "page.html",
                format!("<img src=\"data:image/png;base64,{}\">", r.of(BASE64, 300)),
            ),
            (
                ".env",
                format!(
                    "DB_PASSWORD=${{{}}}",
                    words(&mut r, "_").to_ascii_uppercase()
                ),
            ),
            (
                ".env.example",
                format!("API_KEY=your-{}-here-{number}", words(&mut r, "-")),
            ),
            (
                "app.yaml",
                format!("secretName: {}-{number}", words(&mut r, "-")),
            ),
            ("app.yml", format!("password: {}", words(&mut r, ""))),
            (
                "values.yaml",
                format!(
                    "tokenPath: /var/run/secrets/{}/{number}",
                    words(&mut r, "/")
                ),
            ),
            (
                "client.py",
                format!("token = self.{}_{number}()", words(&mut r, "_")),
            ),
            (
                "Client.java",
                format!("private String secretKey = {}{number};", words(&mut r, "")),
            ),
            (
                "README.md",
                format!(
                    "export TOKEN=xxxxxxxxxxxx{number}xxxxxxxx, or ghp_{}",
                    "x".repeat(36)
                ),
            ),
            (
                "README.md",
                format!("aws_access_key_id = AKIAIOSFODNN7EXAMPLE # {number}"),
            ),
            (
                "doc.md",
                "-----BEGIN PRIVATE KEY-----\n(your key here)\n".to_string(),
            ),
            (
                "url.txt",
                format!(
                    "https://{}.example/{}",
                    words(&mut r, "."),
                    words(&mut r, "/")
                ),
            ),
            (
                "db.txt",
                format!("postgres://user:password@localhost:{}/app", 5432 + number),
            ),
            (
                "docker-compose.yml",
                format!("DATABASE_URL: postgres://app:${{DB_PASSWORD}}@db:{number}/app"),
            ),
            (
                "main.css",
                format!("#{}{{color:#{}}}", words(&mut r, "-"), r.of(HEX, 6)),
            ),
        ];
        corpus.extend(lines.map(|(path, text)| (path.to_string(), text)));
    }
    corpus
}

#[test]
fn of_a_corpus_nearly_all_secrets_and_hardly_anything_else_are_reported() {
    let (secrets, harmless) = (true_ones(), false_ones());
    assert!(secrets.len() >= 200 && harmless.len() >= 500);
    let reported = |(path, text): &&(String, String)| !rules(path, text.as_bytes()).is_empty();
    let missed: Vec<_> = secrets.iter().filter(|one| !reported(one)).collect();
    let wrong: Vec<_> = harmless.iter().filter(reported).collect();
    let reports = wrong
        .iter()
        .map(|(path, text)| (path, text, rules(path, text.as_bytes())));
    let reports: Vec<_> = reports.take(10).collect();
    assert!(
        missed.len() * 100 <= secrets.len() * 5,
        "{} missed: {missed:#?}",
        missed.len()
    );
    assert!(
        wrong.len() * 100 <= harmless.len(),
        "{} wrong: {reports:#?}",
        wrong.len()
    );
    eprintln!(
        "{} of {} secrets missed, {} of {} others reported",
        missed.len(),
        secrets.len(),
        wrong.len(),
        harmless.len()
    );
}
