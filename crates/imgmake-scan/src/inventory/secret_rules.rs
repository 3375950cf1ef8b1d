//! What secrets look like: tokens by the forms that their issuers gave them, password files by
//! their names.

/// What else must hold of what a pattern found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Check {
    /// The form says it all.
    None,
    /// It is random: no example, no placeholder.
    Random,
    /// The first group is random enough to be no word, path or number; in files of settings alone.
    Assigned,
    /// The first group is no word and no example: where it stands, nothing but a password does.
    Password,
}

pub struct Rule {
    pub name: &'static str,
    pub pattern: &'static str,
    pub check: Check,
}

const fn plain(name: &'static str, pattern: &'static str) -> Rule {
    Rule {
        name,
        pattern,
        check: Check::None,
    }
}

const fn token(name: &'static str, pattern: &'static str) -> Rule {
    Rule {
        name,
        pattern,
        check: Check::Random,
    }
}

/// Wherever it stands.
pub const CONTENT: [Rule; 54] = [
    plain(
        "private-key",
        r"-----BEGIN (?:[A-Z]+ )*PRIVATE KEY(?: BLOCK)?-----(?:\s|\\n)+(?:Proc-Type|Version|Comment|[A-Za-z0-9+/=]{24,})",
    ),
    plain(
        "putty-key",
        r"PuTTY-User-Key-File-[23]: [a-z0-9-]+\s+Encryption: none",
    ),
    token("aws-access-key", r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b"),
    token(
        "aws-secret-key",
        r#"(?i)aws_?secret_?access_?key["']?\s*[:=]\s*["']?[A-Za-z0-9/+]{40}\b"#,
    ),
    token("azure-storage-key", r"AccountKey=[A-Za-z0-9+/]{86}=="),
    token(
        "azure-client-secret",
        r"\b[A-Za-z0-9_~.-]{3}[78]Q~[A-Za-z0-9_~.-]{31,34}",
    ),
    token("docker-token", r"\bdckr_(?:pat|oat)_[A-Za-z0-9_-]{20,}"),
    token(
        "github-token",
        r"\b(?:gh[pousr]_[A-Za-z0-9]{36}|github_pat_[A-Za-z0-9_]{22,})",
    ),
    token(
        "gitlab-token",
        r"\bgl(?:pat|dt|rt|cbt|ptt|ft|soat|agent|imt)-[A-Za-z0-9_-]{20,}",
    ),
    token("google-api-key", r"\bAIza[0-9A-Za-z_-]{35}"),
    token("google-oauth-secret", r"\bGOCSPX-[A-Za-z0-9_-]{28}"),
    token("google-refresh-token", r"\b1//0[A-Za-z0-9_-]{40,}"),
    token("npm-token", r"\bnpm_[A-Za-z0-9]{36}\b"),
    token("pypi-token", r"\bpypi-AgEIcHlwaS5vcmc[A-Za-z0-9_-]{50,}"),
    token("rubygems-token", r"\brubygems_[a-f0-9]{48}\b"),
    token("crates-token", r"\bcio[A-Za-z0-9]{32}\b"),
    token(
        "slack-token",
        r"\b(?:xox[abeprs]-[0-9]{6,}-[0-9A-Za-z-]{10,}|xapp-[0-9]-[A-Z0-9]{8,}-[0-9]{8,}-[a-f0-9]{32,})",
    ),
    token(
        "slack-webhook",
        r"https://hooks\.slack\.com/(?:services|workflows)/T[A-Z0-9]{8,}/[A-Z0-9]{8,}/[A-Za-z0-9]{20,}",
    ),
    token("stripe-key", r"\b[rs]k_live_[0-9a-zA-Z]{24,}"),
    token("vault-token", r"\bhv[sbr]\.[A-Za-z0-9_-]{90,}"),
    token("age-key", r"\bAGE-SECRET-KEY-1[0-9A-Z]{58}\b"),
    token(
        "sendgrid-key",
        r"\bSG\.[A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{43}",
    ),
    token("mailgun-key", r"\bkey-[0-9a-f]{32}\b"),
    token("twilio-key", r"\bSK[0-9a-f]{32}\b"),
    token("telegram-token", r"\b[0-9]{8,10}:AA[0-9A-Za-z_-]{33}\b"),
    token("digitalocean-token", r"\bdo[opr]_v1_[a-f0-9]{64}\b"),
    token("heroku-key", r"\bHRKU-AA[0-9A-Za-z_-]{58}\b"),
    token("shopify-token", r"\bshp(?:at|ca|pa|ss)_[a-fA-F0-9]{32}\b"),
    token(
        "openai-key",
        r"\bsk-[A-Za-z0-9_-]{20,}T3BlbkFJ[A-Za-z0-9_-]{20,}",
    ),
    token("anthropic-key", r"\bsk-ant-[a-z0-9]+-[A-Za-z0-9_-]{80,}"),
    token("huggingface-token", r"\bhf_[A-Za-z]{34}\b"),
    token("databricks-token", r"\bdapi[0-9a-f]{32}\b"),
    token(
        "grafana-token",
        r"\bgl(?:sa_[A-Za-z0-9]{32}_[a-fA-F0-9]{8}|c_[A-Za-z0-9+/]{32,}=*)",
    ),
    token(
        "terraform-token",
        r"\b[A-Za-z0-9]{14}\.atlasv1\.[A-Za-z0-9_-]{60,}",
    ),
    token("pulumi-token", r"\bpul-[a-f0-9]{40}\b"),
    token("linear-key", r"\blin_api_[A-Za-z0-9]{40}\b"),
    token("newrelic-key", r"\bNRAK-[A-Z0-9]{27}\b"),
    token("square-token", r"\bsq0(?:csp|atp|idp)-[0-9A-Za-z_-]{22,43}"),
    token("supabase-token", r"\bsbp_[a-f0-9]{40}\b"),
    token(
        "planetscale-token",
        r"\bpscale_(?:tkn|pw|oauth)_[A-Za-z0-9=._-]{32,64}",
    ),
    token("postman-key", r"\bPMAK-[a-f0-9]{24}-[a-f0-9]{34}\b"),
    token("atlassian-token", r"\bATATT3[A-Za-z0-9_=-]{60,}"),
    token(
        "doppler-token",
        r"\bdp\.(?:pt|st|sa|ct|scim|audit)\.[A-Za-z0-9._-]{40,}",
    ),
    token(
        "jwt",
        r"\beyJ[A-Za-z0-9_-]{14,}\.eyJ[A-Za-z0-9_-]{14,}\.[A-Za-z0-9_-]{20,}",
    ),
    token(
        "kubeconfig-key",
        r"\bclient-key-data:\s*[A-Za-z0-9+/=]{60,}",
    ),
    Rule {
        name: "database-password",
        pattern: r#"\b(?:postgres(?:ql)?|mysql|mariadb|mongodb(?:\+srv)?|rediss?|amqps?|mssql)://[^:/?#\s"'@<{$]*:([^@/\s"'<>{}$*%]{8,})@[A-Za-z0-9]"#,
        check: Check::Password,
    },
    // `Server=db;User Id=sa;Password=…`, as .NET and ODBC have it.
    Rule {
        name: "database-password",
        pattern: r#"(?i)\b(?:server|data source|host|user id|uid|database)\s*=[^;"'\n]*;[^"'\n]*\b(?:password|pwd)\s*=\s*([^\s;"'<>{}$%]{8,100})"#,
        check: Check::Password,
    },
    // Variables that the clients of databases read.
    Rule {
        name: "database-password",
        pattern: r#"\b(?:MYSQL_PWD|PGPASSWORD|REDISCLI_AUTH|SSHPASS)=["']?([^\s"'<>{}$%]{8,100})"#,
        check: Check::Password,
    },
    Rule {
        name: "database-password",
        pattern: r#"(?m)^\s*(?:requirepass|masterauth)\s+["']?([^\s"'<>{}$%]{8,200})"#,
        check: Check::Password,
    },
    Rule {
        name: "assigned-secret",
        pattern: r"<(?:password|passphrase)>([^\s<>{}$%]{8,200})</",
        check: Check::Password,
    },
    // Named so in every language: Django's, Flask's and WordPress's own.
    Rule {
        name: "assigned-secret",
        pattern: r#"\b(?:SECRET_KEY|SECRET_KEY_BASE|(?:AUTH|LOGGED_IN|NONCE|SECURE_AUTH)_(?:KEY|SALT)|DB_PASSWORD|DATABASE_PASSWORD|JWT_SECRET|SESSION_SECRET)["']?\s*(?:=|:|,|=>)\s*["']([^\s"'<>{}]{16,200})["']"#,
        check: Check::Password,
    },
    Rule {
        name: "assigned-secret",
        pattern: r#"(?i)(?:^|[\s,{"'])(?:[a-z0-9_.-]*[_.-])?(?:password|passwd|pwd|secret_key|secret)["']?\s*[:=]\s*["']?([A-Za-z0-9+/_=.~!@#%^&*()-]{12,200})["']?(?:[\s,;}]|$)"#,
        check: Check::Assigned,
    },
    Rule {
        name: "assigned-secret",
        pattern: r#"(?i)(?:^|[\s,{"'])[a-z0-9_.-]*(?:secret|password|passwd)[a-z0-9_.-]*=["']?([A-Za-z0-9+/_=.~!@#%^&*()-]{16,200})["']?(?:[\s,;}]|$)"#,
        check: Check::Assigned,
    },
    Rule {
        name: "assigned-secret",
        pattern: r#"(?i)(?:^|[\s,{"'])[a-z0-9_.-]*(?:password|passwd|secret|token|api_?-?key|access_?-?key|private_?-?key|credential)[a-z0-9_.-]*["']?\s*[:=]\s*["']?([A-Za-z0-9+/_=.~!@#^&*-]{20,200})["']?(?:[\s,;}]|$)"#,
        check: Check::Assigned,
    },
];

/// Rule, how the path ends, and what must stand in it.
pub const NAMED: [(&str, &str, &str); 12] = [
    (
        "npmrc",
        ".npmrc",
        r"(?m)(?:_authToken|_auth|_password)\s*=\s*[^\s$]",
    ),
    ("netrc", ".netrc", r"(?m)\bpassword\s+\S"),
    (
        "docker-config",
        ".docker/config.json",
        r#""(?:auth|identitytoken|password)"\s*:\s*"[^"]"#,
    ),
    ("docker-config", ".dockercfg", r#""auth"\s*:\s*"[^"]"#),
    ("pypirc", ".pypirc", r"(?m)^\s*password\s*[:=]\s*\S"),
    (
        "git-credentials",
        ".git-credentials",
        r"://[^:/\s]+:[^@/\s]+@",
    ),
    (
        "pgpass",
        ".pgpass",
        r"(?m)^[^#:\s][^:\n]*:[^:\n]*:[^:\n]*:[^:\n]*:[^\s$]",
    ),
    ("my-cnf", ".my.cnf", r"(?m)^\s*password\s*=\s*[^\s$]"),
    (
        "kubeconfig",
        ".kube/config",
        r"(?m)^\s*(?:token|password|client-key-data):\s*[^\s$]",
    ),
    (
        "htpasswd",
        ".htpasswd",
        r"(?m)^[^:#\s]+:(?:\$(?:apr1|2[aby]|5|6)\$|\{SHA\}|[./A-Za-z0-9]{13}$)",
    ),
    (
        "cargo-credentials",
        ".cargo/credentials.toml",
        r#"(?m)^\s*token\s*=\s*"[^"$]"#,
    ),
    (
        "aws-credentials",
        ".aws/credentials",
        r"(?m)^\s*aws_secret_access_key\s*=\s*[^\s$]",
    ),
];
