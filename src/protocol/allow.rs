//! Reads the files of `--allow`: lists, CSV, and MISP warning lists.

use serde::Deserialize;

use crate::indicator::AllowEntry;
use crate::observable::{Observable, domain, of_line};

/// The contents of a file.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Allowed {
    /// What is allowed.
    pub entries: Vec<AllowEntry>,
    /// The lines or elements that are not a value that can be allowed.
    pub unusable: Vec<String>,
}

/// A MISP warning list.
#[derive(Deserialize)]
struct WarningList {
    #[serde(default)]
    name: String,
    #[serde(rename = "type")]
    kind: String,
    list: Vec<String>,
}

/// Reads a file: a MISP warning list if it is JSON, or else lines with one value each, or
/// with several columns, of which the first that is a value counts.
///
/// # Errors
/// It is JSON but not a warning list, or it is a list of substrings or regular
/// expressions.
pub fn parse(text: &str) -> Result<Allowed, String> {
    let mut allowed = Allowed::default();
    if text.trim_start().starts_with('{') {
        for value in warning_list(text)? {
            allowed.take(&value, &value);
        }
        return Ok(allowed);
    }
    for (number, line) in text.lines().enumerate() {
        let line = line.trim().trim_start_matches('\u{feff}');
        if line.is_empty() || line.starts_with('#') || line.starts_with(';') {
            continue;
        }
        let cells = line.split([',', ';', '\t']);
        let cells: Vec<&str> = cells
            .map(|cell| cell.trim().trim_matches('"').trim())
            .collect();
        match cells.iter().find(|cell| entries(cell).is_some()) {
            Some(cell) => allowed.take(cell, line),
            // The names of the columns.
            None if number == 0 && cells.len() > 1 => {}
            None => allowed.unusable.push(line.to_owned()),
        }
    }
    Ok(allowed)
}

impl Allowed {
    fn take(&mut self, value: &str, line: &str) {
        match entries(value) {
            Some(entries) => self.entries.extend(entries),
            None => self.unusable.push(line.to_owned()),
        }
    }
}

fn warning_list(text: &str) -> Result<Vec<String>, String> {
    let list: WarningList = serde_json::from_str(text)
        .map_err(|error| format!("it is JSON, but no warning list of MISP: {error}"))?;
    match &*list.kind {
        "string" | "hostname" | "cidr" => Ok(list.list),
        kind => Err(format!(
            "the warning list {:?} is of the type {kind:?}; lists of the types string, hostname \
             and cidr can be used, which name whole values",
            list.name
        )),
    }
}

/// The entries for a text: `.domain` is a domain and all names below it.
fn entries(text: &str) -> Option<Vec<AllowEntry>> {
    if let Some(name) = text.strip_prefix('.') {
        let Observable::Domain(name) = Observable::of_domain(name).ok()? else {
            return None;
        };
        let mut buffer = String::new();
        return Some(vec![AllowEntry::Domain(
            domain::read(&name, &mut buffer).to_owned(),
        )]);
    }
    let values = of_line(text).or_else(|error| {
        // A plain word in an allow list is a name.
        let is_name = text.contains('.') || text == "localhost";
        let name = is_name.then(|| Observable::of_domain(text).ok()).flatten();
        name.map(|name| vec![name]).ok_or(error)
    });
    Some(values.ok()?.into_iter().map(AllowEntry::Value).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(text: &str) -> Vec<String> {
        let allowed = parse(text).unwrap_or_else(|error| panic!("{error}"));
        let text = |entry: &AllowEntry| match entry {
            AllowEntry::Value(value) => value.to_string(),
            AllowEntry::Domain(name) => format!(".{name}"),
        };
        allowed.entries.iter().map(text).collect()
    }

    #[test]
    fn lists_and_tables_are_read() {
        let list =
            "# ours\n192.0.2.1\n\n198.51.100.0/24 \n.Our.example\nwww.our.example\nlocalhost\n";
        let expected = [
            "192.0.2.1",
            "198.51.100.0/24",
            ".our.example",
            "www.our.example",
            "localhost",
        ];
        assert_eq!(texts(list), expected);
        let table = "name,address,why\n\"proxy, old\",\"192.0.2.1\",x\nmail;192.0.2.2;y\n";
        assert_eq!(texts(table), ["192.0.2.1", "192.0.2.2"]);
        let odd = parse("192.0.2.1\nno value\n").expect("a list");
        assert_eq!(odd.unusable, ["no value"]);
    }

    #[test]
    fn warning_lists_of_whole_values_are_read_and_others_are_named() {
        let list = |kind: &str| {
            format!(
                r#"{{"name": "My list", "type": "{kind}", "version": 1, "description": "x",
                    "matching_attributes": ["ip-dst"], "list": ["192.0.2.0/24", ".our.example"]}}"#
            )
        };
        for kind in ["cidr", "hostname", "string"] {
            assert_eq!(texts(&list(kind)), ["192.0.2.0/24", ".our.example"]);
        }
        for kind in ["substring", "regex"] {
            let error = parse(&list(kind)).expect_err("no whole values");
            assert!(error.contains("My list") && error.contains(kind), "{error}");
        }
        assert!(parse("{\"a\": 1}").is_err());
    }
}
