//! Every function of bake is here, or refused by its name.

use std::collections::BTreeMap;

use super::{Facts, REFUSED, names};
use crate::import::bake::context::Context;
use crate::import::bake::expression::Expression;
use crate::import::bake::value::Value;

/// The standard library of bake, as buildx 0.30 lists it.
const OF_BAKE: &str = "absolute add and base64decode base64encode basename bcrypt byteslen bytesslice can
    ceil chomp chunklist cidrhost cidrnetmask cidrsubnet cidrsubnets coalesce coalescelist compact concat
    contains convert csvdecode dirname distinct divide element equal flatten floor format formatdate
    formatlist formattimestamp greaterthan greaterthanorequalto hasindex homedir indent index indexof int
    join jsondecode jsonencode keys length lessthan lessthanorequalto log lookup lower max md5 merge min
    modulo multiply negate not notequal or parseint pow range regex regex_replace regexall replace reverse
    reverselist rsadecrypt sanitize semvercmp sethaselement setintersection setproduct setsubtract
    setsymmetricdifference setunion sha1 sha256 sha512 signum slice sort split strlen substr subtract
    timeadd timestamp title trim trimprefix trimspace trimsuffix try unixtimestampparse upper urlencode
    uuidv4 uuidv5 values zipmap";

#[test]
fn every_function_of_bake_is_here_or_refused_by_name() {
    let refused = REFUSED.map(|(name, _)| name);
    let mut known: Vec<&str> = names().chain(refused).collect();
    known.sort_unstable();
    let mut of_bake: Vec<&str> = OF_BAKE.split_whitespace().collect();
    of_bake.sort_unstable();
    assert_eq!(known, of_bake);
}

fn evaluated(text: &str) -> Result<String, String> {
    let environment = BTreeMap::from([("HOME".to_string(), "/home/one".to_string())]);
    let context = Context::default();
    let _known = Facts::new(&environment, "2026-01-02T03:04:05Z", &context.budget);
    let written = hcl_edit::parser::parse_expr(text).unwrap_or_else(|e| panic!("{text}: {e}"));
    let value = Expression::read(&written)?
        .evaluate(&context)
        .map_err(|failed| failed.to_string())?;
    Ok(match value {
        Value::String(text) => text,
        other => other.to_json(),
    })
}

