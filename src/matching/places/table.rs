//! The table of kinds and places: which fields of which logs hold what, and how their
//! text is read. It is only data. All code that reads events derives from it, except with
//! `--match exact`, which has the engine's concepts. A field may be in several rows, once for
//! each thing that it holds.
//!
//! The references are Zeek's Intel framework (its `seen` scripts), the schema of
//! Suricata's EVE (6 to 8) and the Elastic Common Schema. A name is that of a field: for
//! EVE and ECS the path in the event, for Zeek the log and the field, for other schemas
//! the last component of the path.

mod lists;

use super::{Joined, Reading, Sought};
use crate::matching::condition::Field;
use crate::observable::{Kind, Property};
use lists::{
    ECS_ANSWERS, ECS_NAMES, ECS_RECORDS, ECS_SUBJECTS, ECS_URLS, EVE_ADDRESSES, EVE_ANSWERED,
    EVE_CERTIFICATES, EVE_HOSTS, EVE_NAMES, EVE_PROXIED, EVE_RECORD_TYPES, EVE_RECORDS,
    EVE_SUBJECTS, EVE_URLS, ZEEK_ANSWERS, ZEEK_CERTIFICATES, ZEEK_NAMES, ZEEK_SUBJECTS, ZEEK_URLS,
};

/// Fields that hold the same and are read in the same way.
#[derive(Debug)]
pub struct Row {
    /// What they hold.
    pub sought: Sought,
    /// How their text is read.
    pub reading: Reading,
    /// Fields of Suricata's EVE, versions 6 to 8.
    pub eve: &'static [&'static str],
    /// Fields of Zeek's logs, versions 3 to 7 with the common packages: `LOG.FIELD`.
    pub zeek: &'static [&'static str],
    /// Fields of the Elastic Common Schema.
    pub ecs: &'static [&'static str],
    /// Fields of other schemas, such as Sysmon's: the last component of their path.
    pub others: &'static [&'static str],
}

impl Row {
    const fn eve(mut self, fields: &'static [&'static str]) -> Self {
        self.eve = fields;
        self
    }

    const fn zeek(mut self, fields: &'static [&'static str]) -> Self {
        self.zeek = fields;
        self
    }

    const fn ecs(mut self, fields: &'static [&'static str]) -> Self {
        self.ecs = fields;
        self
    }

    const fn others(mut self, fields: &'static [&'static str]) -> Self {
        self.others = fields;
        self
    }
}

const fn row(sought: Sought, reading: Reading) -> Row {
    Row {
        sought,
        reading,
        eve: &[],
        zeek: &[],
        ecs: &[],
        others: &[],
    }
}

const fn kind_row(kind: Kind, reading: Reading) -> Row {
    row(Sought::Kind(kind), reading)
}

const fn text_row(property: Property, reading: Reading) -> Row {
    row(Sought::Kind(Kind::Text(property)), reading)
}

const fn field_row(field: Field, reading: Reading) -> Row {
    row(Sought::Field(field), reading)
}

