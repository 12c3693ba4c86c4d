//! What to do about an incident: the commands that stop it, most effective first.

use super::{Incident, Response};
use crate::action::Step;

/// Answers to spend that nobody ordered, for the account with this resource id.
#[must_use]
pub fn stop_spending(resource: &str, deployment: &str) -> Vec<Response> {
    let Some(account) = account(resource) else { return Vec::new() };
    let mut steps: Vec<Response> = stop_keys(resource).into_iter().take(2).collect();
    steps.push(step(
        "Stops this deployment alone, whoever calls it. Recreate it to undo.",
        format!(
            "az cognitiveservices account deployment delete {account} --deployment-name {}",
            quoted(deployment)
        ),
    ));
    steps
}

/// Makes keys worthless: none is accepted, or those that are out are not.
#[must_use]
pub fn stop_keys(resource: &str) -> Vec<Response> {
    let Some(account) = account(resource) else { return Vec::new() };
    vec![
        step(
            "Makes stolen keys worthless at once: no key is accepted any more, Entra ID still is. \
             Breaks your own clients that use keys.",
            format!(
                "az resource update --ids {} --set properties.disableLocalAuth=true",
                quoted(resource)
            ),
        ),
        step(
            "Replaces the first key (and then Key2). Clients must fetch the new one.",
            regenerate(&account, "Key1"),
        ),
        step(
            "Replaces the second key: the logs do not say which one was used.",
            regenerate(&account, "Key2"),
        ),
    ]
}

/// Keeps networks out. Azure knows no list of the refused: what is not allowed is.
#[must_use]
pub fn close_network(resource: &str) -> Vec<Response> {
    let Some(account) = account(resource) else { return Vec::new() };
    vec![
        step(
            "Lists the networks that are allowed: yours must be among them before the next step.",
            format!("az cognitiveservices account network-rule list {account}"),
        ),
        step(
            "Refuses every network that is not listed.",
            format!(
                "az resource update --ids {} --set properties.networkAcls.defaultAction=Deny",
                quoted(resource)
            ),
        ),
    ]
}

/// The commands that take a step on an account and that undo it.
#[must_use]
pub fn commands(step: Step, resource: &str) -> [String; 2] {
    let (name, values) = match step {
        Step::DisableKeys => ("disableLocalAuth", ["true", "false"]),
        Step::CloseNetwork => ("networkAcls.defaultAction", ["Deny", "Allow"]),
        Step::ClosePublicAccess => ("publicNetworkAccess", ["Disabled", "Enabled"]),
        Step::RestrictOutbound => ("restrictOutboundNetworkAccess", ["true", "false"]),
    };
    let resource = quoted(resource);
    values
        .map(|value| format!("az resource update --ids {resource} --set properties.{name}={value}"))
}

/// The steps that an incident's own commands take, each with the resource it is about.
#[must_use]
pub fn steps(incident: &Incident) -> Vec<Step> {
    let Some(resource) = incident.resource_id.as_deref() else { return Vec::new() };
    let carries = |step: &Step| {
        let [take, _] = commands(*step, resource);
        incident.response.iter().any(|response| response.command == take)
    };
    Step::ALL.into_iter().filter(carries).collect()
}

/// Shows what an account may use and what takes it.
#[must_use]
pub fn look_at_quota(resource: &str, deployment: Option<&str>) -> Vec<Response> {
    let Some(account) = account(resource) else { return Vec::new() };
    let show = deployment.map(|deployment| {
        step(
            "Shows how many tokens a minute the deployment may take (sku.capacity).",
            format!(
                "az cognitiveservices account deployment show {account} --deployment-name {}",
                quoted(deployment)
            ),
        )
    });
    let usage = step(
        "Shows how much of the account's quota is used.",
        format!("az cognitiveservices account list-usage {account}"),
    );
    show.into_iter().chain([usage]).collect()
}

/// Shows what an identity may do, for whoever takes it away.
#[must_use]
pub fn look_at_identity(resource: &str, object: &str) -> Vec<Response> {
    if account(resource).is_none() {
        return Vec::new();
    }
    let scope = quoted(resource);
    let subscription = quoted(&format!("/subscriptions/{}", part(resource, "subscriptions")));
    vec![
        step(
            "Lists what the identity may do in the subscription.",
            format!(
                "az role assignment list --all --assignee {} --scope {subscription}",
                quoted(object)
            ),
        ),
        step(
            "Takes away what it may do with this account alone. Grant the role again to undo.",
            format!("az role assignment delete --assignee {} --scope {scope}", quoted(object)),
        ),
    ]
}

