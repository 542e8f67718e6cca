//! Tests of the parser as a whole.

use std::fmt::Write as _;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

fn parsed(text: &str) -> Pattern {
    parse(text).unwrap_or_else(|error| panic!("{text:?}: {error}"))
}

fn message(text: &str) -> String {
    parse(text).expect_err(text).to_string()
}

/// The part of the text that a position names.
fn part(text: &str, position: PatternPosition) -> &str {
    let start = position.offset as usize;
    &text[start..start + position.length as usize]
}

fn tests_of(pattern: &Pattern) -> Vec<&Test> {
    let mut tests = Vec::new();
    pattern.root.for_each_test(&mut |test| tests.push(test));
    tests
}

#[test]
fn canonical_text_keeps_the_meaning_of_operators() {
    for (text, canonical) in [
        ("[a:b==1]", "[a:b = 1]"),
        ("[a:b<>+1.50]", "[a:b != 1.5]"),
        ("[a:'b'.'c-d'[*][+7]=.5]", "[a:b.'c-d'[*][7] = 0.5]"),
        ("[a:'EXISTS' = 1]", "[a:'EXISTS' = 1]"),
        (
            "[((a:b = 1)) AND (c:d = 2 AND (e:f = 3))]",
            "[a:b = 1 AND c:d = 2 AND e:f = 3]",
        ),
        (
            "[(a:b = 1 OR c:d = 2) AND e:f = 3]",
            "[(a:b = 1 OR c:d = 2) AND e:f = 3]",
        ),
        (
            "[a:b = 1 OR (c:d = 2 AND e:f = 3)]",
            "[a:b = 1 OR c:d = 2 AND e:f = 3]",
        ),
        ("[a:b IN(1,'c',h'FF')]", "[a:b IN (1, 'c', h'ff')]"),
        (
            "([a:b = 1] FOLLOWEDBY [c:d = 2]) FOLLOWEDBY [e:f = 3] OR [g:h = 4]",
            "[a:b = 1] FOLLOWEDBY [c:d = 2] FOLLOWEDBY [e:f = 3] OR [g:h = 4]",
        ),
        (
            "([a:b = 1] OR [c:d = 2]) AND [e:f = 3]",
            "([a:b = 1] OR [c:d = 2]) AND [e:f = 3]",
        ),
        (
            "[a:b = 1] AND [c:d = 2] WITHIN 5.0 SECONDS",
            "[a:b = 1] AND [c:d = 2] WITHIN 5 SECONDS",
        ),
        (
            "([a:b = 1] AND [c:d = 2]) REPEATS 2 TIMES",
            "([a:b = 1] AND [c:d = 2]) REPEATS 2 TIMES",
        ),
        (
            "([a:b = 1]) WITHIN 5 SECONDS WITHIN 6 SECONDS",
            "([a:b = 1]) WITHIN 5 SECONDS WITHIN 6 SECONDS",
        ),
    ] {
        assert_eq!(parsed(text).to_string(), canonical, "{text}");
    }
}

#[test]
fn the_version_is_2_1_wherever_it_can_be() {
    assert_eq!(parsed("[a:b = 1]").version, Version::Stix21);
    assert_eq!(parsed("[EXISTS a:b]").version, Version::Stix21);
    assert_eq!(parsed("[EXISTS:b = 1]").version, Version::Stix20);
    let older = "[a:b = 1] START 'x' STOP 'y'";
    assert_eq!(parsed(older).version, Version::Stix20);
    assert_eq!(parsed(older).to_string(), older);
}

#[test]
fn positions_name_the_parts_of_the_text() {
    let text = "[a:b.c = 'é' AND\n EXISTS file:x[0] ]\n WITHIN 5 /* s */ SECONDS";
    let pattern = parsed(text);
    let tests = tests_of(&pattern);
    assert_eq!(part(text, tests[0].position), "a:b.c = 'é'");
    assert_eq!(part(text, tests[0].path_position), "a:b.c");
    assert_eq!(part(text, tests[1].position), "EXISTS file:x[0]");
    assert_eq!(part(text, tests[1].path_position), "file:x[0]");
    assert_eq!(tests[1].position.to_string(), "line 2, column 2");
    let PropertyCondition::Compare(Relation::Equal, literal) = &tests[0].condition else {
        panic!("{:?}", tests[0]);
    };
    assert_eq!(part(text, literal.position), "'é'");
    let Observation::Qualified { qualifiers, .. } = &pattern.root else {
        panic!("{pattern:?}");
    };
    assert_eq!(
        part(text, qualifiers[0].position),
        "WITHIN 5 /* s */ SECONDS"
    );
    assert_eq!(qualifiers[0].position.line, 3);
}

