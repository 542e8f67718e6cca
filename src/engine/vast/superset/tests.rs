use super::*;

fn version(text: &str) -> VastVersion {
    VastVersion::read(format!("{{\"VAST\": \"{text}\"}}").as_bytes()).expect("a version")
}

fn texts(queries: &[QueryPieces]) -> Vec<String> {
    queries.iter().map(QueryPieces::text).collect()
}

fn queried(observables: &[Observable]) -> Vec<String> {
    texts(&standard(observables, &version("2020.12.16")))
}

fn one(observables: &[Observable]) -> String {
    let [query] = &*queried(observables) else {
        panic!("{:?}", queried(observables));
    };
    query.clone()
}

fn domain(text: &str) -> Observable {
    Observable::of_domain(text).expect("a name")
}

fn url(text: &str) -> Observable {
    Observable::of_url(text).expect("a URL")
}

fn assert_holds(query: &str, parts: &[&str]) {
    for part in parts {
        assert!(query.contains(part), "{part} is not in {query}");
    }
}

#[test]
fn a_name_is_queried_in_its_spellings() {
    let query = one(&[domain("Evil.example.")]);
    let names = r#"in ["EVIL.EXAMPLE", "EVIL.EXAMPLE.", "Evil.example", "Evil.example.", "evil.example", "evil.example."]"#;
    for field in ["query", "rrname", "sni", "server_name"] {
        assert_holds(&query, &[&format!("{field} {names}")]);
    }
    assert_holds(
        &query,
        &[
            r#""evil.example:8080""#,
            r#""evil.example" in :list<string>"#,
        ],
    );
    assert!(!query.contains("in :string"), "{query}");
}