fn step(what: &str, command: String) -> Response {
    Response { what: what.to_owned(), command }
}

/// Answers to a deployment that has gone silent.
#[must_use]
pub fn look_for_silence(resource: &str) -> Vec<Response> {
    vec![Response {
        what: "Shows whether the diagnostic settings still send RequestResponse and \
               AzureOpenAIRequestUsage to the hub."
            .to_owned(),
        command: list_settings(resource),
    }]
}

/// Answers to records that two diagnostic settings send.
#[must_use]
pub fn look_for_doubles(resource: &str) -> Vec<Response> {
    vec![Response {
        what: "Lists the diagnostic settings of the account. Take the category out of all but one \
               of those that send to the hub."
            .to_owned(),
        command: list_settings(resource),
    }]
}

/// The command that lists the diagnostic settings of a resource.
#[must_use]
pub fn list_settings(resource: &str) -> String {
    format!("az monitor diagnostic-settings list --resource {}", quoted(resource))
}

/// The part of a resource id after `name`; empty when there is none.
#[must_use]
pub fn part<'a>(resource: &'a str, name: &str) -> &'a str {
    let mut segments = resource.split('/');
    let found = segments.find(|segment| segment.eq_ignore_ascii_case(name));
    found.and_then(|_| segments.next()).unwrap_or_default()
}

/// Options that name an AI account; `None` when the id does not.
#[must_use]
pub fn account(resource: &str) -> Option<String> {
    let parts = ["subscriptions", "resourcegroups", "accounts"].map(|name| part(resource, name));
    let [subscription, group, account] = parts;
    (!parts.contains(&"")).then(|| {
        format!(
            "--subscription {} --resource-group {} --name {}",
            quoted(subscription),
            quoted(group),
            quoted(account)
        )
    })
}

/// Makes a key of an AI account, named by its options, anew.
#[must_use]
pub fn regenerate(account: &str, key: &str) -> String {
    format!("az cognitiveservices account keys regenerate {account} --key-name {key}")
}

/// A word a shell takes literally: names come from records, so from whoever can write one.
#[must_use]
pub fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./".contains(c);
    if !word.is_empty() && word.chars().all(plain) && !word.starts_with('-') {
        return word.to_owned();
    }
    let visible: String = word.chars().filter(|c| !c.is_control()).collect();
    format!("'{}'", visible.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_incident_offers_the_steps_that_its_commands_take() {
        let resource = "/subscriptions/s-1/resourcegroups/rg/providers/x/accounts/aif";
        let of = |response| {
            let resource_id = Some(resource.to_owned());
            steps(&Incident { resource_id, response, ..Incident::default() })
        };
        assert_eq!(of(stop_keys(resource)), [Step::DisableKeys]);
        assert_eq!(of(close_network(resource)), [Step::CloseNetwork]);
        assert_eq!(of(look_at_quota(resource, None)), []);
        assert_eq!(of(stop_keys("/subscriptions/s-1/resourcegroups/rg/x/y/accounts/other")), []);
        let closed = Response {
            what: String::new(),
            command: format!(
                "az resource update --ids {resource} --set properties.publicNetworkAccess=Disabled"
            ),
        };
        assert_eq!(of(vec![closed]), [Step::ClosePublicAccess]);
        for step in Step::ALL {
            let [take, undo] = commands(step, resource);
            assert!(take != undo && undo.starts_with("az resource update"), "{take} {undo}");
        }
    }

    #[test]
    fn commands_name_the_resource_and_nothing_else_runs() {
        let resource = "/subscriptions/s-1/resourcegroups/rg/providers/x/accounts/aif";
        let steps = stop_spending(resource, "chat'; rm -rf ~; echo '");
        assert_eq!(
            steps[1].command,
            "az cognitiveservices account keys regenerate --subscription s-1 --resource-group rg \
             --name aif --key-name Key1"
        );
        assert!(steps[2].command.ends_with(r"'chat'\''; rm -rf ~; echo '\'''"), "{:?}", steps[2]);
        assert!(stop_spending("/somewhere/else", "d").is_empty());
        let object = "$(id)";
        let others = [
            stop_keys(resource),
            close_network(resource),
            look_at_quota(resource, Some("chat; id")),
            look_at_identity(resource, object),
        ];
        for step in others.into_iter().flatten() {
            let Response { what, command } = step;
            assert!(command.starts_with("az ") && !what.is_empty(), "{command}");
            assert!(command.contains("aif") || command.contains("/subscriptions/s-1"), "{command}");
            assert!(!command.contains(" $(id)") && !command.contains(" chat; id"), "{command}");
        }
    }
}
