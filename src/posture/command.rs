//! The commands that shut doors. Words in capitals are the reader's to fill in.

use crate::incident::respond::{part, quoted};

/// Sets properties of a resource; `settings` are words of ours.
pub(super) fn set(id: &str, settings: &str) -> String {
    format!("az resource update --ids {} --set {settings}", quoted(id))
}

/// Group, name and subscription as the commands of one service want them.
pub(super) fn named(id: &str) -> String {
    format!(
        "--resource-group {} --name {} --subscription {}",
        quoted(part(id, "resourcegroups")),
        quoted(id.rsplit('/').next().unwrap_or_default()),
        quoted(part(id, "subscriptions"))
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_name_the_resource_and_nothing_else_runs() {
        let id = "/subscriptions/s-1/resourcegroups/rg/providers/x/accounts/a;rm -rf ~";
        assert_eq!(named(id), "--resource-group rg --name 'a;rm -rf ~' --subscription s-1");
        assert_eq!(set(id, "a=b"), format!("az resource update --ids '{id}' --set a=b"));
        assert_eq!(part("/somewhere", "subscriptions"), "");
    }
}
