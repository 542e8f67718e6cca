//! The human-readable summary of a run: a table for the terminal, and JSON, CSV and HTML
//! files. Texts from outside are escaped in each of them.

mod html;

use std::collections::BTreeMap;
use std::fmt::Write;

use serde::Serialize;

use super::tally::{SightedIndicator, SightingSummary};
use crate::observable::stix_time;
use crate::process::text::printable;

pub use html::html;

/// The number of rows of the table.
const ROWS_SHOWN: usize = 20;

/// The most bytes of a text in the table.
const WIDEST: usize = 60;

/// The most bytes of a text in files.
const LONGEST_TEXT: usize = 4096;

/// The table for a terminal; empty if there are no sightings.
pub fn table(summary: &SightingSummary) -> String {
    if summary.rows.is_empty() {
        return String::new();
    }
    let head = [
        "indicator",
        "kind",
        "feed",
        "sightings",
        "first seen",
        "last seen",
        "hosts",
        "engines",
    ];
    // The last column is shown if there are several engines.
    let columns = head.len() - usize::from(!has_sources(summary));
    let mut lines = vec![head.map(str::to_owned)];
    lines.extend(summary.rows.iter().take(ROWS_SHOWN).map(|row| {
        [
            printable(&row.indicator, WIDEST).to_string(),
            row.kind.to_owned(),
            printable(&row.feed, WIDEST).to_string(),
            row.count.to_string(),
            stix_time(row.first_seen),
            stix_time(row.last_seen),
            hosts(row),
            printable(&sources(row), WIDEST).to_string(),
        ]
    }));
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max();
    let widths: Vec<usize> = (0..columns)
        .map(|column| width(column).unwrap_or(0))
        .collect();
    let mut table = String::new();
    for line in &lines {
        let cells: Vec<String> = line
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:<width$}"))
            .collect();
        table.push_str(cells.join("  ").trim_end());
        table.push('\n');
    }
    let more = summary.rows.len().saturating_sub(ROWS_SHOWN);
    if more > 0 {
        writeln!(table, "and {more} more").expect("writing to a string cannot fail");
    }
    if summary.others > 0 {
        writeln!(table, "and {} sighting(s) of others", summary.others)
            .expect("a string takes all");
    }
    table
}

fn hosts(row: &SightedIndicator) -> String {
    let hosts = row
        .hosts
        .iter()
        .map(|(host, count)| format!("{host} ({count})"));
    hosts.collect::<Vec<_>>().join(", ")
}

/// Whether there are several engines.
fn has_sources(summary: &SightingSummary) -> bool {
    summary.rows.iter().any(|row| !row.sources.is_empty())
}

fn sources(row: &SightedIndicator) -> String {
    let sources = row
        .sources
        .iter()
        .map(|(name, count)| format!("{name} ({count})"));
    sources.collect::<Vec<_>>().join(", ")
}

#[derive(Serialize)]
struct JsonRow<'a> {
    id: &'a str,
    indicator: &'a str,
    kind: &'a str,
    feed: &'a str,
    sightings: u64,
    first_seen: String,
    last_seen: String,
    hosts: Vec<JsonHost>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    engines: BTreeMap<&'a str, u64>,
}

#[derive(Serialize)]
struct JsonHost {
    address: String,
    sightings: u64,
}

/// The summary as JSON.
///
/// # Errors
/// Serialization fails, which is not expected for this data.
pub fn json(summary: &SightingSummary) -> serde_json::Result<String> {
    let rows = summary.rows.iter().map(|row| JsonRow {
        id: &row.id,
        indicator: &row.indicator,
        kind: row.kind,
        feed: &row.feed,
        sightings: row.count,
        first_seen: stix_time(row.first_seen),
        last_seen: stix_time(row.last_seen),
        hosts: row
            .hosts
            .iter()
            .map(|(host, count)| JsonHost {
                address: host.to_string(),
                sightings: *count,
            })
            .collect(),
        engines: row
            .sources
            .iter()
            .map(|(name, count)| (&**name, *count))
            .collect(),
    });
    let rows: Vec<JsonRow<'_>> = rows.collect();
    let all = serde_json::json!({"indicators": rows, "sightings_of_others": summary.others});
    serde_json::to_string_pretty(&all).map(|json| json + "\n")
}

/// The summary as CSV (RFC 4180). An apostrophe is put before a text that a spreadsheet
/// would read as a formula.
pub fn csv(summary: &SightingSummary) -> String {
    let has_sources = has_sources(summary);
    let mut csv = "indicator,kind,feed,sightings,first_seen,last_seen,hosts,id".to_owned();
    if has_sources {
        csv.push_str(",engines");
    }
    csv.push_str("\r\n");
    for row in &summary.rows {
        let cells = [
            cell(&row.indicator),
            cell(row.kind),
            cell(&row.feed),
            row.count.to_string(),
            cell(&stix_time(row.first_seen)),
            cell(&stix_time(row.last_seen)),
            cell(&hosts(row)),
            cell(&row.id),
        ];
        csv.push_str(&cells.join(","));
        if has_sources {
            csv.push(',');
            csv.push_str(&cell(&sources(row)));
        }
        csv.push_str("\r\n");
    }
    csv
}

