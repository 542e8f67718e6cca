//! Random patterns from the grammar, and what becomes of them when they are
//! damaged: the same ones in every run.

use super::random::Random;

/// A pattern as its tokens.
#[derive(Clone)]
pub struct Tokens(Vec<String>);

const BLANKS: &[&str] = &[
    " ",
    " ",
    " ",
    "  ",
    "\n",
    "\t",
    "\r\n",
    "\u{a0}",
    "\u{3000}",
    "/**/",
    " /* x */ ",
    " // y\n",
];
const TYPES: &[&str] = &[
    "file",
    "ipv4-addr",
    "x-y_z",
    "network-traffic",
    "a",
    "_",
    "EXISTS",
];
const KEYS: &[&str] = &[
    "value",
    "name",
    "b",
    "t",
    "h",
    "'a b'",
    "'it\\'s'",
    "''",
    "_x1",
    "'SHA-256'",
    "dst_ref",
    "EXISTS",
];
const HASHES: &[&str] = &[
    "MD5",
    "md5",
    "'SHA-1'",
    "'SHA-256'",
    "ssdeep",
    "MD6",
    "other",
];
const STRINGS: &[&str] = &[
    "'evil.com'",
    "''",
    "'it\\'s'",
    "'a\\\\b'",
    "'6.6.6.6/32'",
    "'é 漢 😀'",
    "'x\ny'",
    "'] AND ['",
    "'//'",
];
const NUMBERS: &[&str] = &[
    "0",
    "5",
    "-17",
    "+3",
    "1.5",
    "-.5",
    "+0.25",
    "007.1",
    "99999999999999999999999999",
];
const OTHERS: &[&str] = &[
    "true",
    "false",
    "h''",
    "h'fFd8'",
    "b'AAAA'",
    "b'dGVzdA=='",
    "t'2020-01-31T00:00:00Z'",
    "t'2020-12-01T23:59:60.123Z'",
];
/// What a mutation puts in: tokens that are wrong nearly everywhere, and parts
/// of tokens.
const FOREIGN: &[&str] = &[
    "[",
    "]",
    "(",
    ")",
    "'",
    "\\",
    ".",
    ":",
    ",",
    "*",
    "=",
    "!",
    "<",
    ">",
    "-",
    "+",
    "/",
    "AND",
    "OR",
    "NOT",
    "IN",
    "LAST",
    "EXISTS",
    "WITHIN",
    "SECONDS",
    "TIMES",
    "5",
    "-5",
    "1.5",
    "true",
    "t",
    "h",
    "b",
    "\"",
    "é",
    "\u{0}",
    "\u{feff}",
    " ",
    "_",
    "x-y",
    "''",
    "/*",
    "//",
    "h'f'",
    "b'==='",
    "t'2020-13-01T00:00:00Z'",
    "05",
    "^",
    "EXIST",
    "START '' STOP ''",
    "START t'2020-01-01T00:00:00Z' STOP t'2020-01-01T00:00:00Z'",
    "WITHIN 5 SECONDS",
];

impl Tokens {
    /// A pattern that the grammar of 2.1 or 2.0 or both allow.
    pub fn random(random: &mut Random) -> Self {
        let mut tokens = Tokens(Vec::new());
        let depth = random.below(4);
        tokens.observations(random, depth);
        tokens
    }

    fn push(&mut self, token: &str) {
        self.0.push(token.to_owned());
    }

    fn observations(&mut self, random: &mut Random, depth: usize) {
        self.observation(random, depth);
        while random.one_in(3) {
            self.push(random.pick(&["AND", "OR", "FOLLOWEDBY"]));
            self.observation(random, depth);
        }
    }

    fn observation(&mut self, random: &mut Random, depth: usize) {
        if depth > 0 && random.one_in(3) {
            self.push("(");
            self.observations(random, depth - 1);
            self.push(")");
        } else {
            self.push("[");
            self.comparisons(random, depth);
            self.push("]");
        }
        while random.one_in(5) {
            self.qualifier(random);
        }
    }

    fn qualifier(&mut self, random: &mut Random) {
        match random.below(4) {
            0 => {
                self.push("WITHIN");
                self.push(random.pick(&["0", "5", "+5", "2.5", ".1"]));
                self.push("SECONDS");
            }
            1 => {
                self.push("REPEATS");
                self.push(random.pick(&["0", "5", "+5"]));
                self.push("TIMES");
            }
            plain => {
                let prefix = if plain == 2 { "t" } else { "" };
                for word in ["START", "STOP"] {
                    self.push(word);
                    self.push(&format!(
                        "{prefix}'2016-0{}-01T00:00:00Z'",
                        random.below(9) + 1
                    ));
                }
            }
        }
    }

