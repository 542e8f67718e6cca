use super::*;

fn add(matcher: Option<&str>, value: &str, reference: &str) -> Change {
    Change::Add {
        matcher: matcher.map(str::to_string),
        value: value.to_string(),
        reference: Some(reference.to_string()),
    }
}

fn matching(plugin: MatcherPlugin, value_key: &'static str) -> Matching {
    Matching {
        concepts: Concepts::default(),
        schema: Schema::default(),
        plugin,
        value_key,
        probabilistic: false,
    }
}

fn sightings(matching: &Matching, held: &Held, event: &str) -> Vec<serde_json::Value> {
    matching
        .sightings(held, "zeek.dns", event.as_bytes())
        .into_iter()
        .map(|line| serde_json::from_slice(&line).expect("JSON"))
        .collect()
}

const EVENT: &str = r#"{"ts": "2024-03-01T12:00:00", "id.orig_h": "::ffff:192.0.2.1",
    "query": "www.example.com", "host": "203.0.113.9", "answers": ["evil.example.net"]}"#;

#[test]
fn a_sighting_for_each_value_and_matcher() {
    let matching = matching(MatcherPlugin::Attach, "value");
    let mut held = Held::new(vec!["a".into(), "b".into()]);
    held.apply(add(Some("a"), "www.example.com", "threatbus__1"));
    held.apply(add(Some("b"), "192.0.2.1", "threatbus__2"));
    held.apply(add(Some("c"), "192.0.2.1", "threatbus__3"));
    held.apply(add(Some("a"), "203.0.113.9", "threatbus__4"));
    held.apply(add(Some("a"), "evil.example.net", "threatbus__5"));
    let found = sightings(&matching, &held, EVENT);
    let indicators: Vec<_> = found.iter().map(|s| s["indicator"].clone()).collect();
    assert_eq!(
        indicators,
        [
            json!({"value": "192.0.2.1", "context": "\"threatbus__2\""}),
            json!({"value": "www.example.com", "context": "\"threatbus__1\""}),
        ]
    );
    assert_eq!(found[0]["type"], "zeek.dns");
    assert_eq!(found[0]["event"]["query"], "www.example.com");
    held.apply(Change::Remove {
        matcher: "b".into(),
        value: "::ffff:192.0.2.1".into(),
    });
    assert_eq!(sightings(&matching, &held, EVENT).len(), 1);
    assert!(sightings(&matching, &held, "{\"query\": \"www.example.com\"").is_empty());
}

#[test]
fn the_first_generation_prints_references_and_forgets() {
    let mut held = Held::new(vec!["m".into()]);
    held.apply(add(None, "www.example.com", "threatbus__1"));
    for key in ["ioc", "value"] {
        let matching = matching(MatcherPlugin::Start, key);
        let expected = json!({
            "ts": "2024-03-01T12:00:00", "data_id": 8, "indicator_id": 5, "matcher": "m",
            key: "www.example.com", "reference": "threatbus__1",
        });
        assert_eq!(sightings(&matching, &held, EVENT), [expected]);
    }
    held.apply(Change::Forget);
    let matching = matching(MatcherPlugin::Start, "ioc");
    assert!(sightings(&matching, &held, EVENT).is_empty());
}

#[test]
fn the_file_of_changes_is_read_as_it_grows() {
    let folder = tempfile::tempdir().expect("a folder");
    let state = folder.path().join("state");
    let mut held = Held::new(vec!["m".into()]);
    held.refresh(&state).expect("nothing to read");
    write(&state, &add(None, "a", "1")).expect("written");
    held.refresh(&state).expect("read");
    write(&state, &add(None, "b", "2")).expect("written");
    held.refresh(&state).expect("read");
    held.refresh(&state).expect("read");
    assert_eq!(held.values.len(), 2);
    assert!(held.values.values().all(|values| values.len() == 1));
}