fn cell(text: &str) -> String {
    let text = printable(text, LONGEST_TEXT).to_string();
    let begins = text.trim_start().chars().next();
    let is_formula =
        begins.is_some_and(|first| "=+-@\u{ff1d}\u{ff0b}\u{ff0d}\u{ff20}|%".contains(first));
    let guard = if is_formula { "'" } else { "" };
    format!("\"{guard}{}\"", text.replace('"', "\"\""))
}

#[cfg(test)]
pub(crate) mod tests {
    use time::macros::datetime;

    use super::*;

    /// A row of this indicator.
    pub(crate) fn row(indicator: &str, count: u64) -> SightedIndicator {
        SightedIndicator {
            id: format!("id of {indicator}"),
            indicator: indicator.to_owned(),
            kind: "domain",
            feed: "=feed".to_owned(),
            count,
            first_seen: datetime!(2024-03-05 09:00 UTC),
            last_seen: datetime!(2024-03-05 10:30 UTC),
            hosts: vec![("10.0.0.1".parse().expect("an address"), 3)],
            sources: BTreeMap::new(),
        }
    }

    pub(crate) fn sample(indicators: &[&str]) -> SightingSummary {
        SightingSummary {
            rows: indicators.iter().map(|one| row(one, 7)).collect(),
            line: vec![(1_709_629_200, 3), (1_709_632_800, 0), (1_709_636_400, 4)],
            span: 3600,
            others: 0,
        }
    }

    const HOSTILE: &str = "<img src=x onerror=alert(1)>\u{202e}\u{1b}[31m\"'&\n";

    #[test]
    fn the_table_shows_twenty_and_says_how_many_more() {
        let names: Vec<String> = (0..25).map(|n| format!("host{n}.example")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let table = table(&sample(&names));
        assert_eq!(table.lines().count(), 22);
        assert!(table.ends_with("and 5 more\n"), "{table}");
        let first = "host0.example   domain  =feed  7          2024-03-05T09:00:00Z  \
                     2024-03-05T10:30:00Z  10.0.0.1 (3)";
        assert_eq!(table.lines().nth(1), Some(first));
        assert_eq!(super::table(&sample(&[])), "");
    }

    #[test]
    fn no_control_character_reaches_a_terminal() {
        let table = table(&sample(&[HOSTILE]));
        let is_odd = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
        assert!(!table.contains(is_odd), "{table:?}");
        assert_eq!(table.lines().count(), 2);
    }

    #[test]
    fn no_formula_reaches_a_spreadsheet() {
        for text in ["=1+1", "+1", "-1", "@x", " =1", "\u{ff1d}1", "\t=1"] {
            let csv = csv(&sample(&[text]));
            let line = csv.lines().nth(1).unwrap_or_default();
            let cell = line.split(',').next().unwrap_or_default();
            let is_guarded = cell.starts_with("\"'") || cell.starts_with("\"\\");
            assert!(is_guarded, "{text:?}: {line}");
            assert!(line.contains("\"'=feed\""), "{line}");
        }
        let line = csv(&sample(&["a\"b,c"]));
        assert!(line.contains("\"a\"\"b,c\",\"domain\""), "{line}");
    }

    #[test]
    fn json_has_all_of_it() {
        let text = json(&sample(&[HOSTILE, "b.example"])).expect("JSON");
        let all: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(all["indicators"][0]["indicator"], HOSTILE);
        assert_eq!(all["indicators"][1]["sightings"], 7);
        assert_eq!(all["indicators"][1]["hosts"][0]["address"], "10.0.0.1");
        assert!(all["indicators"][1].get("engines").is_none());
    }

    #[test]
    fn several_engines_are_told_apart() {
        let mut summary = sample(&["a.example", "b.example"]);
        summary.rows[0].sources = [("=north".into(), 3), ("south".into(), 4)].into();
        let all: serde_json::Value =
            serde_json::from_str(&json(&summary).expect("JSON")).expect("JSON");
        assert_eq!(
            all["indicators"][0]["engines"],
            serde_json::json!({"=north": 3, "south": 4})
        );
        let csv = csv(&summary);
        let ends = ["id,engines", "\"'=north (3), south (4)\"", "\"\""];
        for (line, end) in csv.lines().zip(ends) {
            assert!(line.ends_with(end), "{line}");
        }
        let table = table(&summary);
        let ends = [
            "hosts         engines",
            "=north (3), south (4)",
            "10.0.0.1 (3)",
        ];
        for (line, end) in table.lines().zip(ends) {
            assert!(line.ends_with(end), "{line}");
        }
        let page = html(&summary);
        assert!(page.contains(">Engines</button>") && page.contains("south (4)</td>"));
        assert!(!html(&self::sample(&["a.example"])).contains("Engines"));
    }
}
