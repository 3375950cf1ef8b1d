//! HTML pages that need nothing but themselves: no script, no font, no connection.

use std::fmt::Write;

use imgmake_guard::printable::{self, Colors};

/// Colors of pages, light and dark.
const PALETTE: &str = "\
:root { color-scheme: light dark; --page: #ffffff; --card: #f6f8fa; --line: #d0d7de; --text: #1f2328; --dim: #59636e; \
--done: #2f81f7; --cached: #afb8c1; --failed: #cf222e; --stopped: #bf8700; --pull: #1b9e8a; --push: #8250df; --critical: #e36209; --fresh: #2da44e } \
@media (prefers-color-scheme: dark) { :root { --page: #0d1117; --card: #151b23; --line: #30363d; --text: #e6edf3; --dim: #9198a1; \
--done: #388bfd; --cached: #57606a; --failed: #f85149; --stopped: #d29922; --pull: #2bb5a0; --push: #a371f7; --critical: #f0883e; --fresh: #3fb950 } } \
* { box-sizing: border-box } \
body { margin: 0; background: var(--page); color: var(--text); font: 14px/1.5 system-ui, -apple-system, 'Segoe UI', 'Noto Sans', Helvetica, Arial, sans-serif } \
main { max-width: 1400px; margin: 0 auto; padding: 24px 32px 64px } \
h1 { font-size: 22px; margin: 0 } h2 { font-size: 16px; margin: 32px 0 12px } \
.dim { color: var(--dim) } code { font: 12.5px ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace } \
table { border-collapse: collapse; width: 100% } th { text-align: left; font-weight: 600; color: var(--dim); font-size: 12px } \
td, th { padding: 5px 12px 5px 0; border-bottom: 1px solid var(--line); vertical-align: top } \
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap } ";

/// A whole page, with its own style after the common one.
pub fn whole(title: &str, style: &str, body: &str) -> String {
    let mut text = String::with_capacity(body.len() + style.len() + PALETTE.len() + 1000);
    let _ = write!(
        text,
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{}</title>\n<style>{PALETTE}{style}</style>\n</head>\n<body>\n<main>\n{body}</main>\n</body>\n</html>\n",
        escaped(title)
    );
    text
}

/// Words of others as text of a page, or inside of quotes.
pub fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in printable::line(text, Colors::Removed).chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}
