//! Protocol names.

use std::borrow::Cow;

/// Returns the protocol in lower case. `tls`, as some sensors write it, becomes `ssl`.
pub fn canonical(name: &str) -> Cow<'_, str> {
    let lower = if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
        Cow::Owned(name.to_ascii_lowercase())
    } else {
        Cow::Borrowed(name)
    };
    match &*lower {
        "tls" => Cow::Borrowed("ssl"),
        _ => lower,
    }
}

/// The elements of a comma-separated list of protocols, such as Zeek's `service`.
pub fn elements(text: &str) -> impl Iterator<Item = Cow<'_, str>> {
    text.split(',').map(|one| canonical(one.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_protocol_has_one_name() {
        let all: Vec<_> = elements("TLS,http, SSL,gssapi").collect();
        assert_eq!(all, ["ssl", "http", "ssl", "gssapi"]);
    }
}