#[test]
fn a_part_is_queried_in_the_letters_of_the_pattern_and_of_logs() {
    let part = |kind, text| holding(kind, text).expect("a query");
    let query = part(Kind::Domain, "Evil.Ex");
    for text in ["Evil.Ex", "evil.ex", "EVIL.EX"] {
        assert_holds(&query, &[&format!("\"{text}\" in rrname")]);
    }
    // Case matters in what follows a host.
    let query = part(Kind::Url, "Gate.php");
    assert_holds(&query, &[r#""Gate.php" in http.url"#, r#""gate.php" in"#]);
    assert!(!query.contains("GATE.PHP"), "{query}");
    let query = part(Kind::Text(Property::EmailSender), "@Evil.example");
    assert_holds(&query, &[r#""@evil.example" in mailfrom"#, "smtp.from"]);
}

#[test]
fn many_elements_of_lists_take_several_queries() {
    let domains: Vec<Observable> = (0..1_500)
        .map(|number| domain(&format!("d{number}.example")))
        .collect();
    let queries = queried(&domains);
    let elements = |query: &String| query.matches(" in :list<string>").count();
    let counts: Vec<usize> = queries.iter().map(elements).collect();
    assert!(counts.len() > 1 && counts.iter().all(|count| *count <= 1_000));
    for number in 0..1_500 {
        let element = format!("\"d{number}.example\" in :list<string>");
        assert!(queries.iter().any(|query| query.contains(&element)));
    }
    let lists = |query: &String| query.contains("rrname in [");
    assert!(queries[..2].iter().all(lists) && !queries[2..].iter().any(lists));
}

#[test]
fn what_most_logs_have_comes_first_where_all_spellings_would_cost_more() {
    let domains: Vec<Observable> = (0..300)
        .map(|number| domain(&format!("d{number}.example")))
        .collect();
    let urls: Vec<Observable> = (0..300)
        .map(|number| url(&format!("http://u{number}.example:8000/x")))
        .collect();
    let [first, last] = &*queried(&[domains, urls].concat()) else {
        panic!("not two queries");
    };
    assert_holds(
        first,
        &["\"d1.example\"", "\"u1.example\"", "\"u1.example:8000\""],
    );
    for rarer in ["d1.example.", "D1.EXAMPLE", "d1.example:8080", "U1.EXAMPLE"] {
        let literal = format!("\"{rarer}\"");
        assert!(
            !first.contains(&literal) && last.contains(&literal),
            "{rarer}"
        );
    }
    assert_holds(last, &["\"d1.example\" in :list<string>"]);
    assert!(!first.contains(" in :list"));
}

#[test]
fn an_address_is_queried_by_type_and_as_text() {
    let address = Observable::of_address("::ffff:192.0.2.1").expect("an address");
    assert_holds(
        &one(std::slice::from_ref(&address)),
        &[
            ":addr in [192.0.2.1]",
            "192.0.2.1 in :list<addr>",
            r#""192.0.2.1" in :list<string>"#,
            r#""192.0.2.1:8080""#,
        ],
    );
    let three = texts(&standard([&address], &version("v3.0.0"))).concat();
    assert_holds(&three, &[":ip in [192.0.2.1]", "192.0.2.1 in :list<ip>"]);
    let end = Observable::of_endpoint("192.0.2.1:4444").expect("an address with a port");
    let query = one(std::slice::from_ref(&end));
    assert_holds(
        &query,
        &["(:addr in [192.0.2.1] && (", "dest_port in [4444]"],
    );
    let old = texts(&standard([&end], &version("2020.11.30"))).concat();
    assert!(!old.contains("dest_port"), "{old}");
}

#[test]
fn urls_are_lists_of_hosts_and_of_targets() {
    let urls = [
        url("http://a.example/x"),
        url("https://b.example:8443/y?z#w"),
    ];
    let query = one(&urls);
    assert_holds(
        &query,
        &[
            "(zeek.http.host in [",
            r#"&& zeek.http.uri in ["/x", "/y?z"])"#,
            "(http.hostname in [",
            // This is how Suricata before 6 writes it, and VAST keeps it.
            r#"&& http.url in ["/x", "/y?z", "\/x", "\/y?z"])"#,
            r#""b.example:8443""#,
            r#""a.example:8080""#,
            r#""http://a.example:80/x""#,
        ],
    );
    assert_eq!(query.matches("&& zeek.http.uri in").count(), 1);
    let target = one(&[url("/x%7e")]);
    assert!(!target.contains("&&"), "{target}");
    assert_holds(&target, &[r#"zeek.http.uri in ["/x%7E", "/x%7e", "/x~"]"#]);
}

#[test]
fn hashes_and_texts_are_queried_in_every_field_of_text() {
    let sha1 = "ad4f6ece325fd62deab646808df90af065f36a2c";
    let hash = Observable::of_hash(sha1).expect("a hash");
    let agent = Observable::text(Property::UserAgent, "x\\y").expect("a text");
    let query = one(&[hash, agent]);
    assert_holds(
        &query,
        &[
            ":string in [",
            &format!("\"{sha1}\""),
            r#""ad:4f:6e:ce:32:5f:d6:2d:ea:b6:46:80:8d:f9:0a:f0:65:f3:6a:2c""#,
            r#""x\\y", "x\y""#,
            &format!("\"{sha1}\" in :list<string>"),
        ],
    );
}

#[test]
fn parts_of_texts_are_queried_in_named_fields() {
    let file = |number: usize| {
        let name = format!("{number}.exe");
        Observable::text(Property::FileName, &name).expect("a name")
    };
    let query = one(&[file(1)]);
    assert_holds(
        &query,
        &[
            r#""/1.exe" in filename"#,
            r#""\1.exe" in smb_files.name"#,
            r#":string in ["1.exe"]"#,
        ],
    );
    // Many of them become separate queries after the lists.
    let files: Vec<Observable> = (0..100).map(file).collect();
    let queries = queried(&files);
    assert!(queries.len() > 2, "{}", queries.len());
    assert!(!queries[0].contains(" in filename"));
    for query in &queries[1..] {
        assert!(query.split(OR).count() <= MOST_PARTS);
    }
}

#[test]
fn what_has_to_be_scanned_for_is_thorough() {
    let queries = thorough(&[domain("evil.example"), url("http://a.example/")]);
    let query = texts(&queries).concat();
    assert_holds(
        &query,
        &[
            r#""CN=evil.example" in subject"#,
            r#""evil.example:" in hostname"#,
            r#""a.example:" in host"#,
        ],
    );
    let hash = Observable::of_hash(&"a".repeat(32)).expect("a hash");
    assert!(thorough(&[hash]).is_empty());
}

#[test]
fn what_no_literal_can_hold_costs_no_other() {
    let text = |text| Observable::text(Property::UserAgent, text).expect("a text");
    let query = one(&[text("a\tb"), text("a\\"), text("c")]);
    assert_eq!(query, r#":string in ["c"]"#);
    assert!(queried(&[text("a\tb")]).is_empty());
}

#[test]
fn a_part_of_a_text_is_queried_in_the_fields_of_its_kind() {
    let query = holding(Kind::Domain, ".Evil").expect("fields");
    assert_holds(&query, &[r#"".Evil" in rrname"#, r#"".evil" in sni"#]);
    assert_eq!(holding(Kind::Domain, "a\\"), None);
    assert!(!knows_fields_of(Kind::Address));
}
