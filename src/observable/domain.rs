//! Names and the names under them.

/// A name has no more bytes than this (RFC 1035, section 2.3.4).
const LONGEST_NAME: usize = 255;

/// Whether `name` is a name under this domain, and not the domain itself.
pub fn is_subdomain(name: &str, domain: &str) -> bool {
    name.len() <= LONGEST_NAME
        && name
            .strip_suffix(domain)
            .is_some_and(|front| front.len() > 1 && front.ends_with('.'))
}

/// The domains that a name can be under, the longest first.
pub fn domains_above(name: &str) -> impl Iterator<Item = &str> {
    let name = if name.len() > LONGEST_NAME { "" } else { name };
    let dots = name.match_indices('.').filter(|(at, _)| *at > 0);
    dots.map(|(at, _)| &name[at + 1..])
        .filter(|above| !above.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subdomain_has_something_in_front() {
        for (name, expected) in [
            ("www.evil.example", true),
            ("evil.example", false),
            (".evil.example", false),
            ("notevil.example", false),
            ("evil.example.org", false),
        ] {
            assert_eq!(is_subdomain(name, "evil.example"), expected, "{name}");
            let above = domains_above(name).any(|one| one == "evil.example");
            assert_eq!(above, expected, "{name}");
        }
        let long = format!("{}.evil.example", "a".repeat(255));
        assert!(!is_subdomain(&long, "evil.example") && domains_above(&long).next().is_none());
    }
}
