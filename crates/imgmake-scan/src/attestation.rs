//! The gate's verdict on one manifest as a predicate that can be signed, and what a later push demands of one.
//! Knows no signature: who calls has found out whose the statements are.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use imgmake_oci::image::{Digest, Platform};

use crate::basis::{Basis, BasisKind};
use crate::policy::{Judged, Judgement};
use crate::skew::SKEW;
use crate::{GateOutcome, PlatformVerdict};

/// The type of the predicate; the book describes its fields.
pub const VERDICT: &str = concat!(env!("CARGO_PKG_REPOSITORY"), "/verdict/v1");

/// Who judged, by what.
#[derive(Clone, Copy, Debug)]
pub struct GateName<'a> {
    /// The target.
    pub gate: &'a str,
    /// As a manifest calls it.
    pub scanner: &'a str,
    /// Of everything that the project says is acceptable.
    pub policy: &'a str,
}

/// A verdict on one manifest, as it is signed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Verdict {
    verifier: Verifier,
    gate: String,
    scanner: String,
    image: Image,
    policy: DigestOf,
    /// What it was judged by.
    databases: Vec<Basis>,
    time_judged: Time,
    /// From then on the gate may say something else of the same findings.
    valid_until: Option<Time>,
    result: Outcome,
    /// Why the gate refused, one sentence each.
    refusals: Vec<String>,
    findings: Counts,
    ignored: Vec<Ignored>,
}

/// In RFC 3339.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
struct Time(Timestamp);

impl From<Time> for String {
    fn from(Time(time): Time) -> String {
        time.to_string()
    }
}

impl TryFrom<String> for Time {
    type Error = jiff::Error;

