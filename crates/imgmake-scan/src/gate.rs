//! The way of one scan: images → manifests → findings → judgements → verdict →
//! reports. Whatever goes wrong on the way to findings is a refusal.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use jiff::Timestamp;

use super::basis::{Basis, BasisKind};
use super::cache::Cache;
use super::error::{Context, Result, ScanError};
use super::findings::printable_line;
use super::policy::{Baseline, Lists, Rules, Subject, Told};
use super::scanner::Scanned;
use super::subject::{self, Child};
use super::{Finding, FindingKind, Gate, ImageVerdict, Inventory, Judged, Judgement};
use super::{PlatformVerdict, ReportFormat, ScanImage, ScanRequest, Scanner, Severity, Verdict};
use super::{advisory, age, inventory, report, scanner};
use imgmake_event::{Cancel, Events};
use imgmake_guard::printable;
use imgmake_oci::image::{Digest, Platform};
use imgmake_oci::store::Store;

/// Findings named one by one in the refusals; the table has them all.
const NAMED_REFUSALS: usize = 10;

/// What the gate says of a request.
#[derive(Debug)]
pub struct GateOutcome {
    pub verdict: Verdict,
    /// What may be published; nothing when the gate refuses.
    pub passed: Vec<Passed>,
    /// The moment at which the advisories become too old for the policy, or the first of the exceptions that were
    /// used is over, if there is one.
    pub valid_until: Option<Timestamp>,
}

/// A digest that the gate let pass: of an image, or of one of its platforms.
///
/// The gate makes it. Whoever remembers outcomes makes it of a record that only they can have
/// written, with [`Passed::from_recorded_outcome`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Passed {
    digest: Digest,
}

impl Passed {
    /// From the outcome of a gate in an earlier run that is up to date. The caller vouches that
    /// nobody else can have written the record: it has a MAC, or a signature.
    pub fn from_recorded_outcome(digest: Digest) -> Passed {
        Passed { digest }
    }

    pub fn digest(&self) -> &Digest {
        &self.digest
    }
}

pub fn scan(
    request: &ScanRequest,
    store: &Store,
    events: &Events,
    cancel: &Cancel,
) -> Result<GateOutcome> {
    let (lists, unreadable) = match Lists::read(&request.policy) {
        Ok(lists) => (lists, None),
        Err(error) => (Lists::default(), Some(error)),
    };
    let rules = Rules::new(&request.policy, lists)?;
    let mut run = Run {
        request,
        store,
        cancel,
        cache: Cache::of(store)?,
        database: None,
        bases: rules.bases().iter().cloned().collect(),
        rules,
        inventories: BTreeMap::new(),
        refusals: Vec::new(),
        failures: Vec::new(),
        warnings: Vec::new(),
        unrated: Vec::new(),
        valid_until: None,
    };
    let mut images = Vec::new();
    match unreadable.map_or_else(|| run.prepare(), Err) {
        Ok(()) => {
            for image in &request.images {
                images.push(run.image(image)?);
            }
        }
        Err(error) => {
            run.refuse_all(error, &mut images)?;
        }
    }
    if images.is_empty() && run.refusals.is_empty() {
        run.refusals
            .push("no image was given: a scan needs at least one".into());
    }
    let valid_until = run.valid_until;
    let verdict = run.verdict(images);
    report::write(request, &verdict, events)?;
    let passed = verdict.passed_digests().into_iter().cloned();
    Ok(GateOutcome {
        passed: passed.map(|digest| Passed { digest }).collect(),
        valid_until,
        verdict,
    })
}

/// Where indexes of advisory databases are kept.
pub fn index_home(store: &Store) -> Result<std::path::PathBuf> {
    Ok(store.database()?.join("index"))
}

struct Run<'a> {
    request: &'a ScanRequest,
    store: &'a Store,
    cancel: &'a Cancel,
    cache: Cache,
    /// Of the built-in scanner.
    database: Option<advisory::Database>,
    rules: Rules<'a>,
    bases: BTreeSet<Basis>,
    inventories: BTreeMap<Digest, Inventory>,
    refusals: Vec<String>,
    failures: Vec<String>,
    warnings: Vec<String>,
    /// Findings of unknown severity, by image.
    unrated: Vec<String>,
    valid_until: Option<Timestamp>,
}

