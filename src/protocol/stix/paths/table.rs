//! The table of the object paths that can be searched for. It is only data.

use crate::matching::condition::{Field, Subject, TestedPlace};
use crate::observable::{Kind, Property};

/// How the values of an object path are written and compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathTarget {
    /// An address. It may be an IPv6 address too, as the MISP plugin of Threat Bus writes
    /// every address as `ipv4-addr`.
    Ipv4,
    /// An IPv6 address.
    Ipv6,
    /// Values of a kind.
    Kind(Kind),
    /// An address or a host name.
    Host,
    /// The object type of a host.
    HostType,
    /// A URL.
    Url,
    /// A number; checked here, beside something that can be looked up.
    Number,
    /// A time; checked in the same way.
    Time,
    /// A protocol.
    Protocol,
    /// The folder of a file.
    Folder,
}

/// An object path that can be searched for.
#[derive(Debug)]
pub struct PathRow {
    /// The path in canonical form, without list indexes. Any spelling of a hash's name
    /// becomes the one used here.
    pub path: &'static str,
    /// The owner of the property.
    pub subject: Subject,
    /// Where events hold its values.
    pub place: TestedPlace,
    /// How they are written.
    pub target: PathTarget,
}

const fn row(
    path: &'static str,
    subject: Subject,
    place: TestedPlace,
    target: PathTarget,
) -> PathRow {
    PathRow {
        path,
        subject,
        place,
        target,
    }
}

const fn kind(path: &'static str, subject: Subject, kind: Kind) -> PathRow {
    row(
        path,
        subject,
        TestedPlace::Kind(kind),
        PathTarget::Kind(kind),
    )
}

const fn text(path: &'static str, subject: Subject, property: Property) -> PathRow {
    kind(path, subject, Kind::Text(property))
}

const fn field(path: &'static str, subject: Subject, field: Field, target: PathTarget) -> PathRow {
    row(path, subject, TestedPlace::Field(field), target)
}

const fn number(path: &'static str, subject: Subject, of: Field) -> PathRow {
    field(path, subject, of, PathTarget::Number)
}

