//! What to do about an incident: the commands that stop it, most effective first.

use super::Response;

/// Answers to spend that nobody ordered, for the account with this resource id.
#[must_use]
pub fn stop_spending(resource: &str, deployment: &str) -> Vec<Response> {
    let Some(account) = account(resource) else { return Vec::new() };
    let step = |what: &str, command: String| Response { what: what.to_owned(), command };
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
            "Stops this deployment alone, whoever calls it. Recreate it to undo.",
            format!(
                "az cognitiveservices account deployment delete {account} --deployment-name {}",
                quoted(deployment)
            ),
        ),
    ]
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
    }
}