/// `expression => what it gives`; `!` is an error.
const CASES: &str = r#"
absolute(-1.5) => 1.5
add(123, 1) => 124
add("1", 0.5) => 1.5
and(true, false) => false
or(true, false) => true
not(false) => true
base64encode("Hello, wörld") => SGVsbG8sIHfDtnJsZA==
base64decode("SGVsbG8sIHfDtnJsZA==") => Hello, wörld
base64decode("%") !
basename("/foo/bar") => bar
basename("") => .
basename("/") => /
basename("foo/bar...") => bar...
dirname("/foo/bar") => /foo
dirname("/") => /
dirname("simple") => .
dirname("a/../b/c") => b
ceil(1.2) => 2
floor(-1.2) => -2
int(-1.7) => -1
signum(-3) => -1
negate(2) => -2
chomp("a\n\n") => a
chunklist([1, 2, 3], 2) => [[1,2],[3]]
cidrhost("10.12.112.0/20", 16) => 10.12.112.16
cidrhost("10.0.0.0/24", -1) => 10.0.0.255
cidrhost("10.0.0.0/24", 256) !
cidrhost("fd00:fd12:3456:7890::/72", 34) => fd00:fd12:3456:7890::22
cidrnetmask("172.16.0.0/12") => 255.240.0.0
cidrnetmask("fd00::/8") !
cidrsubnet("172.16.0.0/12", 4, 2) => 172.18.0.0/16
cidrsubnet("10.1.2.0/24", 4, 15) => 10.1.2.240/28
cidrsubnet("10.1.2.0/24", 4, 16) !
cidrsubnet("fd00:fd12:3456:7890::/56", 16, 162) => fd00:fd12:3456:7800:a200::/72
cidrsubnets("10.1.0.0/16", 4, 4, 8, 4) => ["10.1.0.0/20","10.1.16.0/20","10.1.32.0/24","10.1.48.0/20"]
cidrsubnets("10.0.0.0/30", 1, 1, 1) !
cidrsubnets("::/0", 1, 1) => ["::/1","8000::/1"]
cidrsubnets("::/0", 1, 1, 8) !
cidrsubnets("10.0.0.0/8", 0) => ["10.0.0.0/8"]
cidrhost("::/0", -1) => ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff
cidrsubnet("10.0.0.0/8", 4294967295, 0) !
coalesce(null, "", "c") == "" => true
coalesce(null) !
can(1) => true
can(nosuch) => false
try(nosuch, "a") => a
try(nosuch) !
convert("1", number) => 1
coalescelist([], [1]) => [1]
compact(["a", "", "b"]) => ["a","b"]
concat(["a"], ["b", "c"]) => ["a","b","c"]
contains(["a", "b"], "b") => true
csvdecode("a,b\n1,\"x,y\"\n2,z\n") => [{"a":"1","b":"x,y"},{"a":"2","b":"z"}]
csvdecode("a,b\n1\n") !
distinct(["a", "b", "a"]) => ["a","b"]
divide(7, 2) => 3.5
divide(1, 0) !
modulo(7, 3) => 1
element(["a", "b"], 3) => b
element(["a", "b"], -1) => b
element([], 0) !
equal(1, 1.0) => true
notequal("a", "b") => true
flatten([["a", ["b"]], "c"]) => ["a","b","c"]
format("%s has %d of %5.1f%% %q", "x", 3, 2.25, "q\"") => x has 3 of   2.2% "q\""
format("%05d|%-4s|%+d|%x|%X|%o|%b|%t|%v", 42, "ab", 3, 255, 255, 8, 5, true, [1]) => 00042|ab  |+3|ff|FF|10|101|true|[1]
format("%[2]s %[1]s", "a", "b") => b a
format("%d", "x") !
format("%s") !
format("%s", "a", "b") !
format("%e", 1234.5) => 1.234500e+03
formatlist("%s-%s", ["a", "b"], "c") => ["a-c","b-c"]
formatdate("YYYY-MM-DD'T'hh:mm:ssZ", "2026-03-04T05:06:07Z") => 2026-03-04T05:06:07Z
formatdate("EEEE, D MMM YY H:mm aa ZZZ", "2026-03-04T15:06:07+02:00") => Wednesday, 4 Mar 26 3:06 pm +0200
formatdate("Q", "2026-03-04T05:06:07Z") !
formatdate("YYYY", "yesterday") !
formattimestamp("X", "2015-10-21T00:00:00Z") => 1445385600
formattimestamp("YYYY-MM-DD", 1690328596) => 2023-07-25
formattimestamp("YYYY", 1.5) !
greaterthan(2, 1) => true
greaterthanorequalto(1, 1) => true
lessthan(2, 1) => false
lessthanorequalto(1, 1) => true
hasindex(["a"], 0) => true
hasindex({ a = 1 }, "b") => false
homedir() => /home/one
indent(2, "a\nb") => a\n  b
index({ a = 1 }, "a") => 1
index(["a"], 1) !
indexof(["one", 2], 2) => 1
indexof(["one"], "two") !
join("-", ["a", 1], [true]) => a-1-true
jsonencode({ b = "<", a = [1, null] }) => {"a":[1,null],"b":"\u003c"}
jsondecode("{\"a\": [1]}") => {"a":[1]}
jsondecode("{") !
keys({ b = 1, a = 2 }) => ["a","b"]
values({ b = 1, a = 2 }) => [2,1]
length(["a", "b"]) => 2
length({ a = 1 }) => 1
log(8, 2) => 3
lookup({ a = "1" }, "b", "none") => none
lookup({ a = "1" }, "b") !
lower("ABC") => abc
upper("abc") => ABC
title("hello big world") => Hello Big World
max(1, 3, 2) => 3
min(1, 3, 2) => 1
md5("hello world") => 5eb63bbbe01eeed093cb22bb8f5acdc3
sha1("hello world") => 2aae6c35c94fcfb415dbe95f408b9ce91ee846ed
sha256("hello world") => b94d27b9934d3e08a52e52d7da7dabfac484efe37a5380ee9088f7ace2efcde9
strlen(sha512("")) => 128
merge({ a = 1 }, { a = 2, b = 3 }) => {"a":2,"b":3}
multiply(3, 4) => 12
parseint("ff", 16) => 255
parseint("9", 8) !
pow(2, 10) => 1024
range(3) => [0,1,2]
range(1, 2, 0.5) => [1,1.5]
range(3, 0) => [3,2,1]
range(0, 3, -1) !
regex("v([0-9]+)", "app-v12") => ["12"]
regex("(?P<major>[0-9]+)\\.(?P<minor>[0-9]+)", "1.25.0") => {"major":"1","minor":"25"}
regex("[a-z]+", "12ab3") => ab
regex("[a-z]+", "12") !
regexall("[0-9]", "a1b2") => ["1","2"]
regex_replace("a1b2", "([0-9])", "<$1>") => a<1>b<2>
replace("1.2.3", ".", "-") => 1-2-3
reverse("abc") => cba
reverselist([1, 2]) => [2,1]
sanitize("foo/bar!") => foo_bar_
semvercmp("1.2.3", ">= 1.0.0") => true
semvercmp("2.1.0", "< 2.0.0") => false
semvercmp("3.22", ">= 3.20") => true
semvercmp("v1.5.0", "1.2 - 1.6") => true
semvercmp("1.5.0", "~1.4 || ^1.5, != 1.5.1") => true
semvercmp("1.2.9", "1.2.x") => true
semvercmp("1.3.0", "1.2.x") => false
semvercmp("nothing", ">= 1.0.0") !
semvercmp("1.2.3", "") !
sethaselement(["a"], "a") => true
setintersection(["a", "b"], ["b", "c"]) => ["b"]
setproduct(["a", "b"], [1, 2]) => [["a",1],["a",2],["b",1],["b",2]]
setsubtract(["a", "b"], ["b"]) => ["a"]
setsymmetricdifference(["a", "b"], ["b", "c"]) => ["a","c"]
setunion(["b"], ["a", "b"]) => ["a","b"]
slice(["a", "b", "c"], 1, 3) => ["b","c"]
slice(["a"], 1, 3) !
sort(["b", "a"]) => ["a","b"]
split(",", "a,b") => ["a","b"]
strlen("wörld") => 5
substr("hello world", 1, 4) => ello
substr("hello", -2, -1) => lo
subtract(5, 7) => -2
timeadd("2026-01-01T00:00:00Z", "1h30m") => 2026-01-01T01:30:00Z
timeadd("2026-01-01T00:00:00Z", "-24h") => 2025-12-31T00:00:00Z
timeadd("2026-01-01T00:00:00Z", "soon") !
timestamp() => 2026-01-02T03:04:05Z
trim("--a--", "-") => a
trimprefix("v1", "v") => 1
trimspace("  a ") => a
trimsuffix("a.git", ".git") => a
unixtimestampparse(0).weekday_name => Thursday
unixtimestampparse(-1).iso_year => 1970
unixtimestampparse(1690328596).year_day => 206
unixtimestampparse("0") !
urlencode("a b&c/é~") => a+b%26c%2F%C3%A9~
uuidv5("dns", "www.example.com") => 2ed6657d-e927-568b-95e1-2665a8aea6a2
uuidv5("nowhere", "a") !
zipmap(["a", "b"], [1, 2]) => {"a":1,"b":2}
zipmap(["a"], []) !
"#;

