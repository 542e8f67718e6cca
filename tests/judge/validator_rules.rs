//! What the official validator (`stix2-patterns` 1.3.0) refuses although the
//! grammar allows it.
//!
//! These rules are kept apart from the parser because they are the validator's
//! own, and wrong in places: a list of hashes after `IN` is compared as if it
//! were one hash, and two parentheses at the start count as no bracket.

use vast_threatbus::protocol::stix::pattern::{ObjectPath, Pattern, PropertyCondition, Step, Test};

/// The first thing that the validator would object to in a pattern that parsed.
pub fn objection(text: &str, pattern: &Pattern) -> Option<String> {
    if !begins_with_bracket(text) {
        return Some("it wants [ or ([ at the very start".to_owned());
    }
    let mut found = None;
    pattern.root.for_each_test(&mut |test| {
        if found.is_none() {
            found = hash_objection(text, test);
        }
    });
    found
}

/// Whether the first two characters, white space (of ASCII) removed, are such as
/// the validator wants. It looks at no comment and at no second parenthesis.
fn begins_with_bracket(text: &str) -> bool {
    let blank = |c: &char| matches!(c, '\t'..='\r' | ' ');
    let mut characters = text.chars().filter(|character| !blank(character));
    match characters.next() {
        Some('[') => true,
        Some('(') => characters.next() == Some('['),
        _ => false,
    }
}

/// The objection to the value of a hash, decided from the literal's source as by the validator: a
/// list is never a hash, and `LIKE 'abc%'` is not one either.
fn hash_objection(text: &str, test: &Test) -> Option<String> {
    let operand = match &test.condition {
        PropertyCondition::Exists => return None,
        PropertyCondition::Compare(_, literal) => Some(literal.position),
        PropertyCondition::Text(_, text) => Some(text.position),
        PropertyCondition::In(_) => None,
    };
    let Step::Key(name) = step_under_hashes(&test.path)? else {
        return Some("it cannot read an index after hashes".to_owned());
    };
    let shape = HashShape::of(name)?;
    let Some(position) = operand else {
        return Some(format!("it takes a list for no valid {name} hash"));
    };
    let start = position.offset as usize;
    let source = &text[start..start + position.length as usize];
    if shape.accepts(&source.replace('\'', "")) {
        return None;
    }
    Some(format!("{source} is no {name} hash"))
}

/// The last step of a path that has a step `hashes`.
fn step_under_hashes(path: &ObjectPath) -> Option<&Step> {
    let hashes = |step: &Step| matches!(step, Step::Key(key) if key == "hashes");
    path.steps.iter().any(hashes).then(|| path.steps.last())?
}

/// What a hash of some algorithm looks like.
#[derive(Clone, Copy)]
enum HashShape {
    /// So many hexadecimal digits.
    Digits(usize),
    /// Begins with 32 of them (the validator's expression for MD6 says no more).
    Md6,
    Ssdeep,
}

impl HashShape {
    /// The shape by the algorithm's name, whose case, hyphens and quotes do not
    /// count; `None` for one that the validator does not know.
    fn of(name: &str) -> Option<Self> {
        let name = name.to_uppercase().replace(['-', '\''], "");
        Some(match name.as_str() {
            "MD5" => HashShape::Digits(32),
            "MD6" => HashShape::Md6,
            "RIPEMD160" | "SHA1" => HashShape::Digits(40),
            "SHA224" | "SHA3224" => HashShape::Digits(56),
            "SHA256" | "SHA3256" => HashShape::Digits(64),
            "SHA384" | "SHA3384" => HashShape::Digits(96),
            "SHA512" | "SHA3512" | "WHIRLPOOL" => HashShape::Digits(128),
            "SSDEEP" => HashShape::Ssdeep,
            _ => return None,
        })
    }

    fn accepts(self, value: &str) -> bool {
        let hexadecimal = |text: &str| text.bytes().all(|byte| byte.is_ascii_hexdigit());
        // In Python `$` matches before a line feed at the end, too.
        let line = value.strip_suffix('\n').unwrap_or(value);
        match self {
            HashShape::Digits(count) => line.len() == count && hexadecimal(line),
            HashShape::Md6 => {
                let begins = |text: &str, count| text.get(..count).is_some_and(hexadecimal);
                let broken_line = value.strip_prefix("\n    ");
                begins(value, 32) || broken_line.is_some_and(|rest| begins(rest, 64))
            }
            HashShape::Ssdeep => {
                let allowed = |byte: u8| {
                    byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'+' | b':' | b'.')
                };
                (1..=128).contains(&line.len()) && line.bytes().all(allowed)
            }
        }
    }
}