#[test]
fn errors_say_where_and_what_was_expected() {
    for (text, expected) in [
        (
            "",
            "line 1, column 1: expected [ or (, found the end of the pattern",
        ),
        (
            "[a:b = 1",
            "line 1, column 9: expected AND, OR or ], found the end of the pattern",
        ),
        (
            "[é]",
            "line 1, column 2: expected an object path such as file:name, EXISTS or (, found `é`",
        ),
        (
            "[a:b\n= 'x]",
            "line 2, column 3: expected a value ('text', a number, true, false, t'…', \
          h'…' or b'…'), found a string without its closing quote",
        ),
        (
            "[a:b LIKE 'a\\d']",
            "line 1, column 11: expected a string in single quotes, found a string with a \\ that neither ' nor \\ follows",
        ),
        (
            "[a:b-c = 1]",
            "line 1, column 4: expected a property's name, in quotes if it has a \
          hyphen, found `b-c`",
        ),
        (
            "[a:b > t'2020-99-01T00:00:00Z']",
            "line 1, column 8: expected a value that has an order \
          ('text', a number, t'…', h'…' or b'…'), found a timestamp unlike \
          t'2016-05-12T08:17:27.000Z'",
        ),
        (
            "[a:b = 1] within 5 SECONDS",
            "line 1, column 11: expected AND, OR, FOLLOWEDBY, a \
          qualifier (WITHIN, REPEATS, START) or the end, found `within`",
        ),
        (
            "[a:b = 1] START '2020' STOP 5",
            "line 1, column 29: expected a timestamp, \
          t'2016-05-12T08:17:27Z', found `5`",
        ),
    ] {
        assert_eq!(message(text), expected, "{text}");
    }
    let long = format!("[a:b = {}]", "x".repeat(100));
    assert!(message(&long).ends_with(&format!("found `{}…`", "x".repeat(40))));
}

#[test]
fn nesting_ends_at_the_limit_and_not_before() {
    let nested = |depth: usize| format!("{}[a:b = 1]{}", "(".repeat(depth), ")".repeat(depth));
    assert!(parse(&nested(MAX_DEPTH)).is_ok());
    let error = parse(&nested(MAX_DEPTH + 1)).expect_err("one too many");
    assert_eq!(error.reason, Reason::TooDeep);
    assert_eq!(error.position.offset as usize, MAX_DEPTH);
    let bomb = "(".repeat(MAX_LENGTH);
    assert_eq!(
        parse(&bomb).expect_err("far too many").reason,
        Reason::TooDeep
    );
    let mixed = format!("([{}a:b = 1", "(".repeat(MAX_DEPTH));
    assert_eq!(
        parse(&mixed).expect_err("both count").reason,
        Reason::TooDeep
    );
}

#[test]
fn length_ends_at_the_limit_and_not_before() {
    let long = |length: usize| format!("[a:b = '{}']", "x".repeat(length - 10));
    assert!(parse(&long(MAX_LENGTH)).is_ok());
    let error = parse(&long(MAX_LENGTH + 1)).expect_err("one byte too many");
    assert_eq!(error.reason, Reason::TooLong);
}

/// Long patterns of every shape that repeats: none may take a stack or a time
/// that grows faster than its length.
#[test]
fn long_patterns_are_read_in_linear_time() {
    let chain = |part: &str, separator: &str| vec![part; 2000].join(separator);
    let mut texts = vec![
        format!("[{}]", chain("a:b = 1", " AND ")),
        format!("[{}]", chain("a:b = 1", " OR ")),
        chain("[a:b = 1]", " FOLLOWEDBY "),
        format!("[a:b{} = 1]", "[*]".repeat(20_000)),
        format!("[a:b IN ({})]", chain("'x'", ", ")),
        format!("([a:b = 1]){}", " REPEATS 2 TIMES".repeat(4000)),
        format!("[a:b = 1]{}", "/**/".repeat(16_000)),
        format!("[a:b = {}]", "9".repeat(60_000)),
        format!("[a:b = '{}']", "\\\\".repeat(30_000)),
        format!("[a:b = 1]{}", "\n".repeat(60_000)),
    ];
    let mut open = "[a:b = 1".to_owned();
    for _ in 0..MAX_DEPTH {
        open.insert(1, '(');
        open.push_str(&" AND a:b = 1".repeat(60));
        open.push(')');
    }
    texts.push(open + "]");
    let start = std::time::Instant::now();
    for text in &texts {
        assert!(text.len() <= MAX_LENGTH, "{}", text.len());
        let canonical = parsed(text).to_string();
        assert!(!canonical.is_empty());
    }
    // Each takes a few milliseconds without optimisation; quadratic ones minutes.
    assert!(start.elapsed().as_secs() < 10, "{:?}", start.elapsed());
}

