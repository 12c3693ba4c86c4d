//! Who acted, from what an activity log record says of the token: names and ids, never the token.

use super::field::Fields;
use super::{Record, text};
use crate::event::control::{Credential, Principal, PrincipalKind};

/// Names of the claims as Azure writes them; the short ones are those of the token itself.
const OBJECT: [&str; 2] = ["http://schemas.microsoft.com/identity/claims/objectidentifier", "oid"];
const TENANT: [&str; 2] = ["http://schemas.microsoft.com/identity/claims/tenantid", "tid"];
const USER: [&str; 4] = [
    "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/upn",
    "upn",
    "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/name",
    "unique_name",
];
const METHODS: [&str; 2] = ["http://schemas.microsoft.com/claims/authnmethodsreferences", "amr"];

/// Reads who acted; acts of the platform have neither claims nor address.
pub(super) fn read(record: &Record<'_>) -> Principal {
    let held = record.fields.nested("identity");
    let identity = held.as_deref().and_then(Fields::read).unwrap_or_default();
    let held = identity.nested("claims");
    let claims = held.as_deref().and_then(Fields::read).unwrap_or_default();
    let held = identity.nested("authorization");
    let authorization = held.as_deref().and_then(Fields::read).unwrap_or_default();
    let held = authorization.nested("evidence");
    let evidence = held.as_deref().and_then(Fields::read).unwrap_or_default();
    let id = |names: &[&str]| text::id(&claims.first_text(names).unwrap_or_default());
    let user = USER.iter().filter_map(|name| claims.first_text(&[name]));
    let user = user.map(|user| text::clean(&user, text::MAX_NAME_CHARS));
    let mut principal = Principal {
        kind: PrincipalKind::Unknown,
        object: id(&OBJECT),
        application: id(&["appid", "azp"]),
        // A guest's name has a `#`; what has neither sign is a name for people.
        user: user.into_iter().find(|user| user.contains(['@', '#'])).unwrap_or_default(),
        tenant: id(&TENANT),
        network: record.network(&["callerIpAddress"]),
        credential: match claims.first_text(&["appidacr", "azpacr"]).as_deref().map(str::trim) {
            Some("0") => Credential::Public,
            Some("1") => Credential::Secret,
            Some("2") => Credential::Certificate,
            Some(_) | None => Credential::Unknown,
        },
        methods: methods(&claims),
        role: text::clean(&evidence.text("role").unwrap_or_default(), text::MAX_NAME_CHARS),
    };
    if principal.object.is_empty() {
        principal.object = text::id(&evidence.text("principalId").unwrap_or_default());
    }
    if principal.tenant.is_empty() {
        principal.tenant = text::id(&record.fields.text("tenantId").unwrap_or_default());
    }
    if principal.network.is_empty() {
        let address = claims.text("ipaddr").unwrap_or_default();
        principal.network = super::caller::network(&address).unwrap_or_default();
    }
    principal.kind = kind(&principal, &claims, &evidence);
    principal
}

fn methods(claims: &Fields<'_>) -> String {
    let raw = METHODS.iter().find_map(|name| claims.raw(name));
    let kept = |c: &char| c.is_ascii_alphanumeric() || *c == ',' || *c == '_' || *c == '-';
    raw.map_or_else(String::new, |raw| {
        raw.get().chars().filter(kept).take(text::MAX_ID_CHARS).collect()
    })
}

fn kind(principal: &Principal, claims: &Fields<'_>, evidence: &Fields<'_>) -> PrincipalKind {
    let word = |fields: &Fields<'_>, name| {
        fields.text(name).unwrap_or_default().trim().to_ascii_lowercase()
    };
    let holder = word(evidence, "principalType");
    let token = word(claims, "idtyp");
    if !principal.user.is_empty() || holder == "user" || token == "user" {
        PrincipalKind::User
    } else if holder == "serviceprincipal"
        || token == "app"
        || matches!(principal.credential, Credential::Secret | Credential::Certificate)
    {
        PrincipalKind::Application
    } else {
        PrincipalKind::Unknown
    }
}