#[test]
fn functions_give_what_they_give_in_bake() {
    let mut called = std::collections::BTreeSet::new();
    for case in CASES.lines().filter(|line| !line.is_empty()) {
        called.extend(names().filter(|name| case.contains(&format!("{name}("))));
        match case.strip_suffix(" !") {
            Some(expression) => {
                let given = evaluated(expression);
                assert!(given.is_err(), "{expression} gives {given:?}");
            }
            None => {
                let (expression, expected) = case.split_once(" => ").unwrap();
                let expected = expected.replace("\\n", "\n");
                assert_eq!(
                    evaluated(expression).as_deref(),
                    Ok(expected.as_str()),
                    "{case}"
                );
            }
        }
    }
    let untried: Vec<&str> = names().filter(|name| !called.contains(name)).collect();
    assert!(untried.is_empty(), "{untried:?}");
}

/// Texts, numbers and lists that functions trip over.
fn nasty() -> impl proptest::strategy::Strategy<Value = String> {
    let values = [
        "null",
        "true",
        "-1",
        "0",
        "1",
        "3",
        "0.5",
        "-9223372036854775808",
        "9223372036854775807",
        "1e300",
        "4294967295",
        "\"\"",
        "\"a\"",
        "\"wörld\\n\"",
        "\"%\"",
        "\"%5.3d %[9]s\"",
        "\"%-99999s\"",
        "\"(\"",
        "\"::/0\"",
        "\"10.0.0.0/8\"",
        "\"255.255.255.255/32\"",
        "\"1.2.3\"",
        "\">= 1, <\"",
        "\"-1h\"",
        "\"9999999999999h\"",
        "\"2026-01-01T00:00:00Z\"",
        "\"9999-12-31T23:59:59Z\"",
        "\"YYYY 'x\"",
        "\"{\\\"a\\\":1}\"",
        "\"a,\\\"b\\n\"",
        "[]",
        "[1, 2]",
        "[\"b\", \"a\"]",
        "[[1], [null]]",
        "{}",
        "{ a = 1 }",
        "{ a = [1] }",
    ];
    proptest::sample::select(values.map(String::from).to_vec())
}

proptest::proptest! {
    #![proptest_config(proptest::test_runner::Config::with_cases(40))]
    #[test]
    fn no_argument_causes_a_panic(arguments in proptest::collection::vec(nasty(), 0..4)) {
        for name in names() {
            for count in 0..=arguments.len() {
                drop(evaluated(&format!("{name}({})", arguments[..count].join(", "))));
            }
        }
    }
}
