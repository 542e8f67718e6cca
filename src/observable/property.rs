//! The properties of events, apart from addresses, domains and URLs, whose texts can be
//! searched.

use super::not_a_value::NotAValue;
use super::{file_name, hash, mac, mail, text};

/// A property that holds a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Property {
    /// The MD5 of a file.
    Md5,
    /// The SHA-1 of a file.
    Sha1,
    /// The SHA-256 of a file.
    Sha256,
    /// The name of a file, or the end of its path.
    FileName,
    /// A hardware address.
    Mac,
    /// The user agent of an HTTP client.
    UserAgent,
    /// The sender or a recipient of a mail.
    Email,
    /// The image that a process runs.
    ProcessName,
    /// The image that a process's parent runs.
    ParentProcessName,
    /// The command line of a process.
    CommandLine,
    /// The name of a user.
    UserName,
    /// The SHA-512 of a file.
    Sha512,
    /// The MD5 of a certificate.
    CertificateMd5,
    /// The SHA-1 of a certificate.
    CertificateSha1,
    /// The SHA-256 of a certificate.
    CertificateSha256,
    /// A certificate's serial number.
    CertificateSerial,
    /// The distinguished name of a certificate's issuer.
    CertificateIssuer,
    /// The distinguished name of a certificate's subject.
    CertificateSubject,
    /// The fingerprint of a TLS client (JA3).
    Ja3,
    /// The fingerprint of a TLS server (JA3S).
    Ja3s,
    /// The fingerprint of a TLS or QUIC client (JA4).
    Ja4,
    /// The fingerprint of an SSH client (HASSH).
    HasshClient,
    /// The fingerprint of an SSH server (HASSH).
    HasshServer,
    /// The sender of a mail.
    EmailSender,
    /// A recipient of a mail.
    EmailRecipient,
    /// The subject of a mail.
    EmailSubject,
    /// The method of an HTTP request.
    HttpMethod,
    /// A cookie of an HTTP request.
    Cookie,
}

/// The canonical form in which the texts of feeds and events are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValueForm {
    /// Unchanged apart from NFC. Case-sensitive.
    AsIs,
    /// Lower case.
    LowerCase,
    /// This many hexadecimal digits ([`hash`]).
    Hexadecimal(usize),
    /// Hexadecimal digits without leading zeros ([`hash::serial`]).
    Serial,
    /// Pairs of digits separated by colons ([`mac`]).
    HardwareAddress,
    /// `name@domain` ([`mail`]).
    MailAddress,
    /// A file name, or the last components of a path ([`file_name`]).
    FileName,
    /// Attributes and their values ([`text::distinguished_name`]).
    DistinguishedName,
}

impl ValueForm {
    /// Whether an engine that compares texts is queried for the original spelling.
    pub(super) fn keeps_spelling(self) -> bool {
        match self {
            ValueForm::AsIs
            | ValueForm::LowerCase
            | ValueForm::Serial
            | ValueForm::MailAddress
            | ValueForm::FileName
            | ValueForm::DistinguishedName => true,
            // All logs write these in the same way.
            ValueForm::Hexadecimal(_) | ValueForm::HardwareAddress => false,
        }
    }

    /// Whether fields hold more than the value: a header around a mail address, a path
    /// before a name.
    pub(super) fn is_part_of_texts(self) -> bool {
        matches!(self, ValueForm::MailAddress | ValueForm::FileName)
    }
}

/// Describes a property.
#[derive(Debug)]
pub struct PropertyInfo {
    /// The property.
    pub property: Property,
    /// Its name in one word, for logs and statistics.
    pub name: &'static str,
    /// The name of a value in messages.
    pub what: &'static str,
    /// The engine's concepts, or full field names, that hold it.
    pub extractors: &'static [&'static str],
    /// The form in which it is compared.
    pub writing: ValueForm,
    /// What it is a property of. Tests of one pattern on objects of one type have to
    /// match the same thing.
    pub of: Thing,
}

/// What a property belongs to, as far as an event tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Thing {
    /// A file.
    File,
    /// A certificate, of a server or of a client.
    Certificate,
    /// A mail.
    Mail,
    /// A request.
    Request,
    /// A process.
    Process,
    /// The parent of a process.
    ParentProcess,
    /// Its owner is unknown: each value counts as a thing.
    Itself,
}