#[test]
fn a_span_or_a_number_of_nothing_is_refused() {
    for (text, words) in [
        ("[a:b = 1] WITHIN 0 SECONDS", "line 1, column 18: WITHIN 0"),
        ("[a:b = 1] WITHIN 0.0 SECONDS", "WITHIN 0"),
        ("[a:b = 1] REPEATS 0 TIMES", "column 19: REPEATS 0"),
        // In 2.0 it would be a pattern: what 2.1 forbids is not read as 2.0.
        (
            "[a:b = 1] WITHIN 5 SECONDS WITHIN 6 SECONDS",
            "a second WITHIN",
        ),
        (
            "[a:b = 1] REPEATS 1 TIMES REPEATS 1 TIMES",
            "a second REPEATS",
        ),
    ] {
        let error = parse(text).expect_err(text).to_string();
        assert!(error.contains(words), "{text}: {error}");
    }
}

/// A position that says nothing, for trees that come from no text.
const NOWHERE: PatternPosition = PatternPosition {
    offset: 0,
    length: 0,
    line: 0,
    column: 0,
};

fn name() -> impl Strategy<Value = String> {
    "[a-zA-Z_][a-zA-Z0-9_]{0,6}(-[a-z]{0,3})?".prop_filter("a keyword is no object type", |name| {
        name.contains('-') || lexer::is_bare_key(name)
    })
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        "[a-z_]{1,5}|[A-Z]{2,6}|\\PC{0,5}".prop_map(Step::Key),
        any::<u64>().prop_map(Step::Index),
        Just(Step::AnyIndex),
    ]
}

fn path() -> impl Strategy<Value = ObjectPath> {
    let key = prop_oneof!["[a-z_]{1,5}", ".{0,5}", Just("EXISTS".to_owned())].prop_map(Step::Key);
    (name(), key, vec(step(), 0..4)).prop_map(|(object_type, first, rest)| ObjectPath {
        object_type,
        steps: std::iter::once(first).chain(rest).collect(),
    })
}

fn stamp() -> impl Strategy<Value = String> {
    "[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])T([01][0-9]|2[0-3]):[0-5][0-9]:([0-5][0-9]|60)(\\.[0-9]{1,9})?Z"
}

fn orderable() -> impl Strategy<Value = LiteralValue> {
    prop_oneof![
        any::<String>().prop_map(LiteralValue::String),
        "['\\\\a/*\\n]{0,6}".prop_map(LiteralValue::String),
        any::<i128>().prop_map(LiteralValue::Integer),
        (-9_i128..9).prop_map(LiteralValue::Integer),
        any::<f64>()
            .prop_filter("a literal is finite", |number| number.is_finite())
            .prop_map(LiteralValue::Float),
        vec(any::<u8>(), 0..5).prop_map(LiteralValue::Hex),
        vec(any::<u8>(), 1..8).prop_map(LiteralValue::Binary),
        stamp().prop_map(LiteralValue::Timestamp),
    ]
}

fn located(value: LiteralValue) -> Literal {
    Literal {
        value,
        position: NOWHERE,
    }
}

fn text() -> impl Strategy<Value = PatternText> {
    any::<String>().prop_map(|text| PatternText {
        text,
        position: NOWHERE,
    })
}

