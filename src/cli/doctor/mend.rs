//! The commands that mend what is missing.

use crate::incident::respond::quoted;
use crate::source::event_hubs::HubSettings;

/// Where diagnostic settings send to, as far as the configuration says.
#[derive(Debug, Clone, Default)]
pub(super) struct Target {
    hub: Option<String>,
    namespace: Option<String>,
}

impl Target {
    /// The hub that feeds an account, or the only one there is.
    pub(super) fn of<'a>(hubs: &'a [HubSettings], feeding: impl Iterator<Item = &'a str>) -> Self {
        let mut feeding = feeding;
        let named = feeding.next().and_then(|name| hubs.iter().find(|hub| hub.name == name));
        let only = || hubs.first().filter(|_| hubs.len() == 1);
        let Some(settings) = named.or_else(only) else { return Self::default() };
        let host = settings.namespace.split('.').next().unwrap_or_default();
        Self {
            hub: Some(settings.hub.clone()).filter(|hub| !hub.is_empty()),
            namespace: Some(host.to_owned()).filter(|host| !host.is_empty()),
        }
    }

    fn hub(&self) -> String {
        quoted(self.hub.as_deref().unwrap_or("HUB"))
    }

    /// The namespace's rule by which Azure Monitor writes to the hub.
    fn rule(&self) -> String {
        quoted(&format!(
            "/subscriptions/HUB_SUBSCRIPTION/resourceGroups/HUB_GROUP/providers/Microsoft.EventHub\
             /namespaces/{}/authorizationRules/RootManageSharedAccessKey",
            self.namespace.as_deref().unwrap_or("HUB_NAMESPACE")
        ))
    }
}

/// The category of platform metrics; every other is one of logs.
pub(super) const METRICS: &str = "AllMetrics";

/// A setting of its own for exactly the missing categories: one with all of them would send those
/// that come already a second time.
pub(super) fn switch_on(resource: &str, categories: &[&str], target: &Target) -> String {
    let list = |is_metric: bool| {
        let chosen = categories.iter().filter(|name| (**name == METRICS) == is_metric);
        let each = chosen.map(|name| format!("{{\"category\":\"{name}\",\"enabled\":true}}"));
        each.collect::<Vec<_>>().join(",")
    };
    let mut command = format!(
        "az monitor diagnostic-settings create --name tokenwatch-missing --resource {} \
         --event-hub {} --event-hub-rule {}",
        quoted(resource),
        target.hub(),
        target.rule()
    );
    for (option, list) in [("--logs", list(false)), ("--metrics", list(true))] {
        if !list.is_empty() {
            command.push_str(&format!(" {option} '[{list}]'"));
        }
    }
    command
}

/// The subscription's setting for the activity log.
pub(super) fn switch_on_activity(subscription: &str, target: &Target) -> String {
    format!(
        "az monitor diagnostic-settings subscription create --name tokenwatch --location global \
         --subscription {} --event-hub-name {} --event-hub-auth-rule {} \
         --logs '[{{\"category\":\"Administrative\",\"enabled\":true}}]'",
        quoted(subscription),
        target.hub(),
        target.rule()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_missing_is_switched_on_and_only_unknown_words_are_left_open() {
        let target = Target { hub: Some("logs".to_owned()), namespace: Some("ns".to_owned()) };
        let resource = "/subscriptions/s/resourcegroups/g/providers/p/accounts/a b";
        let command = switch_on(resource, &["Audit", METRICS], &target);
        assert_eq!(
            command,
            "az monitor diagnostic-settings create --name tokenwatch-missing --resource \
             '/subscriptions/s/resourcegroups/g/providers/p/accounts/a b' --event-hub logs \
             --event-hub-rule /subscriptions/HUB_SUBSCRIPTION/resourceGroups/HUB_GROUP/providers/\
             Microsoft.EventHub/namespaces/ns/authorizationRules/RootManageSharedAccessKey \
             --logs '[{\"category\":\"Audit\",\"enabled\":true}]' \
             --metrics '[{\"category\":\"AllMetrics\",\"enabled\":true}]'"
        );
        assert!(!switch_on(resource, &["Audit"], &target).contains("--metrics"));
    }
}
