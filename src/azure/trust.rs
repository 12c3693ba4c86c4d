//! What is wrong with a certificate, and how to mend it.

/// What to do about a certificate that was not accepted; `None` when it is something else.
/// `whose` is whose it is, such as "the hub's".
#[must_use]
pub fn distrust(whose: &str, text: &str) -> Option<String> {
    /// Replaces what the system trusts, so what else is to be trusted must be named too.
    const TRUST: &str = "set SSL_CERT_FILE to a PEM file of the authorities to trust (it takes the \
                         place of the system's; SSL_CERT_DIR=/etc/ssl/certs beside it keeps them)";
    if text.contains("CA certificates") {
        return Some(format!(
            "no certificate can be checked, because none is trusted here: {TRUST}"
        ));
    }
    let (_, cause) = text.split_once("invalid peer certificate: ")?;
    let (problem, mend) = if cause.starts_with("UnknownIssuer") {
        ("is by an authority that is not trusted here", TRUST)
    } else if cause.starts_with("BadSignature") {
        // Two authorities of one name, such as one that was made anew.
        ("is not by the authority of that name that is trusted here", TRUST)
    } else if cause.starts_with("certificate not valid for name") {
        ("is for another host name", "connect by a name that it holds, or have one made for this")
    } else if cause.starts_with("certificate expired") {
        ("has expired", "have it renewed; is the clock of this machine right?")
    } else if cause.starts_with("certificate not valid yet") {
        ("is not valid yet", "is the clock of this machine right?")
    } else {
        ("is not accepted", "have another made")
    };
    Some(format!("{whose} certificate {problem}: {mend} ({text})"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_with_a_certificate_is_said_with_its_mend() {
        let said = |cause: &str| {
            distrust("the hub's", &format!("AMQP Error: invalid peer certificate: {cause}"))
        };
        for (cause, problem, mend) in [
            ("UnknownIssuer", "not trusted here", "SSL_CERT_FILE"),
            ("certificate not valid for name \"a\"; certificate is", "another host name", "a name"),
            ("certificate expired: verification time 1", "has expired", "renewed"),
            ("certificate not valid yet: verification", "not valid yet", "clock"),
            ("BadSignature", "that name that is trusted here", "SSL_CERT_FILE"),
            ("Revoked", "not accepted", "another"),
        ] {
            let text = said(cause).unwrap();
            assert!(text.contains(problem) && text.contains(mend), "{text}");
        }
        let text =
            distrust("the hub's", "General(\"No CA certificates were loaded from the system\")")
                .unwrap();
        assert!(text.contains("SSL_CERT_FILE"), "{text}");
        for text in ["connection refused", "ExpiredToken", "com.microsoft:timeout"] {
            assert_eq!(distrust("the hub's", text), None);
        }
    }
}