    fn try_from(text: String) -> Result<Time, jiff::Error> {
        text.parse().map(Time)
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Verifier {
    id: String,
    version: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Image {
    name: String,
    /// Of the platform's manifest: the subject of the statement.
    digest: Digest,
    platform: Platform,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct DigestOf {
    digest: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Outcome {
    Passed,
    /// The greater one: of two of the same time it counts.
    Failed,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Counts {
    refused: usize,
    tolerated: usize,
    ignored: usize,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Ignored {
    id: String,
    package: String,
    version: String,
    path: Option<String>,
    reason: String,
}

/// A predicate for each manifest that was judged.
pub fn predicates(outcome: &GateOutcome, name: GateName<'_>) -> BTreeMap<Digest, Value> {
    let verdict = &outcome.verdict;
    let mut found = BTreeMap::new();
    for image in &verdict.images {
        for platform in &image.platforms {
            let passed = verdict.passed && image.passed && platform.passed;
            let one = Verdict {
                verifier: Verifier {
                    id: env!("CARGO_PKG_REPOSITORY").to_string(),
                    version: env!("CARGO_PKG_VERSION").to_string(),
                },
                gate: name.gate.to_string(),
                scanner: name.scanner.to_string(),
                image: Image {
                    name: image.name.clone(),
                    digest: platform.digest.clone(),
                    platform: platform.platform.clone(),
                },
                policy: DigestOf {
                    digest: name.policy.to_string(),
                },
                databases: verdict.bases.clone(),
                time_judged: Time(verdict.at),
                valid_until: outcome.valid_until.map(Time),
                result: match passed {
                    true => Outcome::Passed,
                    false => Outcome::Failed,
                },
                refusals: verdict.refusals.clone(),
                findings: counts(platform),
                ignored: platform.findings.iter().filter_map(ignored).collect(),
            };
            let predicate = serde_json::to_value(one).expect("a verdict is JSON");
            found.entry(platform.digest.clone()).or_insert(predicate);
        }
    }
    found
}

fn counts(platform: &PlatformVerdict) -> Counts {
    let count = |is: fn(&Judgement) -> bool| {
        let judged = platform.findings.iter();
        judged.filter(|judged| is(&judged.judgement)).count()
    };
    Counts {
        refused: count(|judgement| matches!(judgement, Judgement::Refused(_))),
        tolerated: count(|judgement| matches!(judgement, Judgement::Tolerated(_))),
        ignored: count(|judgement| matches!(judgement, Judgement::Ignored(_))),
    }
}

fn ignored(judged: &Judged) -> Option<Ignored> {
    let Judgement::Ignored(reason) = &judged.judgement else {
        return None;
    };
    let finding = &judged.finding;
    Some(Ignored {
        id: finding.id.clone(),
        package: finding.package.clone(),
        version: finding.version.clone(),
        path: finding.path.clone(),
        reason: reason.clone(),
    })
}

/// When a verdict was given; `None` for what is no verdict.
pub fn time_judged(predicate: &Value) -> Option<Timestamp> {
    predicate.get(TIME_JUDGED)?.as_str()?.parse().ok()
}

const TIME_JUDGED: &str = "timeJudged";

/// How long a verdict need not be attached again that is given again.
const REPEATED: Duration = Duration::from_secs(60 * 60);

/// Whether a verdict that is attached already says what a later one says, and is nearly as young: a push that is
/// repeated must not attach one each time.
pub fn is_repeated(attached: &Value, later: &Value) -> bool {
    let (Some(first), Some(second)) = (time_judged(attached), time_judged(later)) else {
        return false;
    };
    let age = Duration::try_from(second.duration_since(first));
    let timeless = |predicate: &Value| {
        let mut predicate = predicate.clone();
        predicate.as_object_mut()?.remove(TIME_JUDGED);
        Some(predicate)
    };
    age.is_ok_and(|age| age <= REPEATED) && timeless(attached) == timeless(later)
}

/// Whether a verdict is one that decides about the demand, whatever it says: a newer one of the same signer would
/// replace it.
pub fn is_decisive(predicate: &Value, demand: &Demand<'_>) -> bool {
    Verdict::deserialize(predicate).is_ok_and(|verdict| verdict.is_for(demand))
}

/// What a push demands of the verdict on one manifest.
#[derive(Clone, Copy, Debug)]
pub struct Demand<'a> {
    pub manifest: &'a Digest,
    /// What its config and whoever names it say; all of them must mean that of the verdict.
    pub platforms: &'a [Platform],
    /// The target.
    pub gate: &'a str,
    /// Of the gate as this project has it now.
    pub policy: &'a str,
    pub max_age: Duration,
    /// The gate limits the age of advisories.
    pub limits_database_age: bool,
    /// The database that the gate would use now, by its digest, where it must be that.
    pub database: Option<&'a str>,
    pub now: Timestamp,
}

/// Why no verdict counts.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Objection {
    #[error("none was found")]
    None,
    #[error("this version of imgmake cannot read one of the signed verdicts")]
    Unreadable,
    #[error("one that the key signed is listed, but its content is not there or is damaged")]
    Lost,
    #[error("it is of another image, {0}")]
    OtherImage(Digest),
    #[error("it is of another gate, `{0}`")]
    OtherGate(String),
    #[error("it is of the image as one for {found}, but the image is named as one for {expected}")]
    OtherPlatform {
        found: Box<Platform>,
        expected: Box<Platform>,
    },
    #[error("it is of another policy: the gate or its files have changed since")]
    OtherPolicy,
    #[error("the gate refused the image on {time}: {why}")]
    Failed { time: Timestamp, why: String },
    #[error("it is of {0}, which is in the future")]
    Future(Timestamp),
    #[error("it is of {time}, {days:.1} days ago; at most {limit:.1} are allowed", days = days(*.age), limit = days(*.limit))]
    TooOld {
        time: Timestamp,
        age: Duration,
        limit: Duration,
    },
    #[error(
        "it held until {0}: since then advisories are older than `max-db-age`, or an ignore or an `older` is over"
    )]
    Over(Timestamp),
    #[error("it does not say how long its advisories are young enough, which the gate demands")]
    NoDatabaseAge,
    #[error("it does not say by which advisories it was judged")]
    NoDatabase,
    #[error("invalid date of its advisories: `{0}`")]
    DatabaseDate(String),
    #[error("it was judged by other advisories ({found}) than the gate has now ({expected})")]
    OtherDatabase { found: String, expected: String },
}

fn days(age: Duration) -> f64 {
    age.as_secs_f64() / 86400.0
}

/// Judges all verdicts on one manifest that somebody signed who is trusted. Of those of the gate's policy the
/// newest counts: it replaces the others. When it was given.
///
/// # Errors
/// None counts; the objection says why.
pub fn accept(predicates: &[Value], demand: &Demand<'_>) -> Result<Timestamp, Objection> {
    let mut verdicts = Vec::new();
    let mut unreadable = Vec::new();
    for predicate in predicates {
        match Verdict::deserialize(predicate) {
            Ok(verdict) => verdicts.push(verdict),
            Err(_) => unreadable.push(predicate),
        }
    }
    let newest = newest(&verdicts, demand);
    let replaces = |predicate: &&Value| {
        let gate = predicate.get("gate").and_then(Value::as_str);
        let is_older = |newest: &Verdict| {
            time_judged(predicate).is_some_and(|time| time < newest.time_judged.0)
        };
        gate.is_none_or(|gate| gate == demand.gate) && !newest.as_ref().is_ok_and(|n| is_older(n))
    };
    match unreadable.iter().any(replaces) {
        true => Err(Objection::Unreadable),
        false => {
            let newest = newest?;
            newest.accept(demand)?;
            Ok(newest.time_judged.0)
        }
    }
}

fn newest<'v>(verdicts: &'v [Verdict], demand: &Demand<'_>) -> Result<&'v Verdict, Objection> {
    let of_it = |verdict: &&Verdict| verdict.image.digest == *demand.manifest;
    let of_gate = |verdict: &&Verdict| verdict.gate == demand.gate;
    let Some(first) = verdicts.first() else {
        return Err(Objection::None);
    };
    let Some(of_image) = verdicts.iter().find(of_it) else {
        return Err(Objection::OtherImage(first.image.digest.clone()));
    };
    if !verdicts.iter().filter(of_it).any(|v| of_gate(&v)) {
        return Err(Objection::OtherGate(of_image.gate.clone()));
    }
    let ours = verdicts.iter().filter(|verdict| verdict.is_for(demand));
    let newest = ours.max_by_key(|verdict| (verdict.time_judged, verdict.result));
    newest.ok_or(Objection::OtherPolicy)
}

/// Whether both mean one platform. What one of them leaves open, the other may say.
fn same(one: &Platform, other: &Platform) -> bool {
    let open = |a: &Option<String>, b: &Option<String>| a.is_none() || b.is_none() || a == b;
    let bare = |p: &Platform| Platform::new(&p.os, &p.architecture, None);
    let is_one_machine = bare(one) == bare(other);
    let is_one_variant = open(&one.variant, &other.variant) || one.serves(other);
    is_one_machine && is_one_variant && open(&one.os_version, &other.os_version)
}

impl Verdict {
    fn is_for(&self, demand: &Demand<'_>) -> bool {
        self.image.digest == *demand.manifest
            && self.gate == demand.gate
            && self.policy.digest == demand.policy
    }

    fn accept(&self, demand: &Demand<'_>) -> Result<(), Objection> {
        let (Time(time), now) = (self.time_judged, demand.now);
        if time > now + SKEW {
            return Err(Objection::Future(time));
        }
        if self.result == Outcome::Failed {
            let why = self.refusals.first().cloned().unwrap_or_default();
            return Err(Objection::Failed { time, why });
        }
        let found = &self.image.platform;
        if let Some(expected) = demand.platforms.iter().find(|said| !same(said, found)) {
            let (found, expected) = (Box::new(found.clone()), Box::new(expected.clone()));
            return Err(Objection::OtherPlatform { found, expected });
        }
        let age = Duration::try_from(now.duration_since(time)).unwrap_or_default();
        if age > demand.max_age {
            let limit = demand.max_age;
            return Err(Objection::TooOld { time, age, limit });
        }
        match self.valid_until {
            Some(Time(until)) if now > until => return Err(Objection::Over(until)),
            None if demand.limits_database_age => return Err(Objection::NoDatabaseAge),
            Some(_) | None => {}
        }
        self.accept_database(demand)
    }

    /// What other programs know has no digest, and is asked for in every run of the gate.
    fn accept_database(&self, demand: &Demand<'_>) -> Result<(), Objection> {
        let is_advisories = |basis: &&Basis| basis.kind == BasisKind::Advisories;
        let advisories: Vec<&Basis> = self.databases.iter().filter(is_advisories).collect();
        let is_builtin = self.scanner == "builtin";
        if is_builtin && advisories.is_empty() {
            return Err(Objection::NoDatabase);
        }
        for basis in advisories {
            if is_builtin && basis.digest.is_none() {
                return Err(Objection::NoDatabase);
            }
            if let Some(date) = &basis.date {
                let is_past = |time: Timestamp| time <= self.time_judged.0 + SKEW;
                let is_good = date.parse::<Timestamp>().is_ok_and(is_past);
                if is_builtin && !is_good {
                    return Err(Objection::DatabaseDate(date.clone()));
                }
            }
            let found = basis.digest.as_deref().unwrap_or_default();
            if let Some(expected) = demand.database
                && found != expected
            {
                return Err(Objection::OtherDatabase {
                    found: found.to_string(),
                    expected: expected.to_string(),
                });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const POLICY: &str = "blake3:aa";
    const NOW: &str = "2026-06-15T12:00:00Z";
    const WEEK: Duration = Duration::from_secs(7 * 86400);

    fn image() -> Digest {
        Digest::of(b"image")
    }

    fn verdict(time: &str, change: impl FnOnce(&mut Value)) -> Value {
        let mut value = json!({
            "verifier": {"id": "x:y", "version": "1"},
            "gate": "gate",
            "scanner": "builtin",
            "image": {
                "name": "app",
                "digest": image().as_str(),
                "platform": {"os": "linux", "architecture": "amd64"},
            },
            "policy": {"digest": POLICY},
            "databases": [{
                "kind": "advisories", "name": "db", "digest": "blake3:dd",
                "date": "2026-06-10T00:00:00Z",
            }],
            "timeJudged": time,
            "validUntil": "2026-06-20T00:00:00Z",
            "result": "passed",
            "refusals": [],
            "findings": {"refused": 0, "tolerated": 0, "ignored": 0},
            "ignored": [],
        });
        change(&mut value);
        value
    }

    fn judged(verdicts: &[Value], change: impl FnOnce(&mut Demand<'_>)) -> Result<(), Objection> {
        judged_as(&[Platform::new("linux", "amd64", None)], verdicts, change)
    }

    fn judged_as(
        platforms: &[Platform],
        verdicts: &[Value],
        change: impl FnOnce(&mut Demand<'_>),
    ) -> Result<(), Objection> {
        let manifest = image();
        let mut demand = Demand {
            manifest: &manifest,
            platforms,
            gate: "gate",
            policy: POLICY,
            max_age: WEEK,
            limits_database_age: true,
            database: None,
            now: NOW.parse().unwrap(),
        };
        change(&mut demand);
        accept(verdicts, &demand).map(drop)
    }

    fn refused(verdicts: &[Value]) -> String {
        judged(verdicts, |_| ()).unwrap_err().to_string()
    }

    const YESTERDAY: &str = "2026-06-14T12:00:00Z";

    #[test]
    fn a_verdict_counts_if_all_of_it_is_as_the_push_demands() {
        let good = verdict(YESTERDAY, |_| ());
        assert_eq!(judged(std::slice::from_ref(&good), |_| ()), Ok(()));
        assert_eq!(refused(&[]), "none was found");
        let changes: [(&str, Value, &str); 10] = [
            ("gate", json!("lax"), "another gate, `lax`"),
            (
                "image",
                json!({"name": "a", "digest": image(), "platform": {"os": "linux", "architecture": "arm64"}}),
                "for linux/arm64, but the image is named as one for linux/amd64",
            ),
            (
                "image",
                json!({"name": "a", "digest": Digest::of(b"b"), "platform": {"os": "linux", "architecture": "amd64"}}),
                "another image",
            ),
            ("policy", json!({"digest": "blake3:bb"}), "another policy"),
            ("result", json!("failed"), "refused the image"),
            ("result", json!("perhaps"), "cannot read"),
            ("validUntil", json!("2026-06-15T11:00:00Z"), "held until"),
            ("validUntil", Value::Null, "young enough"),
            ("databases", json!([]), "by which advisories"),
            ("timeJudged", json!("2026-06-16T12:00:00Z"), "in the future"),
        ];
        for (field, value, why) in changes {
            let text = refused(&[verdict(YESTERDAY, |v| v[field] = value)]);
            assert!(text.contains(why), "{field}: {text}");
        }
        let of_databases = [
            ("digest", Value::Null, "by which advisories"),
            ("date", json!("2026-06-30T00:00:00Z"), "invalid date"),
            ("date", json!("long ago"), "invalid date"),
        ];
        for (field, value, why) in of_databases {
            let text = refused(&[verdict(YESTERDAY, |v| v["databases"][0][field] = value)]);
            assert!(text.contains(why), "{field}: {text}");
        }
        let old = refused(&[verdict("2026-06-08T11:00:00Z", |_| ())]);
        assert!(old.contains("7.0 days ago; at most 7.0"), "{old}");
        let other = judged(std::slice::from_ref(&good), |demand| {
            demand.database = Some("blake3:ee");
        });
        assert!(matches!(other, Err(Objection::OtherDatabase { .. })));
        // One of those who name it says otherwise.
        let named = ["linux/amd64", "linux/arm64"].map(|name| name.parse().unwrap());
        let other = judged_as(&named, &[good], |_| ());
        assert!(matches!(other, Err(Objection::OtherPlatform { .. })));
    }

    /// What the key signed and nobody can read may say that the gate refuses, unless it is of another gate or older.
    #[test]
    fn a_verdict_that_cannot_be_read_may_be_a_refusal() {
        let strange = |gate: &str, time: &str| {
            let strange = json!({"gate": gate, "timeJudged": time, "result": "perhaps"});
            judged(&[verdict(YESTERDAY, |_| ()), strange], |_| ())
        };
        assert_eq!(
            strange("gate", "2026-06-14T13:00:00Z"),
            Err(Objection::Unreadable)
        );
        assert_eq!(strange("gate", "whenever"), Err(Objection::Unreadable));
        assert_eq!(strange("gate", "2026-06-14T11:00:00Z"), Ok(()));
        assert_eq!(strange("other", "2026-06-14T13:00:00Z"), Ok(()));
    }

    /// Its time alone is no reason to attach a verdict once more, for an hour.
    #[test]
    fn a_verdict_that_is_given_again_is_one() {
        let first = verdict("2026-06-14T12:00:00Z", |_| ());
        let again = |time: &str| is_repeated(&first, &verdict(time, |_| ()));
        assert!(again("2026-06-14T12:00:00Z"));
        assert!(again("2026-06-14T13:00:00Z"));
        assert!(!again("2026-06-14T13:00:01Z"));
        // Of one that is newer than what is said now nothing is known.
        assert!(!again("2026-06-14T11:59:59Z"));
        let other = verdict("2026-06-14T12:10:00Z", |v| {
            v["databases"][0]["digest"] = json!("blake3:ee");
        });
        assert!(!is_repeated(&first, &other));
        assert!(!is_repeated(&json!({}), &first));
    }

    #[test]
    fn a_platform_may_leave_open_what_another_says() {
        let is_same = |one: &str, other: &str| same(&one.parse().unwrap(), &other.parse().unwrap());
        assert!(is_same("linux/arm64", "linux/arm64/v8"));
        assert!(is_same("linux/arm/v7", "linux/arm/v7"));
        assert!(!is_same("linux/arm/v7", "linux/arm/v6"));
        assert!(!is_same("linux/amd64", "windows/amd64"));
    }

    #[test]
    fn the_newest_verdict_of_the_policy_replaces_the_others() {
        let fail = |v: &mut Value| {
            v["result"] = json!("failed");
            v["refusals"] = json!(["CVE-1 in x"]);
        };
        let passed = verdict("2026-06-14T12:00:00Z", |_| ());
        let failed = verdict("2026-06-15T11:00:00Z", fail);
        for both in [
            [passed.clone(), failed.clone()],
            [failed.clone(), passed.clone()],
        ] {
            assert!(refused(&both).contains("CVE-1 in x"));
        }
        // Fixed since.
        let again = verdict("2026-06-15T11:30:00Z", |_| ());
        assert_eq!(judged(&[passed.clone(), failed, again], |_| ()), Ok(()));
        // At the same time: the worse one.
        let same = verdict("2026-06-14T12:00:00Z", fail);
        assert!(refused(&[same, passed.clone()]).contains("CVE-1"));
        // Another gate refused, which is no business of this one.
        let foreign = verdict("2026-06-15T11:00:00Z", |v| {
            fail(v);
            v["policy"]["digest"] = json!("blake3:bb");
        });
        assert_eq!(judged(&[passed.clone(), foreign], |_| ()), Ok(()));
        // One from the future hides nothing.
        let future = verdict("2026-07-15T11:00:00Z", |_| ());
        assert!(refused(&[passed, future]).contains("in the future"));
    }
}
