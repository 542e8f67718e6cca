//! The properties of events, other than addresses, domains and URLs, that a text
//! can be looked for in.

use std::borrow::Cow;

/// A property that holds one text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Property {
    /// The MD5 of a file.
    Md5,
    /// The SHA-1 of a file.
    Sha1,
    /// The SHA-256 of a file.
    Sha256,
    /// The name of a file, as the log has it (often with a path).
    FileName,
    /// A hardware address.
    Mac,
    /// The user agent of an HTTP client.
    UserAgent,
    /// The sender or the recipient of a mail.
    Email,
    /// The image that a process runs.
    ProcessName,
    /// The image that a process's parent runs.
    ParentProcessName,
    /// The command line of a process.
    CommandLine,
    /// The name of a user.
    UserName,
}

/// How a text is written before it is compared, byte for byte, with the logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writing {
    /// As it came: case counts.
    AsIs,
    /// So many hexadecimal digits in lower case, as Suricata and Zeek write
    /// hashes.
    Hexadecimal(usize),
    /// Six pairs of hexadecimal digits in lower case with colons between them,
    /// as STIX and Suricata write hardware addresses.
    HardwareAddress,
}

/// What is known of a property.
#[derive(Debug)]
pub struct Facts {
    /// Which one.
    pub property: Property,
    /// Its name in one word, as logs and statistics have it.
    pub name: &'static str,
    /// What a value of it is called in a message.
    pub what: &'static str,
    /// The engine's concepts, or whole names of fields, that hold it.
    pub extractors: &'static [&'static str],
    /// How it is compared.
    pub writing: Writing,
}

/// All properties, in the order of their numbers.
pub const PROPERTIES: [Facts; 11] = [
    Facts {
        property: Property::Md5,
        name: "md5",
        what: "MD5",
        extractors: &["file.hash.md5"],
        writing: Writing::Hexadecimal(32),
    },
    Facts {
        property: Property::Sha1,
        name: "sha1",
        what: "SHA-1",
        extractors: &["file.hash.sha1"],
        writing: Writing::Hexadecimal(40),
    },
    Facts {
        property: Property::Sha256,
        name: "sha256",
        what: "SHA-256",
        extractors: &["file.hash.sha256"],
        writing: Writing::Hexadecimal(64),
    },
    Facts {
        property: Property::FileName,
        name: "filename",
        what: "file name",
        extractors: &["file.name"],
        writing: Writing::AsIs,
    },
    Facts {
        property: Property::Mac,
        name: "mac",
        what: "hardware address",
        extractors: &["net.src.mac"],
        writing: Writing::HardwareAddress,
    },
    Facts {
        property: Property::UserAgent,
        name: "useragent",
        what: "user agent",
        extractors: &["zeek.http.user_agent", "suricata.http.http.http_user_agent"],
        writing: Writing::AsIs,
    },
    Facts {
        property: Property::Email,
        name: "email",
        what: "mail address",
        extractors: &["zeek.smtp.mailfrom", "suricata.smtp.smtp.mail_from"],
        writing: Writing::AsIs,
    },
    Facts {
        property: Property::ProcessName,
        name: "process",
        what: "process name",
        extractors: &["proc.name"],
        writing: Writing::AsIs,
    },
    Facts {
        property: Property::ParentProcessName,
        name: "parent_process",
        what: "name of a parent process",
        extractors: &["proc.parent.name"],
        writing: Writing::AsIs,
    },
    Facts {
        property: Property::CommandLine,
        name: "command_line",
        what: "command line",
        extractors: &["sysmon.ProcessCreation.CommandLine"],
        writing: Writing::AsIs,
    },
    Facts {
        property: Property::UserName,
        name: "user",
        what: "user name",
        extractors: &["proc.user_name"],
        writing: Writing::AsIs,
    },
];

impl Property {
    /// What is known of it.
    pub fn facts(self) -> &'static Facts {
        &PROPERTIES[self as usize]
    }

    /// The property with this number.
    pub fn from_number(number: usize) -> Option<Self> {
        PROPERTIES.get(number).map(|facts| facts.property)
    }

    /// The value as it is looked for; `None` where it is none of this kind.
    pub fn write(self, value: &str) -> Option<Cow<'_, str>> {
        match self.facts().writing {
            Writing::AsIs => Some(Cow::Borrowed(value)),
            Writing::Hexadecimal(digits) => {
                let is_hash = value.len() == digits && value.bytes().all(|b| b.is_ascii_hexdigit());
                is_hash.then(|| lower_case(value))
            }
            Writing::HardwareAddress => hardware_address(value),
        }
    }
}

fn lower_case(value: &str) -> Cow<'_, str> {
    match value.bytes().any(|byte| byte.is_ascii_uppercase()) {
        true => Cow::Owned(value.to_ascii_lowercase()),
        false => Cow::Borrowed(value),
    }
}

/// Pairs with `:` or `-` between them, or three groups of four with dots.
fn hardware_address(value: &str) -> Option<Cow<'_, str>> {
    let (separator, width) = match value.len() {
        17 => (value.as_bytes()[2], 2),
        14 => (value.as_bytes()[4], 4),
        _ => return None,
    };
    let fits = matches!((separator, width), (b':' | b'-', 2) | (b'.', 4));
    let mut groups = value.split(char::from(separator));
    let group = |group: &str| group.len() == width && group.bytes().all(|b| b.is_ascii_hexdigit());
    if !fits || !groups.all(group) {
        return None;
    }
    if separator == b':' {
        return Some(lower_case(value));
    }
    let digits: Vec<char> = value.chars().filter(char::is_ascii_hexdigit).collect();
    let pairs = digits.chunks(2).map(|pair| pair.iter().collect::<String>());
    let written = pairs.collect::<Vec<_>>().join(":");
    Some(Cow::Owned(written.to_ascii_lowercase()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_positions() {
        for (number, facts) in PROPERTIES.iter().enumerate() {
            assert_eq!(facts.property as usize, number);
            assert_eq!(Property::from_number(number), Some(facts.property));
        }
        assert_eq!(Property::from_number(PROPERTIES.len()), None);
    }

    #[test]
    fn hashes_are_digits_in_lower_case() {
        let hash = "D41D8CD98F00B204E9800998ECF8427E";
        assert_eq!(
            Property::Md5.write(hash).as_deref(),
            Some(&*hash.to_lowercase())
        );
        assert_eq!(Property::Sha1.write(hash), None);
        assert_eq!(Property::Md5.write(&hash.replace('D', "g")), None);
        assert_eq!(Property::FileName.write("A.exe").as_deref(), Some("A.exe"));
    }

    #[test]
    fn hardware_addresses_have_one_form() {
        for text in ["00:0A:95:9d:68:16", "00-0a-95-9D-68-16", "000a.959d.6816"] {
            let written = Property::Mac.write(text);
            assert_eq!(written.as_deref(), Some("00:0a:95:9d:68:16"), "{text}");
        }
        for text in [
            "",
            "00:0a:95:9d:68",
            "00:0a:95:9d:68:1g",
            "00:0a-95:9d:68:16",
            "000a:959d:6816",
            "é0:0a:95:9d:68:1",
            "ééééééé",
        ] {
            assert_eq!(Property::Mac.write(text), None, "{text}");
        }
    }
}