impl Run<'_> {
    fn prepare(&mut self) -> Result<()> {
        if self.request.scanner != Scanner::Builtin {
            return Ok(());
        }
        let kept = vec![advisory::advisory_home(self.store)?];
        let named = &self.request.advisories;
        if named.is_empty() && !kept[0].is_dir() {
            return Err(ScanError::not_found(
                "advisories for the built-in scanner",
                "name a directory of OSV documents with `advisories`, or fetch some with `imgmake db update`",
            ));
        }
        let paths = if named.is_empty() { &kept } else { named };
        let index = index_home(self.store)?;
        let database = advisory::open(paths, &index, self.cancel)?;
        self.bases.insert(Basis {
            kind: BasisKind::Advisories,
            name: match (&self.request.advisories_name, named.as_slice()) {
                (Some(name), _) => name.clone(),
                (None, []) => "stored by `imgmake db`".to_string(),
                (None, named) => printable::list(named.iter().map(|path| self.name_of(path))),
            },
            digest: Some(format!("blake3:{}", database.digest())),
            date: database.newest().map(String::from),
        });
        self.database = Some(database);
        Ok(())
    }

    /// As the manifest says it.
    fn name_of(&self, path: &Path) -> String {
        let name = path.strip_prefix(&self.request.directory).unwrap_or(path);
        name.display().to_string()
    }

    fn refuse_all(&mut self, error: ScanError, images: &mut Vec<ImageVerdict>) -> Result<()> {
        if error.is_cancelled() {
            return Err(error);
        }
        self.fail(format!("{error:#}"));
        images.extend(self.request.images.iter().map(|image| ImageVerdict {
            name: image.name.clone(),
            digest: image.root.digest.clone(),
            passed: false,
            platforms: Vec::new(),
        }));
        Ok(())
    }

    fn image(&mut self, image: &ScanImage) -> Result<ImageVerdict> {
        let mut verdict = ImageVerdict {
            name: image.name.clone(),
            digest: image.root.digest.clone(),
            passed: true,
            platforms: Vec::new(),
        };
        match subject::children(&image.root, self.store) {
            Ok(children) => {
                for child in children {
                    self.cancel.check()?;
                    let platform = self.platform(image, &child)?;
                    verdict.passed &= platform.passed;
                    verdict.platforms.push(platform);
                }
            }
            Err(error) => {
                verdict.passed = false;
                self.refusals
                    .push(format!("image `{}`: {error:#}", image.name));
            }
        }
        Ok(verdict)
    }

    fn platform(&mut self, image: &ScanImage, child: &Child) -> Result<PlatformVerdict> {
        let place = format!("image `{}` ({})", image.name, child.platform);
        let mut verdict = PlatformVerdict {
            digest: child.descriptor.digest.clone(),
            platform: child.platform.clone(),
            passed: true,
            layers: digests(child),
            findings: Vec::new(),
        };
        let before = self.refusals.len();
        let scanned = match self.findings(child) {
            Ok(scanned) => scanned,
            Err(error) if error.is_cancelled() => return Err(error),
            Err(error) => {
                self.fail(format!("{place}: {error:#}"));
                verdict.passed = false;
                return Ok(verdict);
            }
        };
        self.judge_the_scan(&scanned, &place);
        let subject = Subject {
            name: image.name.clone(),
            digests: vec![child.descriptor.digest.clone(), image.root.digest.clone()],
        };
        let told = match self.request.scanner {
            Scanner::Builtin => Told::ByAdvisories,
            Scanner::Trivy | Scanner::Grype | Scanner::Command(_) => Told::ByScanners,
        };
        let findings = scanned.findings.into_iter().map(Finding::printable);
        let baseline = match self.baseline(&child.platform) {
            Ok(baseline) => baseline,
            Err(error) if error.is_cancelled() => return Err(error),
            Err(error) => {
                self.fail(format!("{place}: {error:#}"));
                None
            }
        };
        verdict.findings = self
            .rules
            .judge(findings.collect(), told, &subject, baseline.as_ref());
        let due = verdict.findings.iter().filter_map(|j| self.rules.due(j));
        let ignored = verdict.findings.iter();
        let over = ignored.filter_map(|j| self.rules.ignored_until(j));
        self.valid_until = self.valid_until.into_iter().chain(due).chain(over).min();
        for judged in &mut verdict.findings {
            judged.judgement.make_printable();
        }
        self.name_unrated(&verdict, &place);
        self.name_refused(&verdict, &place);
        verdict.passed = self.refusals.len() == before;
        Ok(verdict)
    }

    /// What the image has with which this one is compared, on the same platform.
    fn baseline(&mut self, platform: &Platform) -> Result<Option<Baseline>> {
        let Some(image) = self.request.baseline.clone() else {
            return Ok(None);
        };
        let context = || format!("cannot compare with `{}`", image.name);
        let children = subject::children(&image.root, self.store).with_context(context)?;
        self.bases.insert(Basis {
            kind: BasisKind::Baseline,
            name: image.name.clone(),
            digest: Some(image.root.digest.to_string()),
            date: None,
        });
        let Some(child) = children.into_iter().find(|c| c.platform == *platform) else {
            self.warnings.push(format!(
                "`{}` has no image for {platform}: all findings count as new",
                image.name
            ));
            return Ok(None);
        };
        let scanned = self.findings(&child).with_context(context)?;
        let findings: Vec<Finding> = scanned
            .findings
            .into_iter()
            .map(Finding::printable)
            .collect();
        let name = format!("{}@{}", image.name, image.root.digest.short());
        Ok(Some(Baseline::new(name, &findings)))
    }

    /// What speaks against a pass before any finding is looked at.
    fn judge_the_scan(&mut self, scanned: &Scanned, place: &str) {
        let gaps = scanned.gaps.iter().chain(&scanned.gate);
        self.refusals
            .extend(gaps.map(|why| format!("{place}: {why}")));
        self.warnings
            .extend(scanned.warnings.iter().map(|w| format!("{place}: {w}")));
        let policy = &self.request.policy;
        let unjudged = scanned.unjudged.iter().map(|why| format!("{place}: {why}"));
        match policy.unjudged {
            Gate::Warn => self.warnings.extend(unjudged),
            Gate::Refuse => {
                for why in unjudged {
                    self.fail(why);
                }
            }
        }
        if let Some(limit) = policy.max_database_age {
            let ages = age::judge(scanned, limit, policy.now);
            self.valid_until = self.valid_until.into_iter().chain(ages.valid_until).min();
            for why in ages.refusals {
                self.fail(format!("{place}: {why}"));
            }
        }
    }

    /// A refusal for which no finding stands.
    fn fail(&mut self, why: String) {
        self.failures.push(why.clone());
        self.refusals.push(why);
    }

    /// What nobody rates comes first, whether it is tolerated or not.
    fn name_unrated(&mut self, verdict: &PlatformVerdict, place: &str) {
        let is_unrated =
            |j: &&Judged| is_unrated(&j.finding) && !matches!(j.judgement, Judgement::Ignored(_));
        let unrated: Vec<&Judged> = verdict.findings.iter().filter(is_unrated).collect();
        if unrated.is_empty() {
            return;
        }
        let named = unrated.iter().take(NAMED_REFUSALS).map(|j| {
            let finding = &j.finding;
            format!("{} in {} {}", finding.id, finding.package, finding.version)
        });
        let mut named: Vec<String> = named.map(|text| text.trim_end().to_string()).collect();
        if let Some(more) = unrated.len().checked_sub(NAMED_REFUSALS).filter(|n| *n > 0) {
            named.push(format!("{more} more"));
        }
        let text = format!("{place}: severity unknown: {}", named.join(", "));
        let refused = |j: &&Judged| matches!(j.judgement, Judgement::Refused(_));
        if unrated.iter().any(refused) {
            let help = "`ignore` or `vex` accepts one, `fail-on unknown=#false` accepts all";
            self.refusals.push(format!("{text}; {help}"));
        }
        self.unrated.push(text);
    }

    fn name_refused(&mut self, verdict: &PlatformVerdict, place: &str) {
        let refused = verdict.findings.iter().filter_map(|j| match &j.judgement {
            Judgement::Refused(why) => Some((&j.finding, why)),
            _ => None,
        });
        // Those of unknown severity are named already.
        let is_named = |(finding, _): &(&Finding, &String)| {
            is_unrated(finding) && !self.rules.is_expired(finding)
        };
        let refused: Vec<_> = refused.filter(|one| !is_named(one)).collect();
        // One whose rule expired says so wherever it stands in the order.
        let named = refused
            .iter()
            .enumerate()
            .filter(|(i, (finding, _))| *i < NAMED_REFUSALS || self.rules.is_expired(finding));
        let mut count = 0;
        for (_, (finding, why)) in named {
            count += 1;
            let subject = [finding.package.as_str(), finding.version.as_str()].join(" ");
            let subject = match (subject.trim(), &finding.path) {
                ("", Some(path)) => format!("/{path}"),
                ("", None) => "the image".to_string(),
                (package, _) => package.to_string(),
            };
            self.refusals
                .push(format!("{place}: {} in {subject}: {why}", finding.id));
        }
        if refused.len() > count {
            let more = refused.len() - count;
            self.refusals
                .push(format!("{place}: {more} more findings like these"));
        }
    }

    fn findings(&mut self, child: &Child) -> Result<Scanned> {
        match &self.request.scanner {
            Scanner::Builtin => self.builtin(child),
            scanner => {
                if self.wants_inventory() {
                    self.inventory(child)?;
                }
                let scanned =
                    scanner::external(self.request, child, self.store, &self.cache, self.cancel)?;
                self.bases.insert(Basis {
                    kind: BasisKind::Advisories,
                    name: scanner.word().to_string(),
                    digest: None,
                    date: scanned.database_date.clone(),
                });
                Ok(scanned)
            }
        }
    }

    fn builtin(&mut self, child: &Child) -> Result<Scanned> {
        let inventory = self.inventory(child)?;
        let database = self.database.as_ref().expect("prepare opens the database");
        let digest = child.descriptor.digest.as_str();
        let key = ["builtin", digest, database.digest()];
        if let Some(scanned) = self.cache.get(&key) {
            return Ok(scanned);
        }
        let scanned = scanner::builtin::scan(&inventory, child, database)?;
        self.cache.put(&key, &scanned)?;
        Ok(scanned)
    }

    /// From the cache, else from the layers; kept for the reports.
    fn inventory(&mut self, child: &Child) -> Result<Inventory> {
        let digest = &child.descriptor.digest;
        let key = ["inventory", digest.as_str()];
        let inventory = match self.cache.get(&key) {
            Some(inventory) => inventory,
            None => {
                let taken = inventory::take(&child.manifest.layers, self.store, self.cancel)?;
                self.cache.put(&key, &taken)?;
                taken
            }
        };
        self.inventories.insert(digest.clone(), inventory.clone());
        Ok(inventory)
    }

    fn wants_inventory(&self) -> bool {
        let boms = [ReportFormat::CycloneDx, ReportFormat::Spdx];
        boms.iter()
            .any(|format| self.request.reports.contains_key(format))
    }

    fn verdict(self, images: Vec<ImageVerdict>) -> Verdict {
        let passed = self.refusals.is_empty() && images.iter().all(|i| i.passed);
        // The first thing to be read.
        let mut refusals = self.refusals;
        refusals.sort_by_key(|text| !self.unrated.iter().any(|unrated| text.starts_with(unrated)));
        // What they quote is somebody else's.
        let shown = |texts: Vec<String>| -> Vec<String> {
            texts.iter().map(|text| printable_line(text)).collect()
        };
        let mut warnings = shown(self.warnings);
        warnings.dedup();
        let mut verdict = Verdict {
            at: self.request.policy.now,
            passed,
            images,
            refusals: shown(refusals),
            unrated: shown(self.unrated),
            failures: shown(self.failures),
            warnings,
            table: String::new(),
            bases: self.bases.into_iter().map(Basis::printable).collect(),
            inventories: self.inventories,
        };
        verdict.table = report::table(&verdict, self.request.width);
        verdict
    }
}

/// Of an image's layers, bottom first.
fn digests(child: &Child) -> Vec<Digest> {
    let layers = child.manifest.layers.iter();
    layers.map(|layer| layer.digest.clone()).collect()
}

fn is_unrated(finding: &Finding) -> bool {
    finding.severity == Severity::Unknown && finding.kind == FindingKind::Vulnerability
}
