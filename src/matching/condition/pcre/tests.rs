use super::*;
use regex::Regex;

/// What an expression matches in a text.
fn finds(expression: &str, text: &str) -> bool {
    let respelled = respell(expression).unwrap_or_else(|why| panic!("{expression}: {why}"));
    let compiled = Regex::new(&respelled.text);
    let compiled = compiled.unwrap_or_else(|why| panic!("{expression}: {why}"));
    compiled.is_match(text)
        || respelled.ends_before_line_feed
            && text
                .strip_suffix('\n')
                .is_some_and(|text| compiled.is_match(text))
}

#[test]
fn what_perl_spells_otherwise_means_the_same() {
    for (expression, text, expected) in [
        (r"^a\/b\-c\_d$", "a/b-c_d", true),
        (r"\<b\>", "<b>", true),
        (r"a{b}c{", "a{b}c{", true),
        (r"^a{2,}$", "aaa", true),
        (r"^x]}$", "x]}", true),
        (r"^[[&&a~~b-]+$", "[&a~b-", true),
        (r"^[\[\]]+$", "[]", true),
        ("^[]a]+$", "]a", true),
        ("^[^]a]+$", "]", false),
        (r"^[a\-z]+$", "a-z", true),
        (r"^[a\-z]+$", "m", false),
        (r"^[\w-.]+$", "a-.b", true),
        ("^[+--]+$", "+,-", true),
        ("^[a-]+$", "a-", true),
        ("^[[:alpha:][:digit:]_]+$", "a1_", true),
        ("^[[:^digit:]]+$", "1", false),
        ("^[[:alpha:]]+$", "é", true),
        ("^[[:alnum:]]+$", "É1", true),
        ("^[[:^upper:]]+$", "É", false),
        ("^[[:space:]]$", "\u{a0}", true),
        ("^[[:punct:]]+$", "+§", true),
        (r"^[\b]$", "\u{8}", true),
        (r"^\Qa.b(c\E.$", "a.b(c!", true),
        (r"^\Qa.b", "axb", false),
        (
            r"^\x41\x{42}\103?\e\cA\o{103}\0$",
            "AB\u{1b}\u{1}C\0",
            false,
        ),
        (r"^\x41\x{42}\e\cA\o{103}\0$", "AB\u{1b}\u{1}C\0", true),
        (r"^a\hb$", "a\tb", true),
        (r"^a\Rb$", "a\r\nb", true),
        (r"^\d+$", "٣", true),
        ("(?i)^ÄPFEL$", "äpfel", true),
        (
            r"(?<name>a)(?P<x>b)(?'y'c)(?|d|e)(?#no (matter)f",
            "abcef",
            true,
        ),
        ("a$", "a\n", true),
        (r"a\Z", "a\n", true),
        (r"a\z", "a\n", false),
        ("a.c", "a\nc", false),
        ("(?s)a.c", "a\nc", true),
        ("(*UTF)(*UCP)a", "a", true),
        (r"^[^\s#]+ #$", "a #", true),
        ("^a++$", "a", false),
    ] {
        match respell(expression) {
            Ok(_) => assert_eq!(finds(expression, text), expected, "{expression} {text:?}"),
            Err(_) => assert!(!expected, "{expression}"),
        }
    }
}

#[test]
fn what_is_not_linear_is_refused_with_its_place() {
    for (expression, why) in [
        ("ä(?=b)", "look-ahead at its character 2"),
        ("(?!a)", "look-ahead at its character 1"),
        ("(?<=a)b", "look-behind at its character 1"),
        ("a(?<!b)", "look-behind at its character 2"),
        (r"(a)\1", "a back-reference at its character 4"),
        (r"(?<n>a)\k<n>", "a back-reference at its character 8"),
        ("(?P<n>a)(?P=n)", "a back-reference at its character 9"),
        ("(?>a)b", "an atomic group at its character 1"),
        ("ba++", "a possessive repetition at its character 3"),
        ("a{2}+", "a possessive repetition at its character 2"),
        ("(a(?R)?b)", "recursion at its character 3"),
        ("(?1)", "recursion at its character 1"),
        ("(?(1)a|b)", "a condition at its character 1"),
        ("(*SKIP)a", "a verb at its character 1"),
        ("a{,3}", "a repetition {,n} at its character 2"),
        ("a**", "a repetition of nothing at its character 3"),
        ("+a", "a repetition of nothing at its character 1"),
        (r"\y", r"the unknown escape \y at its character 1"),
        ("(?J)a", "a group of an unknown kind at its character 1"),
        ("[a", "a class without its end at its character 1"),
        ("a\\", "a backslash at the end at its character 2"),
    ] {
        let refused = respell(expression).expect_err(expression);
        assert_eq!(refused.to_string(), why, "{expression}");
    }
}

proptest::proptest! {
    #[test]
    fn no_expression_panics(expression in r"([\\\[\](){}?*+|^$.:<>PQEx,&!=#a1-]|ä){0,20}") {
        let _ = respell(&expression).map(|one| Regex::new(&one.text));
    }

    /// A quoted text matches itself, and as a class its characters.
    #[test]
    fn a_quoted_text_is_found(text in r"[ -\[\]-~äß]{1,12}") {
        let quoted = format!("^\\Q{text}\\E$");
        proptest::prop_assert!(finds(&quoted, &text), "{}", text);
        let escaped: String = text.chars().map(|c| if c.is_ascii_punctuation() { format!("[\\{c}]") } else { format!("[{c}]") }).collect();
        proptest::prop_assert!(finds(&format!("^{escaped}$"), &text), "{}", escaped);
    }
}