    fn comparisons(&mut self, random: &mut Random, depth: usize) {
        self.comparison(random, depth);
        while random.one_in(3) {
            self.push(random.pick(&["AND", "OR"]));
            self.comparison(random, depth);
        }
    }

    fn comparison(&mut self, random: &mut Random, depth: usize) {
        if depth > 0 && random.one_in(4) {
            self.push("(");
            self.comparisons(random, depth - 1);
            self.push(")");
        } else if random.one_in(12) {
            self.push("EXISTS");
            self.path(random);
        } else if random.one_in(6) {
            self.hash(random);
        } else {
            self.path(random);
            self.condition(random);
        }
    }

    fn path(&mut self, random: &mut Random) {
        // EXISTS is a name in 2.0 only, so it comes seldom.
        let name = |random: &mut Random, names: &[&'static str]| {
            let spared = usize::from(!random.one_in(8));
            random.pick(&names[..names.len() - spared])
        };
        let object_type = name(random, TYPES);
        self.push(object_type);
        self.push(":");
        let key = name(random, KEYS);
        self.push(key);
        while random.one_in(3) {
            if random.one_in(2) {
                self.push(".");
                let key = name(random, KEYS);
                self.push(key);
            } else {
                self.push("[");
                self.push(random.pick(&["0", "12", "*", "+1"]));
                self.push("]");
            }
        }
    }

    /// A hash, more or less as long as it should be.
    fn hash(&mut self, random: &mut Random) {
        for token in ["file", ":", "hashes", "."] {
            self.push(token);
        }
        self.push(random.pick(HASHES));
        if random.one_in(6) {
            self.condition(random);
            return;
        }
        self.push(random.pick(&["=", "!=", "NOT =", "LIKE"]));
        let length = [32, 40, 64, 64, 63][random.below(5)];
        let digits: String = (0..length)
            .map(|_| random.pick(&["0", "7", "a", "F", "9", "c", "5", "d"]))
            .collect();
        self.push(&format!("'{digits}'"));
    }

    fn condition(&mut self, random: &mut Random) {
        if random.one_in(4) {
            self.push("NOT");
        }
        match random.below(6) {
            0 | 1 => {
                self.push(random.pick(&["=", "==", "!=", "<>"]));
                self.literal(random, true);
            }
            2 => {
                self.push(random.pick(&["<", "<=", ">", ">="]));
                self.literal(random, false);
            }
            3 => {
                self.push("IN");
                self.push("(");
                for at in 0..random.below(4) {
                    if at > 0 {
                        self.push(",");
                    }
                    self.literal(random, true);
                }
                self.push(")");
            }
            _ => {
                self.push(random.pick(&["LIKE", "MATCHES", "ISSUBSET", "ISSUPERSET"]));
                self.push(random.pick(STRINGS));
            }
        }
    }

    fn literal(&mut self, random: &mut Random, booleans: bool) {
        let first = if booleans { 0 } else { 2 };
        let literal = match random.below(3) {
            0 => random.pick(STRINGS),
            1 => random.pick(NUMBERS),
            _ => random.pick(&OTHERS[first..]),
        };
        self.push(literal);
    }

    /// Takes out, doubles, swaps or puts in a token.
    pub fn damage(&mut self, random: &mut Random) {
        let at = random.below(self.0.len());
        match random.below(5) {
            0 if self.0.len() > 1 => drop(self.0.remove(at)),
            1 => {
                let double = self.0[at].clone();
                self.0.insert(at, double);
            }
            2 => {
                let other = random.below(self.0.len());
                self.0.swap(at, other);
            }
            3 => self.0[at] = random.pick(FOREIGN).to_owned(),
            _ => self.0.insert(at, random.pick(FOREIGN).to_owned()),
        }
    }

    /// The text, with blanks where they are needed and at some other places.
    pub fn text(&self, random: &mut Random) -> String {
        let mut text = String::new();
        let wordy =
            |character: char| character.is_ascii_alphanumeric() || "_-+.".contains(character);
        for token in &self.0 {
            let touching = text.ends_with(wordy) && token.starts_with(wordy);
            if touching || random.one_in(3) {
                let blank = if random.one_in(3) {
                    random.pick(BLANKS)
                } else {
                    " "
                };
                text.push_str(blank);
            }
            text.push_str(token);
        }
        text
    }
}

/// Takes out, replaces or puts in one character of a text.
pub fn damage_text(text: &str, random: &mut Random) -> String {
    let mut characters: Vec<char> = text.chars().collect();
    let at = random.below(characters.len().max(1));
    let foreign = random.pick(FOREIGN).chars().next().unwrap_or(' ');
    match random.below(3) {
        0 if at < characters.len() => drop(characters.remove(at)),
        1 if at < characters.len() => characters[at] = foreign,
        _ => characters.insert(at.min(characters.len()), foreign),
    }
    characters.into_iter().collect()
}
