//! Azure's service tags: one JSON file a week with the networks of every service and region.

use serde::Deserialize;

use super::{Broken, Draft, Format};

pub(super) const FORMAT: Format = Format {
    name: "azure-service-tags",
    expected: "the file of Azure IP ranges and service tags",
    read,
};

#[derive(Deserialize)]
struct Tags {
    values: Vec<Tag>,
}

#[derive(Deserialize)]
struct Tag {
    #[serde(default)]
    name: String,
    properties: Properties,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Properties {
    address_prefixes: Vec<String>,
}

fn read(text: &str, draft: &mut Draft) -> Result<(), Broken> {
    let tags: Tags = serde_json::from_str(text).map_err(|error| {
        Broken::new(error.to_string(), format!("check that it is {}", FORMAT.expected))
    })?;
    for tag in &tags.values {
        for prefix in &tag.properties.address_prefixes {
            draft.network(format_args!("tag {:?}", tag.name), prefix);
        }
    }
    Ok(())
}
