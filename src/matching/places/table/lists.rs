//! The fields of Suricata's EVE, of Zeek's logs and of the Elastic Common Schema that hold
//! the same: lists that most often several rows of the table share.

/// DNS answers that are objects with a type (`rrtype`) and data (`rdata`).
pub(super) const EVE_RECORDS: &[&str] = &[
    "dns.rdata",
    "dns.answers.rdata",
    "dns.answer.rdata",
    "dns.authorities.rdata",
    "dns.additionals.rdata",
    "dns.answer.answers.rdata",
    "dns.answer.authorities.rdata",
    "dns.answer.additionals.rdata",
    "mdns.answers.rdata",
    "mdns.authorities.rdata",
    "mdns.additionals.rdata",
    "llmnr.answers.rdata",
    "llmnr.authorities.rdata",
    "llmnr.additionals.rdata",
];

/// The types of those answers.
pub(super) const EVE_RECORD_TYPES: &[&str] = &[
    "dns.rrtype",
    "dns.answers.rrtype",
    "dns.answer.rrtype",
    "dns.authorities.rrtype",
    "dns.additionals.rrtype",
    "dns.answer.answers.rrtype",
    "dns.answer.authorities.rrtype",
    "dns.answer.additionals.rrtype",
    "mdns.answers.rrtype",
    "mdns.authorities.rrtype",
    "mdns.additionals.rrtype",
    "llmnr.answers.rrtype",
    "llmnr.authorities.rrtype",
    "llmnr.additionals.rrtype",
];

/// Names and addresses of DNS answers that each have a field.
pub(super) const EVE_ANSWERED: &[&str] = &[
    "dns.grouped.A",
    "dns.grouped.AAAA",
    "dns.grouped.CNAME",
    "dns.grouped.NS",
    "dns.grouped.MX",
    "dns.grouped.PTR",
    "dns.grouped.SOA.mname",
    "dns.grouped.SOA.rname",
    "dns.grouped.SRV.name",
    "dns.answers.soa.mname",
    "dns.answers.soa.rname",
    "dns.answers.srv.name",
    "dns.answers.cname",
    "dns.answer.answers.soa.mname",
    "dns.answer.answers.soa.rname",
    "dns.answer.answers.srv.name",
    "dns.authorities.soa.mname",
    "dns.authorities.soa.rname",
    "dns.answer.authorities.soa.mname",
    "dns.answer.authorities.soa.rname",
    "dns.additionals.srv.name",
    "llmnr.grouped.A",
    "llmnr.grouped.AAAA",
    "llmnr.grouped.CNAME",
    "llmnr.grouped.SOA.mname",
    "llmnr.grouped.SOA.rname",
    "llmnr.answers.cname",
    "llmnr.answers.soa.mname",
    "llmnr.answers.soa.rname",
    "llmnr.answers.srv.name",
    "llmnr.authorities.cname",
    "llmnr.authorities.soa.mname",
    "llmnr.authorities.soa.rname",
    "llmnr.additionals.cname",
];

pub(super) const ZEEK_ANSWERS: &[&str] = &["dns.answers", "dns.auth", "dns.addl"];

pub(super) const ECS_ANSWERS: &[&str] = &["dns.resolved_ip"];

/// Like the objects of EVE, with a type and data.
pub(super) const ECS_RECORDS: &[&str] = &["dns.answers.data"];

/// The hosts of requests, optionally with a port.
pub(super) const EVE_HOSTS: &[&str] = &["http.hostname", "fileinfo.http.hostname"];

/// Fields that can hold whole URLs, whatever else they hold.
pub(super) const EVE_URLS: &[&str] = &["http.url", "http.http_refer", "email.url", "sip.uri"];
pub(super) const ZEEK_URLS: &[&str] = &[
    "http.uri",
    "http.referrer",
    "http.origin",
    "ftp.arg",
    "x509.san.uri",
    "x509.uri",
    "sip.uri",
];
pub(super) const ECS_URLS: &[&str] = &["url.full", "url.original", "http.request.referrer"];

