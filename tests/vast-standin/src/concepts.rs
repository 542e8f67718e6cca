//! The concept table, in the format of `vast dump concepts`.

use std::collections::{HashMap, HashSet};

use serde::Deserialize;

/// The fields of every concept.
#[derive(Debug, Default)]
pub struct Concepts {
    by_name: HashMap<String, Concept>,
}

#[derive(Debug, Deserialize)]
struct Entry {
    concept: Option<Concept>,
}

#[derive(Debug, Deserialize)]
struct Concept {
    name: String,
    #[serde(default)]
    fields: Vec<String>,
    #[serde(default)]
    concepts: Vec<String>,
}

impl Concepts {
    /// Reads a table.
    ///
    /// # Errors
    /// When the text is no JSON of the recorded shape.
    pub fn parse(text: &[u8]) -> Result<Self, serde_json::Error> {
        let entries: Vec<Entry> = serde_json::from_slice(text)?;
        let by_name = entries
            .into_iter()
            .filter_map(|entry| entry.concept)
            .map(|concept| (concept.name.clone(), concept))
            .collect();
        Ok(Self { by_name })
    }

    /// The fields of a concept and of all concepts that it names, or nothing
    /// where there is no such concept.
    pub fn fields(&self, name: &str) -> Option<HashSet<&str>> {
        let mut fields = HashSet::new();
        let mut seen = HashSet::from([name]);
        let mut open = vec![self.by_name.get(name)?];
        while let Some(concept) = open.pop() {
            fields.extend(concept.fields.iter().map(String::as_str));
            for nested in &concept.concepts {
                if seen.insert(nested) {
                    open.extend(self.by_name.get(nested));
                }
            }
        }
        Some(fields)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nested_concepts_give_their_fields_once() {
        let table = br#"[
            {"concept": {"name": "a", "description": "", "fields": ["t.x"], "concepts": ["b"]}},
            {"concept": {"name": "b", "description": "", "fields": ["t.y"], "concepts": ["a", "c"]}},
            {"model": {"name": "m", "definition": []}}
        ]"#;
        let concepts = Concepts::parse(table).expect("a table");
        assert_eq!(concepts.fields("a"), Some(HashSet::from(["t.x", "t.y"])));
        assert_eq!(concepts.fields("c"), None);
        assert!(Concepts::parse(b"{}").is_err());
    }
}
