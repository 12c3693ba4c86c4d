//! Whether data at rest is under a key of the owner's.

use super::{Look, Verdict};
use crate::posture::command;
use crate::posture::inventory::Kind;

pub(super) fn judge(look: &Look<'_>) -> Verdict {
    match (look.resource.state.customer_key, look.resource.kind) {
        (Some(true), Kind::Search) => {
            Verdict::ok("Objects without a key of yours are not allowed.")
        }
        (Some(true), Kind::Account | Kind::Workspace) => {
            Verdict::ok("Data is encrypted with a key of yours.")
        }
        (Some(false), Kind::Search) => {
            shut(look, Verdict::open("Objects without a key of yours are allowed."))
        }
        (Some(false), Kind::Account | Kind::Workspace) => {
            shut(look, Verdict::open("Data is encrypted with a key of Microsoft's."))
        }
        (None, _) => {
            shut(look, Verdict::unknown("Azure does not say whose key data is encrypted with."))
        }
    }
}

fn shut(look: &Look<'_>, verdict: Verdict) -> Verdict {
    match look.resource.kind {
        Kind::Account => verdict.step(
            "Encrypts with a key of yours (VAULT, KEY and VERSION are yours); its identity must be \
             allowed to use the key first.",
            format!(
                "az cognitiveservices account update {} --encryption \
                 '{{\"keySource\":\"Microsoft.KeyVault\",\"keyVaultProperties\":{{\
                 \"keyVaultUri\":\"https://VAULT.vault.azure.net\",\"keyName\":\"KEY\",\
                 \"keyVersion\":\"VERSION\"}}}}'",
                command::named(look.id)
            ),
        ),
        Kind::Search => verdict.step(
            "Refuses objects without a key of yours; those that are there must be made anew.",
            command::set(look.id, "'properties.encryptionWithCmk={\"enforcement\":\"Enabled\"}'"),
        ),
        Kind::Workspace => verdict.step(
            "A workspace chooses its key when it is made: this shows what another one would need.",
            "az ml workspace create --help".to_owned(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::posture::State;
    use crate::posture::sample::World;

    #[test]
    fn the_key_is_the_owners_or_not_or_nobody_knows() {
        let mut world = World::new();
        for kind in Kind::ALL {
            for (own, state) in
                [(Some(true), State::Ok), (Some(false), State::Open), (None, State::Unknown)]
            {
                world.resource(kind).state.customer_key = own;
                let verdict = world.look(kind, judge);
                assert_eq!(verdict.state, state, "{kind:?}");
                assert_eq!(verdict.steps.is_empty(), state == State::Ok);
            }
        }
    }

    #[test]
    fn the_command_of_an_account_is_whole() {
        let mut world = World::new();
        world.account().state.customer_key = Some(false);
        let command = &world.look(Kind::Account, judge).steps[0].command;
        let json = command.split('\'').nth(1).unwrap();
        let value: serde_json::Value = serde_json::from_str(json).unwrap();
        assert_eq!(value["keyVaultProperties"]["keyName"], "KEY");
    }
}