/// Lists of proxies and their clients.
pub(super) const EVE_PROXIED: &[&str] = &["xff", "http.xff", "alert.xff"];

/// Distinguished names of certificate subjects.
pub(super) const EVE_SUBJECTS: &[&str] = &["tls.subject", "tls.client.subject"];
pub(super) const ZEEK_SUBJECTS: &[&str] = &[
    "ssl.subject",
    "ssl.client_subject",
    "x509.certificate.subject",
    "x509.subject",
    "known_certs.subject",
    "kerberos.client_cert_subject",
    "kerberos.server_cert_subject",
];
pub(super) const ECS_SUBJECTS: &[&str] = &[
    "tls.server.subject",
    "tls.client.subject",
    "tls.server.x509.subject.distinguished_name",
    "tls.client.x509.subject.distinguished_name",
    "file.x509.subject.distinguished_name",
];

/// Host names.
pub(super) const EVE_NAMES: &[&str] = &[
    "dns.rrname",
    "dns.query.rrname",
    "dns.queries.rrname",
    "dns.answer.rrname",
    "dns.answers.rrname",
    "dns.authorities.rrname",
    "dns.additionals.rrname",
    "dns.answer.answers.rrname",
    "dns.answer.authorities.rrname",
    "dns.answer.additionals.rrname",
    "mdns.queries.rrname",
    "mdns.answers.rrname",
    "mdns.authorities.rrname",
    "mdns.additionals.rrname",
    "llmnr.queries.rrname",
    "llmnr.answers.rrname",
    "llmnr.authorities.rrname",
    "llmnr.additionals.rrname",
    "tls.sni",
    "tls.subjectaltname",
    "tls.client.subjectaltname",
    "quic.sni",
    "smtp.helo",
    "dhcp.hostname",
    "dhcp.domain",
    "krb5.host",
    "smb.host",
    "smb.ntlmssp.domain",
    "smb.ntlmssp.host",
    "ssh.host",
    "rdp.client.client_name",
    "rpc.creds.machine_name",
];
pub(super) const ZEEK_NAMES: &[&str] = &[
    "dns.query",
    "ssl.server_name",
    "quic.server_name",
    "x509.san.dns",
    "x509.dns",
    "smtp.helo",
    "dhcp.host_name",
    "dhcp.client_fqdn",
    "dhcp.domain",
    "ntlm.hostname",
    "ntlm.domainname",
    "ntlm.server_dns_computer_name",
    "ntlm.server_nb_computer_name",
    "ntlm.server_tree_name",
    "rdp.client_name",
    "socks.request.name",
    "socks.bound.name",
    "http.domain",
];
pub(super) const ECS_NAMES: &[&str] = &[
    "dns.question.name",
    "dns.answers.name",
    "tls.client.server_name",
    "tls.client.x509.alternative_names",
    "tls.server.x509.alternative_names",
    "tls.client.x509.subject.common_name",
    "tls.server.x509.subject.common_name",
    "file.x509.alternative_names",
    "file.x509.subject.common_name",
    "url.domain",
    "client.domain",
    "server.domain",
    "source.domain",
    "destination.domain",
    "client.address",
    "server.address",
    "source.address",
    "destination.address",
    "related.hosts",
];

/// Addresses that no rule for field names finds.
pub(super) const EVE_ADDRESSES: &[&str] =
    &["dest_ip", "src_ip", "dhcp.dns_servers", "dhcp.routers"];

/// Fingerprints of certificates.
pub(super) const EVE_CERTIFICATES: &[&str] = &["tls.fingerprint", "tls.client.fingerprint"];
pub(super) const ZEEK_CERTIFICATES: &[&str] = &[
    "x509.fingerprint",
    "ssl.cert_chain_fps",
    "ssl.client_cert_chain_fps",
];