/// All properties, in the order of their numbers.
pub const PROPERTIES: [PropertyInfo; 28] = [
    PropertyInfo {
        property: Property::Md5,
        name: "md5",
        what: "MD5",
        extractors: &["file.hash.md5"],
        writing: ValueForm::Hexadecimal(32),
        of: Thing::File,
    },
    PropertyInfo {
        property: Property::Sha1,
        name: "sha1",
        what: "SHA-1",
        extractors: &["file.hash.sha1"],
        writing: ValueForm::Hexadecimal(40),
        of: Thing::File,
    },
    PropertyInfo {
        property: Property::Sha256,
        name: "sha256",
        what: "SHA-256",
        extractors: &["file.hash.sha256"],
        writing: ValueForm::Hexadecimal(64),
        of: Thing::File,
    },
    PropertyInfo {
        property: Property::FileName,
        name: "filename",
        what: "file name",
        extractors: &["file.name"],
        writing: ValueForm::FileName,
        of: Thing::File,
    },
    PropertyInfo {
        property: Property::Mac,
        name: "mac",
        what: "hardware address",
        extractors: &["net.src.mac"],
        writing: ValueForm::HardwareAddress,
        of: Thing::Itself,
    },
    PropertyInfo {
        property: Property::UserAgent,
        name: "useragent",
        what: "user agent",
        extractors: &["zeek.http.user_agent", "suricata.http.http.http_user_agent"],
        writing: ValueForm::AsIs,
        of: Thing::Request,
    },
    PropertyInfo {
        property: Property::Email,
        name: "email",
        what: "mail address",
        extractors: &["zeek.smtp.mailfrom", "suricata.smtp.smtp.mail_from"],
        writing: ValueForm::MailAddress,
        of: Thing::Itself,
    },
    PropertyInfo {
        property: Property::ProcessName,
        name: "process",
        what: "process name",
        extractors: &["proc.name"],
        writing: ValueForm::AsIs,
        of: Thing::Process,
    },
    PropertyInfo {
        property: Property::ParentProcessName,
        name: "parent_process",
        what: "name of a parent process",
        extractors: &["proc.parent.name"],
        writing: ValueForm::AsIs,
        of: Thing::ParentProcess,
    },
    PropertyInfo {
        property: Property::CommandLine,
        name: "command_line",
        what: "command line",
        extractors: &["sysmon.ProcessCreation.CommandLine"],
        writing: ValueForm::AsIs,
        of: Thing::Process,
    },
    PropertyInfo {
        property: Property::UserName,
        name: "user",
        what: "user name",
        extractors: &["proc.user_name"],
        writing: ValueForm::AsIs,
        of: Thing::Itself,
    },
    PropertyInfo {
        property: Property::Sha512,
        name: "sha512",
        what: "SHA-512",
        extractors: &[],
        writing: ValueForm::Hexadecimal(128),
        of: Thing::File,
    },
    PropertyInfo {
        property: Property::CertificateMd5,
        name: "x509_md5",
        what: "MD5 of a certificate",
        extractors: &[],
        writing: ValueForm::Hexadecimal(32),
        of: Thing::Certificate,
    },
    PropertyInfo {
        property: Property::CertificateSha1,
        name: "x509_sha1",
        what: "SHA-1 of a certificate",
        extractors: &["suricata.tls.tls.fingerprint"],
        writing: ValueForm::Hexadecimal(40),
        of: Thing::Certificate,
    },
    PropertyInfo {
        property: Property::CertificateSha256,
        name: "x509_sha256",
        what: "SHA-256 of a certificate",
        extractors: &[],
        writing: ValueForm::Hexadecimal(64),
        of: Thing::Certificate,
    },
    PropertyInfo {
        property: Property::CertificateSerial,
        name: "x509_serial",
        what: "serial number",
        extractors: &["suricata.tls.tls.serial", "zeek.x509.certificate.serial"],
        writing: ValueForm::Serial,
        of: Thing::Certificate,
    },
    PropertyInfo {
        property: Property::CertificateIssuer,
        name: "x509_issuer",
        what: "distinguished name",
        extractors: &[
            "suricata.tls.tls.issuerdn",
            "zeek.ssl.issuer",
            "zeek.x509.certificate.issuer",
        ],
        writing: ValueForm::DistinguishedName,
        of: Thing::Certificate,
    },
    PropertyInfo {
        property: Property::CertificateSubject,
        name: "x509_subject",
        what: "distinguished name",
        extractors: &[
            "suricata.tls.tls.subject",
            "zeek.ssl.subject",
            "zeek.x509.certificate.subject",
        ],
        writing: ValueForm::DistinguishedName,
        of: Thing::Certificate,
    },
    PropertyInfo {
        property: Property::Ja3,
        name: "ja3",
        what: "JA3",
        extractors: &["suricata.tls.tls.ja3.hash"],
        writing: ValueForm::Hexadecimal(32),
        of: Thing::Itself,
    },
    PropertyInfo {
        property: Property::Ja3s,
        name: "ja3s",
        what: "JA3S",
        extractors: &["suricata.tls.tls.ja3s.hash"],
        writing: ValueForm::Hexadecimal(32),
        of: Thing::Itself,
    },
    PropertyInfo {
        property: Property::Ja4,
        name: "ja4",
        what: "JA4",
        extractors: &[],
        writing: ValueForm::LowerCase,
        of: Thing::Itself,
    },
    PropertyInfo {
        property: Property::HasshClient,
        name: "hassh",
        what: "HASSH",
        extractors: &[],
        writing: ValueForm::Hexadecimal(32),
        of: Thing::Itself,
    },
    PropertyInfo {
        property: Property::HasshServer,
        name: "hassh_server",
        what: "HASSH",
        extractors: &[],
        writing: ValueForm::Hexadecimal(32),
        of: Thing::Itself,
    },
    PropertyInfo {
        property: Property::EmailSender,
        name: "email_sender",
        what: "mail address",
        extractors: &["zeek.smtp.mailfrom", "suricata.smtp.smtp.mail_from"],
        writing: ValueForm::MailAddress,
        of: Thing::Mail,
    },
    PropertyInfo {
        property: Property::EmailRecipient,
        name: "email_recipient",
        what: "mail address",
        extractors: &[],
        writing: ValueForm::MailAddress,
        of: Thing::Mail,
    },
    PropertyInfo {
        property: Property::EmailSubject,
        name: "email_subject",
        what: "subject",
        extractors: &["zeek.smtp.subject"],
        writing: ValueForm::AsIs,
        of: Thing::Mail,
    },
    PropertyInfo {
        property: Property::HttpMethod,
        name: "http_method",
        what: "method",
        extractors: &["zeek.http.method", "suricata.http.http.http_method"],
        writing: ValueForm::AsIs,
        of: Thing::Request,
    },
    PropertyInfo {
        property: Property::Cookie,
        name: "cookie",
        what: "cookie",
        extractors: &[],
        writing: ValueForm::AsIs,
        of: Thing::Request,
    },
];