fn condition() -> impl Strategy<Value = PropertyCondition> {
    use Relation::{Equal, Greater, GreaterOrEqual, Less, LessOrEqual, NotEqual};
    use TextOperator::{IsSubset, IsSuperset, Like, Matches};
    let any_value =
        prop_oneof![4 => orderable(), 1 => any::<bool>().prop_map(LiteralValue::Boolean)];
    let any_literal = any_value.prop_map(located).boxed();
    let equality = prop_oneof![Just(Equal), Just(NotEqual)];
    let order = prop_oneof![
        Just(Less),
        Just(LessOrEqual),
        Just(Greater),
        Just(GreaterOrEqual)
    ];
    let operator = prop_oneof![Just(Like), Just(Matches), Just(IsSubset), Just(IsSuperset)];
    prop_oneof![
        (equality, any_literal.clone())
            .prop_map(|(relation, l)| PropertyCondition::Compare(relation, l)),
        (order, orderable().prop_map(located)).prop_map(|(r, l)| PropertyCondition::Compare(r, l)),
        vec(any_literal, 0..4).prop_map(PropertyCondition::In),
        (operator, text()).prop_map(|(operator, text)| PropertyCondition::Text(operator, text)),
        Just(PropertyCondition::Exists),
    ]
}

fn test() -> impl Strategy<Value = Test> {
    (path(), any::<bool>(), condition()).prop_map(|(path, not, condition)| Test {
        path,
        path_position: NOWHERE,
        negated: not && !matches!(condition, PropertyCondition::Exists),
        condition,
        position: NOWHERE,
    })
}

/// Joins parts to a node and takes in parts that are the same node.
fn gather<T>(parts: Vec<T>, node: fn(Vec<T>) -> T, open: fn(T) -> Vec<T>) -> T {
    node(parts.into_iter().flat_map(open).collect())
}

fn comparison() -> impl Strategy<Value = Comparison> {
    let leaf = test().prop_map(Comparison::Test);
    leaf.prop_recursive(3, 12, 4, |inner| {
        let parts = vec(inner, 2..4);
        prop_oneof![
            parts
                .clone()
                .prop_map(|parts| gather(parts, Comparison::And, |part| match part {
                    Comparison::And(parts) => parts,
                    other => vec![other],
                })),
            parts.prop_map(|parts| gather(parts, Comparison::Or, |part| match part {
                Comparison::Or(parts) => parts,
                other => vec![other],
            })),
        ]
    })
}

fn qualifier(version: Version) -> impl Strategy<Value = Qualifier> {
    let time = match version {
        Version::Stix21 => stamp().boxed(),
        Version::Stix20 => any::<String>().boxed(),
    };
    let time = time.prop_map(|text| PatternText {
        text,
        position: NOWHERE,
    });
    let kind = prop_oneof![
        (f64::MIN_POSITIVE..f64::MAX).prop_map(QualifierKind::Within),
        (1_u32..999).prop_map(|seconds| QualifierKind::Within(f64::from(seconds) / 8.0)),
        (1..=u64::MAX).prop_map(QualifierKind::Repeats),
        (time.clone(), time).prop_map(move |(start, stop)| QualifierKind::StartStop {
            start,
            stop,
            version,
        }),
    ];
    kind.prop_map(|kind| Qualifier {
        kind,
        position: NOWHERE,
    })
}

fn observation(version: Version) -> impl Strategy<Value = Observation> {
    let leaf = comparison().prop_map(Observation::Single);
    leaf.prop_recursive(3, 12, 4, move |inner| {
        let parts = vec(inner.clone(), 2..4);
        prop_oneof![
            parts
                .clone()
                .prop_map(|parts| gather(parts, Observation::And, |part| match part {
                    Observation::And(parts) => parts,
                    other => vec![other],
                })),
            parts
                .clone()
                .prop_map(|parts| gather(parts, Observation::Or, |part| match part {
                    Observation::Or(parts) => parts,
                    other => vec![other],
                })),
            parts.prop_map(
                |parts| gather(parts, Observation::FollowedBy, |part| match part {
                    Observation::FollowedBy(parts) => parts,
                    other => vec![other],
                })
            ),
            (inner, vec(qualifier(version), 1..4)).prop_map(|(inner, qualifiers)| {
                Observation::Qualified {
                    inner: Box::new(inner),
                    qualifiers,
                }
            }),
        ]
    })
}

/// A tree as if it came from no text, to compare it with one that did not.
fn unplace(observation: &mut Observation) {
    match observation {
        Observation::Single(comparison) => unplace_comparison(comparison),
        Observation::And(parts) | Observation::Or(parts) | Observation::FollowedBy(parts) => {
            parts.iter_mut().for_each(unplace);
        }
        Observation::Qualified { inner, qualifiers } => {
            unplace(inner);
            for qualifier in qualifiers {
                qualifier.position = NOWHERE;
                if let QualifierKind::StartStop { start, stop, .. } = &mut qualifier.kind {
                    start.position = NOWHERE;
                    stop.position = NOWHERE;
                }
            }
        }
    }
}

