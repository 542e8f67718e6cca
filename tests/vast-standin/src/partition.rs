//! What holds for all stored events together: a field name that means fields of
//! several types is equal to nothing (measured).

use std::collections::{HashMap, HashSet};
use std::io;
use std::path::Path;

use crate::concepts::Concepts;
use crate::evaluate::lossless;
use crate::events::files;
use crate::query::{Extractor, Predicate, Query};
use crate::scan::{Scalar, scan};
use crate::schema::{Kind, Schema};

/// The types that make a name ambiguous.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Type {
    Field(Kind),
    Bool,
    Number,
    List,
}

/// The positions of the predicates that can hold for no stored event.
///
/// # Errors
/// When an event cannot be read.
pub fn ambiguous(
    query: &Query,
    concepts: &Concepts,
    schema: &Schema,
    folder: &Path,
) -> io::Result<HashSet<usize>> {
    let mut asked: HashMap<&str, (Option<Type>, bool)> = HashMap::new();
    for predicate in &query.predicates {
        if let Some(name) = suffix(predicate, concepts) {
            asked.insert(name, (None, false));
        }
    }
    if asked.is_empty() {
        return Ok(HashSet::new());
    }
    for file in files(folder)? {
        let mut lines = file.open()?;
        let mut known: HashSet<String> = HashSet::new();
        while let Some(line) = lines.next_line(true)? {
            scan(&lossless(line), |path, value| {
                if known.contains(path) {
                    return;
                }
                let Some(found) = kind_of(schema, &file.type_name, path, &value) else {
                    return;
                };
                known.insert(path.to_owned());
                let full = format!("{}.{path}", file.type_name);
                for (_, (first, is_several)) in
                    asked.iter_mut().filter(|(name, _)| full.ends_with(**name))
                {
                    *is_several |= *first.get_or_insert(found) != found;
                }
            });
        }
    }
    let is_several = |predicate: &Predicate| {
        suffix(predicate, concepts).is_some_and(|name| asked.get(name).is_some_and(|one| one.1))
    };
    let numbered = query.predicates.iter().enumerate();
    Ok(numbered
        .filter_map(|(position, predicate)| is_several(predicate).then_some(position))
        .collect())
}

/// The name that a predicate compares by `==`, where it is no concept.
fn suffix<'a>(predicate: &'a Predicate, concepts: &Concepts) -> Option<&'a str> {
    match &predicate.extractor {
        Extractor::Field(name) if predicate.equality && concepts.fields(name).is_none() => {
            Some(name)
        }
        _ => None,
    }
}

/// The type that a value shows; a null shows none.
fn kind_of(schema: &Schema, type_name: &str, path: &str, value: &Scalar<'_>) -> Option<Type> {
    Some(match value {
        Scalar::Null => return None,
        Scalar::Bool(_) => Type::Bool,
        Scalar::Number(_) => Type::Number,
        Scalar::List(_) => Type::List,
        Scalar::Text(_) => Type::Field(schema.kind(type_name, path)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::{Dialect, parse};

    #[test]
    fn a_name_of_several_types_is_equal_to_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        for (name, event) in [
            (
                "suricata.http",
                r#"{"http": {"url": "/x", "status": 200}, "id": 5}"#,
            ),
            (
                "suricata.smtp",
                r#"{"email": {"url": ["http://a/"]}, "uid": null}"#,
            ),
            (
                "zeek.http",
                r#"{"uri": "/x", "uid": "C1", "status_code": 200}"#,
            ),
        ] {
            let path = folder.path().join(format!("{name}.json"));
            std::fs::write(path, event).expect("written");
        }
        let of = |text: &str| {
            let query = parse(text, &Dialect::default()).expect(text);
            let concepts = Concepts::default();
            ambiguous(&query, &concepts, &Schema::default(), folder.path()).expect("read")
        };
        for (text, expected) in [
            (r#"url == "/x""#, true),
            (r#"url in ["/x"]"#, false),
            (r#"http.url == "/x""#, false),
            (r#""/x" == uri"#, false),
            (r#"id == "C1""#, true),
            (r#"uid == "C1""#, false),
            (r#"email.url == "x""#, false),
        ] {
            assert_eq!(!of(text).is_empty(), expected, "{text}");
        }
        assert_eq!(of(r#"uri == "/x" || url == "/x""#), HashSet::from([1]));
    }
}