/// The whole table.
pub const TABLE: &[Row] = &[
    // Addresses. Other fields count too if their name ends like that of an address: see
    // `ADDRESS_ENDINGS`.
    kind_row(Kind::Address, Reading::Address)
        .eve(EVE_ADDRESSES)
        .zeek(&[
            "conn.id.orig_h",
            "conn.id.resp_h",
            "files.tx_hosts",
            "files.rx_hosts",
            "x509.san.ip",
            "x509.ip",
            "smtp.path",
            "dhcp.dns_servers",
            "dhcp.routers",
            "socks.bound.host",
            "socks.request.host",
            "known_hosts.host",
            "known_certs.host",
            "known_services.host",
            "software.host",
            "notice.src",
            "notice.dst",
        ])
        .ecs(&[
            "related.ip",
            "host.ip",
            "observer.ip",
            "network.forwarded_ip",
        ]),
    kind_row(Kind::Address, Reading::Addresses)
        .eve(EVE_PROXIED)
        .zeek(&["http.proxied", "smtp.x_originating_ip"]),
    kind_row(Kind::Address, Reading::Host)
        .eve(EVE_HOSTS)
        .zeek(&["http.host"])
        .ecs(&["url.domain"]),
    kind_row(Kind::Address, Reading::Name)
        .eve(EVE_NAMES)
        .zeek(ZEEK_NAMES)
        .ecs(ECS_NAMES),
    kind_row(Kind::Address, Reading::Url)
        .eve(EVE_URLS)
        .zeek(ZEEK_URLS)
        .ecs(ECS_URLS),
    kind_row(Kind::Address, Reading::CommonName)
        .eve(EVE_SUBJECTS)
        .zeek(ZEEK_SUBJECTS)
        .ecs(ECS_SUBJECTS),
    kind_row(Kind::Address, Reading::Record)
        .eve(EVE_RECORDS)
        .ecs(ECS_RECORDS),
    kind_row(Kind::Address, Reading::Answer)
        .eve(EVE_ANSWERED)
        .zeek(ZEEK_ANSWERS)
        .ecs(ECS_ANSWERS),
    // Domains.
    kind_row(Kind::Domain, Reading::Name)
        .eve(EVE_NAMES)
        .zeek(ZEEK_NAMES)
        .ecs(ECS_NAMES)
        .others(&["DestinationHostname", "SourceHostname", "sni", "QueryName"]),
    kind_row(Kind::Domain, Reading::Host)
        .eve(EVE_HOSTS)
        .zeek(&["http.host"])
        .ecs(&["url.domain"]),
    kind_row(Kind::Domain, Reading::Url)
        .eve(EVE_URLS)
        .zeek(ZEEK_URLS)
        .ecs(ECS_URLS),
    kind_row(Kind::Domain, Reading::CommonName)
        .eve(EVE_SUBJECTS)
        .zeek(ZEEK_SUBJECTS)
        .ecs(ECS_SUBJECTS),
    kind_row(Kind::Domain, Reading::Record)
        .eve(EVE_RECORDS)
        .ecs(ECS_RECORDS),
    kind_row(Kind::Domain, Reading::Answer)
        .eve(EVE_ANSWERED)
        .zeek(ZEEK_ANSWERS)
        .ecs(ECS_ANSWERS),
    kind_row(Kind::Domain, Reading::Principal)
        .eve(&["krb5.sname", "krb5.cname", "smb.kerberos.snames"])
        .zeek(&["kerberos.client"]),
    // DNS answers, for indicators that only mean these.
    kind_row(Kind::Answer, Reading::Record)
        .eve(EVE_RECORDS)
        .ecs(ECS_RECORDS),
    kind_row(Kind::Answer, Reading::Answer)
        .eve(EVE_ANSWERED)
        .zeek(ZEEK_ANSWERS)
        .ecs(ECS_ANSWERS),
    row(Sought::Joined(Joined::RecordType), Reading::Plain)
        .eve(EVE_RECORD_TYPES)
        .ecs(&["dns.answers.type"]),
    // URLs, whole and in parts.
    kind_row(Kind::Url, Reading::Url)
        .eve(EVE_URLS)
        .zeek(ZEEK_URLS)
        .ecs(ECS_URLS),
    row(Sought::Joined(Joined::RequestHost), Reading::Host)
        .eve(EVE_HOSTS)
        .zeek(&["http.host"])
        .ecs(&["url.domain"]),
    row(Sought::Joined(Joined::RequestTarget), Reading::Target)
        .eve(&["http.url", "fileinfo.http.url"])
        .zeek(&["http.uri"])
        .ecs(&["url.path", "url.original"]),
    row(Sought::Joined(Joined::RequestQuery), Reading::Plain).ecs(&["url.query"]),
    row(Sought::Joined(Joined::RequestPort), Reading::Number)
        .eve(&["http.http_port"])
        .ecs(&["url.port"]),
    // Files.
    text_row(Property::Md5, Reading::Hexadecimal)
        .eve(&["fileinfo.md5", "files.md5"])
        .zeek(&["files.md5"])
        .ecs(&[
            "file.hash.md5",
            "process.hash.md5",
            "email.attachments.file.hash.md5",
        ]),
    text_row(Property::Sha1, Reading::Hexadecimal)
        .eve(&["fileinfo.sha1", "files.sha1"])
        .zeek(&["files.sha1"])
        .ecs(&[
            "file.hash.sha1",
            "process.hash.sha1",
            "email.attachments.file.hash.sha1",
        ]),
    text_row(Property::Sha256, Reading::Hexadecimal)
        .eve(&["fileinfo.sha256", "files.sha256"])
        .zeek(&["files.sha256"])
        .ecs(&[
            "file.hash.sha256",
            "process.hash.sha256",
            "email.attachments.file.hash.sha256",
        ]),
    text_row(Property::Sha512, Reading::Hexadecimal).ecs(&[
        "file.hash.sha512",
        "process.hash.sha512",
        "email.attachments.file.hash.sha512",
    ]),
    kind_row(Kind::Hash, Reading::Hexadecimal)
        .eve(&[
            "dns.answers.sshfp.fingerprint",
            "dns.grouped.SSHFP.fingerprint",
        ])
        .zeek(&["ssh.host_key"])
        .ecs(&["related.hash"]),
    text_row(Property::FileName, Reading::FileName)
        .eve(&[
            "fileinfo.filename",
            "files.filename",
            "smb.filename",
            "smb.rename.from",
            "smb.rename.to",
            "ftp_data.filename",
            "nfs.filename",
            "nfs.rename.from",
            "nfs.rename.to",
            "tftp.file",
            "email.attachment",
        ])
        .zeek(&[
            "files.filename",
            "smb_files.name",
            "smb_files.prev_name",
            "ftp.arg",
            "http.orig_filenames",
            "http.resp_filenames",
            "irc.dcc_file_name",
        ])
        .ecs(&["file.name", "file.path", "email.attachments.file.name"])
        .others(&["TargetFilename", "OriginalFileName"]),
    field_row(Field::FileSize, Reading::Number)
        .eve(&["fileinfo.size", "files.size", "smb.size"])
        .zeek(&["files.total_bytes", "files.seen_bytes", "smb_files.size"])
        .ecs(&["file.size", "email.attachments.file.size"]),
    // Certificates.
    text_row(Property::CertificateSha1, Reading::Hexadecimal)
        .eve(EVE_CERTIFICATES)
        .zeek(ZEEK_CERTIFICATES)
        .ecs(&["tls.server.hash.sha1", "tls.client.hash.sha1"]),
    text_row(Property::CertificateSha256, Reading::Hexadecimal)
        .eve(EVE_CERTIFICATES)
        .zeek(ZEEK_CERTIFICATES)
        .ecs(&["tls.server.hash.sha256", "tls.client.hash.sha256"]),
    text_row(Property::CertificateMd5, Reading::Hexadecimal)
        .eve(EVE_CERTIFICATES)
        .zeek(ZEEK_CERTIFICATES)
        .ecs(&["tls.server.hash.md5", "tls.client.hash.md5"]),
    text_row(Property::CertificateSerial, Reading::Serial)
        .eve(&["tls.serial", "tls.client.serial"])
        .zeek(&[
            "x509.certificate.serial",
            "x509.serial",
            "known_certs.serial",
        ])
        .ecs(&[
            "tls.server.x509.serial_number",
            "tls.client.x509.serial_number",
            "file.x509.serial_number",
        ]),
    text_row(Property::CertificateIssuer, Reading::DistinguishedName)
        .eve(&["tls.issuerdn", "tls.client.issuerdn"])
        .zeek(&[
            "ssl.issuer",
            "ssl.client_issuer",
            "x509.certificate.issuer",
            "x509.issuer",
            "known_certs.issuer_subject",
        ])
        .ecs(&[
            "tls.server.issuer",
            "tls.client.issuer",
            "tls.server.x509.issuer.distinguished_name",
            "tls.client.x509.issuer.distinguished_name",
            "file.x509.issuer.distinguished_name",
        ]),
    text_row(Property::CertificateSubject, Reading::DistinguishedName)
        .eve(EVE_SUBJECTS)
        .zeek(ZEEK_SUBJECTS)
        .ecs(ECS_SUBJECTS),
    // Fingerprints of clients and servers.
    text_row(Property::Ja3, Reading::Hexadecimal)
        .eve(&["tls.ja3.hash", "quic.ja3.hash", "tls.ja3_hash"])
        .zeek(&["ssl.ja3"])
        .ecs(&["tls.client.ja3"]),
    text_row(Property::Ja3s, Reading::Hexadecimal)
        .eve(&["tls.ja3s.hash", "quic.ja3s.hash"])
        .zeek(&["ssl.ja3s"])
        .ecs(&["tls.server.ja3s"]),
    text_row(Property::Ja4, Reading::LowerCase)
        .eve(&["tls.ja4", "quic.ja4"])
        .zeek(&["ssl.ja4", "quic.ja4"])
        .ecs(&["tls.client.ja4"]),
    text_row(Property::HasshClient, Reading::Hexadecimal)
        .eve(&["ssh.client.hassh.hash"])
        .zeek(&["ssh.hassh"]),
    text_row(Property::HasshServer, Reading::Hexadecimal)
        .eve(&["ssh.server.hassh.hash"])
        .zeek(&["ssh.hasshServer"]),
    // Mail.
    text_row(Property::EmailSender, Reading::Mail)
        .eve(&["smtp.mail_from", "email.from"])
        .zeek(&["smtp.mailfrom", "smtp.from"])
        .ecs(&["email.from.address", "email.sender.address"]),
    text_row(Property::EmailRecipient, Reading::Mail)
        .eve(&["smtp.rcpt_to", "email.to", "email.cc"])
        .zeek(&["smtp.rcptto", "smtp.to", "smtp.cc"])
        .ecs(&["email.to.address", "email.cc.address", "email.bcc.address"]),
    text_row(Property::Email, Reading::Mail)
        .eve(&["email.reply_to"])
        .zeek(&["smtp.reply_to", "x509.san.email", "x509.email"])
        .ecs(&["email.reply_to.address"]),
    text_row(Property::EmailSubject, Reading::Text)
        .eve(&["email.subject"])
        .zeek(&["smtp.subject"])
        .ecs(&["email.subject"]),
    // Hardware addresses.
    text_row(Property::Mac, Reading::Mac)
        .eve(&[
            "ether.src_mac",
            "ether.dest_mac",
            "ether.src_macs",
            "ether.dest_macs",
            "dhcp.client_mac",
            "arp.src_mac",
            "arp.dest_mac",
        ])
        .zeek(&[
            "dhcp.mac",
            "conn.orig_l2_addr",
            "conn.resp_l2_addr",
            "radius.mac",
        ])
        .ecs(&[
            "source.mac",
            "destination.mac",
            "client.mac",
            "server.mac",
            "host.mac",
            "observer.mac",
        ]),
    // Requests.
    text_row(Property::UserAgent, Reading::Text)
        .eve(&["http.http_user_agent", "email.x_mailer"])
        .zeek(&["http.user_agent", "smtp.user_agent", "sip.user_agent"])
        .ecs(&["user_agent.original"]),
    text_row(Property::HttpMethod, Reading::Text)
        .eve(&["http.http_method"])
        .zeek(&["http.method"])
        .ecs(&["http.request.method"]),
    text_row(Property::Cookie, Reading::Text)
        .eve(&["http.cookie", "http.request_headers.cookie"])
        .zeek(&["http.cookie_vars", "http.cookie"]),
    // Processes and users.
    text_row(Property::ProcessName, Reading::Text)
        .ecs(&["process.executable", "process.name"])
        .others(&["Image", "ImageLoaded", "SourceImage", "TargetImage"]),
    text_row(Property::ParentProcessName, Reading::Text)
        .ecs(&["process.parent.executable", "process.parent.name"])
        .others(&["ParentImage"]),
    text_row(Property::CommandLine, Reading::Text)
        .ecs(&["process.command_line"])
        .others(&["CommandLine"]),
    text_row(Property::UserName, Reading::Text)
        .ecs(&["user.name", "source.user.name", "destination.user.name"])
        .others(&["User"]),
    // Connections: their ends and their protocols.
    field_row(Field::SourceAddress, Reading::Address)
        .eve(&["src_ip"])
        .zeek(&["conn.id.orig_h", "notice.src", "signatures.src_addr"])
        .ecs(&["source.ip", "client.ip", "source.address", "client.address"])
        .others(&["SourceIp", "src"]),
    field_row(Field::DestinationAddress, Reading::Address)
        .eve(&["dest_ip"])
        .zeek(&["conn.id.resp_h", "notice.dst", "signatures.dst_addr"])
        .ecs(&[
            "destination.ip",
            "server.ip",
            "destination.address",
            "server.address",
        ])
        .others(&["DestinationIp", "dst"]),
    field_row(Field::SourcePort, Reading::Number)
        .eve(&["src_port"])
        .zeek(&["conn.id.orig_p"])
        .ecs(&["source.port", "client.port"])
        .others(&["SourcePort", "sport"]),
    field_row(Field::DestinationPort, Reading::Number)
        .eve(&["dest_port"])
        .zeek(&["conn.id.resp_p"])
        .ecs(&["destination.port", "server.port"])
        .others(&["DestinationPort", "dport"]),
    field_row(Field::Protocol, Reading::Protocols)
        .eve(&["proto", "app_proto", "alert.app_proto", "event_type"])
        .zeek(&["conn.proto", "conn.service", "_path"])
        .ecs(&["network.transport", "network.protocol", "network.type"])
        .others(&["Protocol"]),
    field_row(Field::SourceBytes, Reading::Number)
        .eve(&["flow.bytes_toserver"])
        .zeek(&["conn.orig_bytes"])
        .ecs(&["source.bytes", "client.bytes"]),
    field_row(Field::DestinationBytes, Reading::Number)
        .eve(&["flow.bytes_toclient"])
        .zeek(&["conn.resp_bytes"])
        .ecs(&["destination.bytes", "server.bytes"]),
    field_row(Field::SourcePackets, Reading::Number)
        .eve(&["flow.pkts_toserver"])
        .zeek(&["conn.orig_pkts"])
        .ecs(&["source.packets", "client.packets"]),
    field_row(Field::DestinationPackets, Reading::Number)
        .eve(&["flow.pkts_toclient"])
        .zeek(&["conn.resp_pkts"])
        .ecs(&["destination.packets", "server.packets"]),
    field_row(Field::SourceHost, Reading::Host)
        .eve(&["smtp.helo", "dhcp.hostname"])
        .zeek(&["smtp.helo", "dhcp.host_name", "dhcp.client_fqdn"])
        .ecs(&["source.domain", "client.domain"])
        .others(&["SourceHostname"]),
    field_row(Field::DestinationHost, Reading::Host)
        .eve(&[
            "http.hostname",
            "fileinfo.http.hostname",
            "tls.sni",
            "quic.sni",
        ])
        .zeek(&["http.host", "ssl.server_name", "quic.server_name"])
        .ecs(&[
            "destination.domain",
            "server.domain",
            "url.domain",
            "tls.client.server_name",
        ])
        .others(&["DestinationHostname"]),
    field_row(Field::RequestHost, Reading::Host)
        .eve(EVE_HOSTS)
        .zeek(&["http.host"])
        .ecs(&["url.domain"]),
    field_row(Field::Referrer, Reading::Url)
        .eve(&["http.http_refer"])
        .zeek(&["http.referrer"])
        .ecs(&["http.request.referrer"]),
    field_row(Field::Start, Reading::Plain)
        .eve(&["flow.start", "netflow.start"])
        .ecs(&["event.start"]),
    field_row(Field::End, Reading::Plain)
        .eve(&["flow.end", "netflow.end"])
        .ecs(&["event.end"]),
    field_row(Field::Attachment, Reading::FileName)
        .eve(&["email.attachment"])
        .ecs(&["email.attachments.file.name"]),
    field_row(Field::ReplyTo, Reading::Mail)
        .eve(&["email.reply_to"])
        .zeek(&["smtp.reply_to"])
        .ecs(&["email.reply_to.address"]),
];