/// All object paths.
pub const PATHS: &[PathRow] = &[
    row(
        "ipv4-addr:value",
        Subject::Ipv4,
        TestedPlace::Kind(Kind::Address),
        PathTarget::Ipv4,
    ),
    row(
        "ipv6-addr:value",
        Subject::Ipv6,
        TestedPlace::Kind(Kind::Address),
        PathTarget::Ipv6,
    ),
    kind("domain-name:value", Subject::Domain, Kind::Domain),
    kind(
        "domain-name:resolves_to_refs.value",
        Subject::Domain,
        Kind::Answer,
    ),
    number(
        "domain-name:x_misp_port",
        Subject::Nobody,
        Field::DestinationPort,
    ),
    kind("hostname:value", Subject::Hostname, Kind::Domain),
    kind("x-opencti-hostname:value", Subject::Hostname, Kind::Domain),
    kind("url:value", Subject::Url, Kind::Url),
    text("file:hashes.MD5", Subject::File, Property::Md5),
    text("file:hashes.'SHA-1'", Subject::File, Property::Sha1),
    text("file:hashes.'SHA-256'", Subject::File, Property::Sha256),
    text("file:hashes.'SHA-512'", Subject::File, Property::Sha512),
    text("file:name", Subject::File, Property::FileName),
    row(
        "file:parent_directory_ref.path",
        Subject::File,
        TestedPlace::Kind(Kind::Text(Property::FileName)),
        PathTarget::Folder,
    ),
    number("file:size", Subject::File, Field::FileSize),
    text(
        "x509-certificate:hashes.MD5",
        Subject::Certificate,
        Property::CertificateMd5,
    ),
    text(
        "x509-certificate:hashes.'SHA-1'",
        Subject::Certificate,
        Property::CertificateSha1,
    ),
    text(
        "x509-certificate:hashes.'SHA-256'",
        Subject::Certificate,
        Property::CertificateSha256,
    ),
    text(
        "x509-certificate:serial_number",
        Subject::Certificate,
        Property::CertificateSerial,
    ),
    text(
        "x509-certificate:issuer",
        Subject::Certificate,
        Property::CertificateIssuer,
    ),
    text(
        "x509-certificate:subject",
        Subject::Certificate,
        Property::CertificateSubject,
    ),
    text("mac-addr:value", Subject::Mac, Property::Mac),
    text("email-addr:value", Subject::MailAddress, Property::Email),
    text(
        "email-message:from_ref.value",
        Subject::Mail,
        Property::EmailSender,
    ),
    text(
        "email-message:sender_ref.value",
        Subject::Mail,
        Property::EmailSender,
    ),
    text(
        "email-message:to_refs.value",
        Subject::Mail,
        Property::EmailRecipient,
    ),
    text(
        "email-message:cc_refs.value",
        Subject::Mail,
        Property::EmailRecipient,
    ),
    text(
        "email-message:bcc_refs.value",
        Subject::Mail,
        Property::EmailRecipient,
    ),
    text(
        "email-message:subject",
        Subject::Mail,
        Property::EmailSubject,
    ),
    field(
        "email-message:additional_header_fields.reply_to",
        Subject::Mail,
        Field::ReplyTo,
        PathTarget::Kind(Kind::Text(Property::Email)),
    ),
    text(
        "email-message:additional_header_fields.x_mailer",
        Subject::Mail,
        Property::UserAgent,
    ),
    field(
        "email-message:body_multipart.body_raw_ref.name",
        Subject::Mail,
        Field::Attachment,
        PathTarget::Kind(Kind::Text(Property::FileName)),
    ),
    row(
        "network-traffic:src_ref.value",
        Subject::Source,
        TestedPlace::Source,
        PathTarget::Host,
    ),
    row(
        "network-traffic:dst_ref.value",
        Subject::Destination,
        TestedPlace::Destination,
        PathTarget::Host,
    ),
    row(
        "network-traffic:src_ref.type",
        Subject::Source,
        TestedPlace::Source,
        PathTarget::HostType,
    ),
    row(
        "network-traffic:dst_ref.type",
        Subject::Destination,
        TestedPlace::Destination,
        PathTarget::HostType,
    ),
    number(
        "network-traffic:src_port",
        Subject::Connection,
        Field::SourcePort,
    ),
    number(
        "network-traffic:dst_port",
        Subject::Connection,
        Field::DestinationPort,
    ),
    number(
        "network-traffic:src_byte_count",
        Subject::Connection,
        Field::SourceBytes,
    ),
    number(
        "network-traffic:dst_byte_count",
        Subject::Connection,
        Field::DestinationBytes,
    ),
    number(
        "network-traffic:src_packets",
        Subject::Connection,
        Field::SourcePackets,
    ),
    number(
        "network-traffic:dst_packets",
        Subject::Connection,
        Field::DestinationPackets,
    ),
    field(
        "network-traffic:start",
        Subject::Connection,
        Field::Start,
        PathTarget::Time,
    ),
    field(
        "network-traffic:end",
        Subject::Connection,
        Field::End,
        PathTarget::Time,
    ),
    field(
        "network-traffic:protocols",
        Subject::Connection,
        Field::Protocol,
        PathTarget::Protocol,
    ),
    text(
        "network-traffic:extensions.'http-request-ext'.request_method",
        Subject::Connection,
        Property::HttpMethod,
    ),
    row(
        "network-traffic:extensions.'http-request-ext'.request_value",
        Subject::Connection,
        TestedPlace::Request,
        PathTarget::Url,
    ),
    text(
        "network-traffic:extensions.'http-request-ext'.request_header.'User-Agent'",
        Subject::Connection,
        Property::UserAgent,
    ),
    text(
        "network-traffic:extensions.'http-request-ext'.request_header.Cookie",
        Subject::Connection,
        Property::Cookie,
    ),
    field(
        "network-traffic:extensions.'http-request-ext'.request_header.Host",
        Subject::Connection,
        Field::RequestHost,
        PathTarget::Host,
    ),
    field(
        "network-traffic:extensions.'http-request-ext'.request_header.Referer",
        Subject::Connection,
        Field::Referrer,
        PathTarget::Url,
    ),
    text(
        "network-traffic:extensions.'tls-ext'.ja3",
        Subject::Connection,
        Property::Ja3,
    ),
    text(
        "network-traffic:extensions.'tls-ext'.ja3s",
        Subject::Connection,
        Property::Ja3s,
    ),
    text(
        "network-traffic:extensions.'tls-ext'.ja4",
        Subject::Connection,
        Property::Ja4,
    ),
    text(
        "network-traffic:extensions.'ssh-ext'.hassh",
        Subject::Connection,
        Property::HasshClient,
    ),
    text(
        "network-traffic:extensions.'ssh-ext'.hassh_server",
        Subject::Connection,
        Property::HasshServer,
    ),
    text("user-agent:value", Subject::UserAgent, Property::UserAgent),
    text(
        "x-opencti-user-agent:value",
        Subject::UserAgent,
        Property::UserAgent,
    ),
    text("process:name", Subject::Process, Property::ProcessName),
    text(
        "process:image_ref.name",
        Subject::Process,
        Property::ProcessName,
    ),
    text(
        "process:binary_ref.name",
        Subject::Process,
        Property::ProcessName,
    ),
    text(
        "process:parent_ref.name",
        Subject::Process,
        Property::ParentProcessName,
    ),
    text(
        "process:parent_ref.image_ref.name",
        Subject::Process,
        Property::ParentProcessName,
    ),
    text(
        "process:command_line",
        Subject::Process,
        Property::CommandLine,
    ),
    text("user-account:user_id", Subject::User, Property::UserName),
    text(
        "user-account:account_login",
        Subject::User,
        Property::UserName,
    ),
];