impl Property {
    /// The description of the property.
    pub fn facts(self) -> &'static PropertyInfo {
        &PROPERTIES[self as usize]
    }

    /// The property with this number.
    pub fn from_number(number: usize) -> Option<Self> {
        PROPERTIES.get(number).map(|facts| facts.property)
    }

    /// Reads a feed's value and returns its canonical form.
    ///
    /// # Errors
    /// The text is not a value of this property.
    pub fn parse(self, value: &str) -> Result<String, NotAValue> {
        let PropertyInfo { what, writing, .. } = self.facts();
        let mut buffer = String::new();
        let canonical = match writing {
            ValueForm::AsIs => Some(text::nfc(value).into_owned()),
            ValueForm::LowerCase => Some(value.to_lowercase()),
            ValueForm::Hexadecimal(digits) => hash::of_length(value, &[*digits]),
            ValueForm::Serial => hash::serial(value, &mut buffer).map(str::to_owned),
            ValueForm::HardwareAddress => mac::read(value, &mut buffer).map(str::to_owned),
            ValueForm::DistinguishedName => Some(text::distinguished_name(value)),
            ValueForm::MailAddress => return mail::parse(value),
            ValueForm::FileName => return file_name::parse(value),
        };
        canonical.ok_or_else(|| NotAValue::plainly(value, what))
    }
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
    fn every_property_has_one_form() {
        let hash = "D41D8CD98F00B204E9800998ECF8427E";
        for (property, value, form) in [
            (
                Property::Md5,
                hash,
                Some("d41d8cd98f00b204e9800998ecf8427e"),
            ),
            (Property::Sha1, hash, None),
            (Property::Md5, "g41D8CD98F00B204E9800998ECF8427E", None),
            (Property::FileName, "A.exe", Some("a.exe")),
            (
                Property::UserAgent,
                "Mozilla/5.0 (X)",
                Some("Mozilla/5.0 (X)"),
            ),
            (
                Property::EmailRecipient,
                "<A@B.example>",
                Some("a@b.example"),
            ),
            (
                Property::Ja4,
                "T13d1516h2_8daaf6152771_B186095e22b6",
                Some("t13d1516h2_8daaf6152771_b186095e22b6"),
            ),
            (Property::CertificateSerial, "00:AB", Some("ab")),
            (
                Property::CertificateIssuer,
                "CN=R3,C=US",
                Some("C=US,CN=R3"),
            ),
            (
                Property::Mac,
                "00-0A-95-9d-68-16",
                Some("00:0a:95:9d:68:16"),
            ),
            (Property::Mac, "00", None),
        ] {
            assert_eq!(property.parse(value).ok().as_deref(), form, "{value}");
        }
    }
}