fn unplace_comparison(comparison: &mut Comparison) {
    match comparison {
        Comparison::Test(test) => {
            test.position = NOWHERE;
            test.path_position = NOWHERE;
            match &mut test.condition {
                PropertyCondition::Compare(_, literal) => literal.position = NOWHERE,
                PropertyCondition::In(literals) => {
                    literals.iter_mut().for_each(|l| l.position = NOWHERE)
                }
                PropertyCondition::Text(_, text) => text.position = NOWHERE,
                PropertyCondition::Exists => {}
            }
        }
        Comparison::And(parts) | Comparison::Or(parts) => {
            parts.iter_mut().for_each(unplace_comparison);
        }
    }
}

/// Whether a tree has what only 2.1 can say.
fn needs_2_1(root: &Observation) -> bool {
    let mut found = false;
    root.for_each_test(&mut |test| found |= matches!(test.condition, PropertyCondition::Exists));
    found
}

proptest! {
    #[test]
    fn a_tree_of_2_1_survives_its_canonical_text(root in observation(Version::Stix21)) {
        let text = root.to_string();
        let pattern = parse_as(&text, Version::Stix21);
        let mut pattern = pattern.map_err(|error| TestCaseError::fail(format!("{text}: {error}")))?;
        unplace(&mut pattern.root);
        prop_assert_eq!(&pattern.root, &root, "{}", text);
        prop_assert_eq!(pattern.to_string(), text);
    }

    #[test]
    fn a_tree_of_2_0_survives_its_canonical_text(root in observation(Version::Stix20)) {
        prop_assume!(!needs_2_1(&root));
        let text = root.to_string();
        let pattern = parse_as(&text, Version::Stix20);
        let mut pattern = pattern.map_err(|error| TestCaseError::fail(format!("{text}: {error}")))?;
        unplace(&mut pattern.root);
        prop_assert_eq!(&pattern.root, &root, "{}", text);
    }

    #[test]
    fn every_position_names_its_part(root in observation(Version::Stix21)) {
        let text = root.to_string();
        let pattern = parse(&text);
        let pattern = pattern.map_err(|error| TestCaseError::fail(format!("{text}: {error}")))?;
        for test in tests_of(&pattern) {
            prop_assert_eq!(part(&text, test.position), test.to_string());
            prop_assert_eq!(part(&text, test.path_position), test.path.to_string());
            if let PropertyCondition::Compare(_, literal) = &test.condition {
                prop_assert_eq!(part(&text, literal.position), literal.to_string());
            }
            let before = &text[..test.position.offset as usize];
            let lines: Vec<&str> = before.split('\n').collect();
            let column = lines[lines.len() - 1].chars().count() + 1;
            prop_assert_eq!(test.position.line as usize, lines.len());
            prop_assert_eq!(test.position.column as usize, column);
        }
    }

    #[test]
    fn no_text_makes_it_panic(text in any::<String>()) {
        check_any(&text)?;
    }

    #[test]
    fn no_heap_of_tokens_makes_it_panic(tokens in vec(prop_oneof![
        "\\[|\\]|\\(|\\)|'|\\\\|/\\*|//|\\*|:|\\.|,|=|<|>|!|-|\n",
        "a|a:b|h'|t'|b'|AND|OR|NOT|IN|EXISTS|FOLLOWEDBY|WITHIN|SECONDS|REPEATS|TIMES|START|STOP",
        "1|-1|\\.5|true|'x'|é|\u{2003}|\u{0}|t'2020-01-01T00:00:00Z'|b'AA=='|h'00'| ",
    ], 0..24)) {
        let mut text = "[a:b".to_owned();
        for token in tokens {
            write!(text, "{token}").expect("writing to a string cannot fail");
        }
        check_any(&text)?;
        check_any(&text[4..])?;
    }
}

/// What holds for every text, pattern or not.
fn check_any(text: &str) -> Result<(), TestCaseError> {
    match parse(text) {
        Ok(pattern) => {
            let canonical = pattern.to_string();
            let again = parse(&canonical);
            prop_assert!(again.is_ok(), "{:?}: {:?}", canonical, again);
        }
        Err(error) => {
            prop_assert!(text.is_char_boundary(error.position.offset as usize));
            prop_assert!(!error.to_string().is_empty());
        }
    }
    Ok(())
}
