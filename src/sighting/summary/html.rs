//! The summary as one HTML page that loads nothing from elsewhere.

use std::fmt::{self, Display, Write};

use time::OffsetDateTime;

use super::{LONGEST_TEXT, SightingSummary, has_sources, hosts, sources};
use crate::observable::{stix_time, whole_second};
use crate::process::text::printable;

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// SHA-256 of the style and of the script: the page may use nothing else.
const STYLE_HASH: &str = "vObajTyNmHyIHRs+tWbo84Y/xO/SQYLFVUTDPmQ+v6w=";
const SCRIPT_HASH: &str = "G/7LA842E2iWlvx+hvgATVHkKAILSlTWaTPmf9d/l2M=";

/// The width of the chart, in its own units.
const CHART_WIDTH: f64 = 600.0;
const HEIGHT: f64 = 120.0;
/// The base line of the bars; the times are below it.
const BASE: f64 = 100.0;

/// The page. Texts from outside are escaped, with control characters made visible.
pub fn html(summary: &SightingSummary) -> String {
    let sightings: u64 = summary.rows.iter().map(|row| row.count).sum::<u64>() + summary.others;
    let mut page = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; \
         style-src 'sha256-{STYLE_HASH}'; script-src 'sha256-{SCRIPT_HASH}'; base-uri 'none'; \
         form-action 'none'\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"referrer\" content=\"no-referrer\">\n\
         <title>Sightings</title>\n<style>{STYLE}</style>\n</head>\n<body>\n\
         <h1>{sightings} sighting(s) of {} indicator(s)</h1>\n",
        summary.rows.len()
    );
    time_line(summary, &mut page);
    rows(summary, &mut page);
    if summary.others > 0 {
        push(
            &mut page,
            format_args!("<p>and {} sighting(s) of others</p>\n", summary.others),
        );
    }
    push(
        &mut page,
        format_args!("<script>{SCRIPT}</script>\n</body>\n</html>\n"),
    );
    page
}

fn push(page: &mut String, text: fmt::Arguments<'_>) {
    page.write_fmt(text)
        .expect("writing to a string cannot fail");
}

/// A bar chart of sightings over time.
fn time_line(summary: &SightingSummary, page: &mut String) {
    let most = summary
        .line
        .iter()
        .map(|(_, count)| *count)
        .max()
        .unwrap_or(0);
    let (Some(first), Some(last)) = (summary.line.first(), summary.line.last()) else {
        return;
    };
    push(
        page,
        format_args!(
            "<svg viewBox=\"0 0 {CHART_WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"Sightings over time\">\n\
             <line x1=\"0\" y1=\"{BASE}\" x2=\"{CHART_WIDTH}\" y2=\"{BASE}\"/>\n"
        ),
    );
    let step = CHART_WIDTH / summary.line.len() as f64;
    for (number, (from, count)) in summary.line.iter().enumerate() {
        if *count == 0 {
            continue;
        }
        // A single sighting is visible too.
        let height = (*count as f64 / most as f64 * (BASE - 10.0)).max(1.0);
        push(
            page,
            format_args!(
                "<rect x=\"{:.2}\" y=\"{:.2}\" width=\"{:.2}\" height=\"{height:.2}\">\
                 <title>{}: {count}</title></rect>\n",
                number as f64 * step,
                BASE - height,
                (step * 0.85).min(40.0),
                moment(*from),
            ),
        );
    }
    push(
        page,
        format_args!(
            "<text x=\"0\" y=\"116\">{}</text>\n\
             <text x=\"{CHART_WIDTH}\" y=\"116\" text-anchor=\"end\">{}</text>\n</svg>\n",
            moment(first.0),
            moment(last.0.saturating_add(summary.span)),
        ),
    );
}

fn moment(second: i64) -> String {
    let moment = OffsetDateTime::from_unix_timestamp(second);
    moment.map_or_else(|_| second.to_string(), |moment| whole_second(moment) + "Z")
}

