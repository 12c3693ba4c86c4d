//! What a link is attached to: the node address of source or target, parsed.

/// A node the emulator serves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Node {
    /// Claims-based security: takes tokens.
    Cbs,
    /// Management: tells properties of hubs and partitions.
    Management,
    /// A hub as a whole; only senders attach here.
    Hub { hub: String },
    /// A partition; readers name a consumer group.
    Partition { hub: String, group: Option<String>, partition: u32 },
}

impl Node {
    /// Reads a bare path (`hub/Partitions/0`) or a whole URL (`amqps://host/hub/…`).
    ///
    /// Segment names are compared without case, `%24` means `$`. `None` for any other shape.
    pub(super) fn parse(address: &str) -> Option<Self> {
        let path = match address.split_once("://") {
            Some((_scheme, rest)) => rest.split_once('/')?.1,
            None => address,
        };
        let path = path.replace("%24", "$");
        let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
        match segments.as_slice() {
            [only] if is(only, "$cbs") => Some(Self::Cbs),
            [only] if is(only, "$management") => Some(Self::Management),
            [_hub, last] if is(last, "$management") => Some(Self::Management),
            [hub] => Some(Self::Hub { hub: (*hub).to_owned() }),
            [hub, partitions, partition] if is(partitions, "partitions") => Some(Self::Partition {
                hub: (*hub).to_owned(),
                group: None,
                partition: partition.parse().ok()?,
            }),
            [hub, groups, group, partitions, partition]
                if is(groups, "consumergroups") && is(partitions, "partitions") =>
            {
                Some(Self::Partition {
                    hub: (*hub).to_owned(),
                    group: Some(group.to_lowercase()),
                    partition: partition.parse().ok()?,
                })
            }
            _ => None,
        }
    }
}

fn is(segment: &str, name: &str) -> bool {
    segment.eq_ignore_ascii_case(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(address: &str, node: Option<&Node>) {
        assert_eq!(Node::parse(address).as_ref(), node, "{address}");
    }

    #[test]
    fn bare_paths_and_urls_name_the_same_node() {
        let reader = Node::Partition {
            hub: "logs".to_owned(),
            group: Some("$default".to_owned()),
            partition: 3,
        };
        check("logs/ConsumerGroups/$Default/Partitions/3", Some(&reader));
        check("amqps://host:5671/logs/consumergroups/%24Default/partitions/3", Some(&reader));
        check("amqps://host/logs", Some(&Node::Hub { hub: "logs".to_owned() }));
        let writer = Node::Partition { hub: "logs".to_owned(), group: None, partition: 0 };
        check("sb://host/logs/Partitions/0", Some(&writer));
        check("$cbs", Some(&Node::Cbs));
        check("$management", Some(&Node::Management));
        check("logs/$management", Some(&Node::Management));
    }

    #[test]
    fn other_paths_name_nothing() {
        for address in ["", "/", "amqps://host", "logs/Partitions/x", "logs/Partitions", "a/b/c/d"]
        {
            check(address, None);
        }
    }
}