/// The last column is shown if there are several engines.
const HEADS: [&str; 8] = [
    "Indicator",
    "Kind",
    "Feed",
    "Sightings",
    "First seen",
    "Last seen",
    "Hosts",
    "Engines",
];

fn rows(summary: &SightingSummary, page: &mut String) {
    let columns = HEADS.len() - usize::from(!has_sources(summary));
    page.push_str("<table>\n<thead><tr>");
    for head in &HEADS[..columns] {
        // The rows arrive in this order.
        let sort = match *head {
            "Sightings" => " aria-sort=\"descending\"",
            _ => "",
        };
        push(
            page,
            format_args!("<th scope=\"col\"{sort}><button type=\"button\">{head}</button></th>"),
        );
    }
    page.push_str("</tr></thead>\n<tbody>\n");
    for row in &summary.rows {
        let cells = [
            row.indicator.clone(),
            row.kind.to_owned(),
            row.feed.clone(),
            row.count.to_string(),
            stix_time(row.first_seen),
            stix_time(row.last_seen),
            hosts(row),
            sources(row),
        ];
        push(page, format_args!("<tr title=\"{}\">", Escaped(&row.id)));
        for (head, text) in HEADS[..columns].iter().zip(&cells) {
            let class = match *head {
                "Sightings" => " class=\"number\"",
                _ => "",
            };
            let text = Escaped(text);
            push(
                page,
                format_args!("<td{class} data-label=\"{head}\">{text}</td>"),
            );
        }
        page.push_str("</tr>\n");
    }
    page.push_str("</tbody>\n</table>\n");
}

/// Escapes a text from outside for an element or an attribute in double quotes.
struct Escaped<'a>(&'a str);

impl Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in printable(self.0, LONGEST_TEXT).to_string().chars() {
            match c {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                c => f.write_char(c)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use sha2::{Digest, Sha256};

    use super::super::tests::sample;
    use super::*;

    /// Base 64 (RFC 4648).
    fn base64(bytes: &[u8]) -> String {
        const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let three = |three: &[u8]| {
            let byte = |at: usize| u32::from(three.get(at).copied().unwrap_or(0));
            let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
            (0..4)
                .map(|n| {
                    if n <= three.len() {
                        char::from(LETTERS[(bits >> (18 - 6 * n)) as usize & 63])
                    } else {
                        '='
                    }
                })
                .collect::<String>()
        };
        bytes.chunks(3).map(three).collect()
    }

    #[test]
    fn the_policy_knows_the_style_and_the_script() {
        assert_eq!(base64(&Sha256::digest(STYLE)), STYLE_HASH);
        assert_eq!(base64(&Sha256::digest(SCRIPT)), SCRIPT_HASH);
    }

    #[test]
    fn nothing_is_from_elsewhere() {
        let page = html(&sample(&["a.example"]));
        for word in ["http://", "https://", "src=", "@import", "url("] {
            assert!(!page.contains(word), "{word}");
        }
        assert!(
            page.contains("<title>2024-03-05T09:00:00Z: 3</title>"),
            "{page}"
        );
        assert_eq!(page.matches("<rect ").count(), 2);
        assert!(!html(&sample(&[])).contains("<tr title"));
    }

    proptest! {
        #[test]
        fn no_text_from_outside_is_markup(text in "[ -~<>&\"'\u{202e}\u{0}\u{7f}\u{e4}\n]{0,30}") {
            let plain = html(&sample(&["x"]));
            let page = html(&sample(&[&text]));
            for mark in ['<', '>', '"', '\''] {
                prop_assert_eq!(page.matches(mark).count(), plain.matches(mark).count());
            }
            let is_odd = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
            prop_assert!(!page.contains(is_odd));
            prop_assert_eq!(page.lines().count(), plain.lines().count());
        }
    }
}
