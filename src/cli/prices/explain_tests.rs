//! Explanations as people read them.

use std::path::Path;

use super::*;
use crate::config;
use crate::price::contract::Contract;

const BOOK: &str = "version = \"2026-11\"\ncurrency = \"USD\"\nscope_order = [\"global\", \"unspecified\"]\nprices = [
  { model = \"m\", version = \"2026-01-01\", scope = \"global\", input = \"2.5\", cached = \"1.25\", output = \"10\", source = \"retail_prices_api\" },
  { model = \"m\", scope = \"data-zone-us\", input = \"2.75\", cached = \"1.375\", output = \"11\", source = \"retail_prices_api\" },
  { model = \"m\", scope = \"data-zone-eu\", input = \"3\", cached = \"1.5\", output = \"12\", source = \"retail_prices_api\" },
  { model = \"m\", scope = \"global\", tier = \"batch\", input = \"1.25\", source = \"ms_docs_or_blog\" },
  { model = \"long\", scope = \"unspecified\", until = 2026-07-01, input = \"0.0333\", output = \"0.2\", source = \"litellm_only\" },
  { model = \"long\", scope = \"unspecified\", from = 2026-07-01, input = \"0.0333\", cached = \"0.0011\", cache_write = \"0.0416\", output = \"0.2\", source = \"azure_pricing_page\" },
  { model = \"long\", scope = \"unspecified\", from = 2026-07-01, above = 200000, input = \"0.0666\", cached = \"0.0022\", output = \"0.3\", source = \"azure_pricing_page\" },
  { model = \"voice\", scope = \"unspecified\", input = \"2.5\", output = \"10\", audio_input = \"40\", audio_output = \"80\", source = \"ms_docs_or_blog\" },
]
";

const TERMS: &str = "[[hub]]\nname = \"a\"\nnamespace = \"n.example\"\nhub = \"h\"
[price]
max_usd_per_call = 50
deployment.\"AIF/Chat\" = { sku = \"GlobalStandard\" }
deployment.\"aif/tuned\" = { scope = \"global\", model = \"m-2026-01-01\" }
deployment.\"aif/ptu\" = { sku = \"GlobalProvisionedManaged\", ptu = 100, usd_per_ptu_hour = \"1.005\", from = 2026-10-01 }
deployment.\"aif/ptu-unpriced\" = { sku = \"ProvisionedManaged\" }
[[price.discount]]
percent = 12.5
account = \"aif\"
meter = \"output\"
from = 2026-10-01
source = \"agreement 7\"
[[price.own]]
model = \"long\"
account = \"aif\"
currency = \"EUR\"
input = \"0.03\"
output = \"0.15\"
source = \"agreement 8\"
[[price.exchange]]
currency = \"EUR\"
usd = \"1.0825\"
source = \"ECB\"
";

fn contract() -> Contract {
    let secrets = |_: &config::SecretRef| Err("none".to_owned());
    match config::parse(TERMS, "tokenwatch.toml", &secrets) {
        Ok(config) => config.price.contract,
        Err(problems) => panic!("{problems}"),
    }
}

fn explain(args: &[&str]) -> String {
    #[derive(Debug, clap::Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }
    let args = ["explain"].iter().chain(args);
    let Line { args } = <Line as clap::Parser>::try_parse_from(args).unwrap();
    let book = PriceBook::parse(BOOK, "book.toml").unwrap().under(contract());
    let call = Call {
        model: args.model.clone(),
        place: args.deployment.clone().unwrap_or_default(),
        tokens: Tokens { input: args.input, cached: args.cached, output: args.output },
        at: args.at.unwrap_or(EventTime(1_795_564_800_000)), // 2026-11-25
    };
    let rates = rates(&args, &book, &call, &[]);
    let bill = rates.bill(call.tokens, call.at);
    let json = to_json(&call, &book, &bill);
    assert_eq!(json["known_cost_nano_usd"], bill.cost().0, "both forms say the same");
    to_text(&call, &book, &rates, &bill)
}

/// Compares what people read with what was last looked at and found good.
///
/// The present texts are always written to `target/explanations`; where they are better than the
/// snapshots, copy them over.
#[test]
fn explanations_read_as_they_were_reviewed() {
    let all = "--input 1200 --cached 800 --output 300";
    let cases = [
        ("assumed", format!("--model m@2026-01-01 {all}")),
        ("data-zone", format!("--model m@2026-01-01 {all} --scope data-zone-eu")),
        ("zones-differ", format!("--model m@2026-01-01 {all} --sku DataZoneStandard")),
        ("batch", format!("--model m@2026-01-01 {all} --scope global --tier batch")),
        ("discount", format!("--model m@2026-01-01 {all} --deployment aif/chat")),
        ("tuned", format!("--model m.ft-7 {all} --deployment aif/tuned")),
        ("rounding", "--model long --input 7 --cached 3 --output 2".to_owned()),
        ("long-prompt", "--model long --input 200001".to_owned()),
        ("before", format!("--model long {all} --at 2026-06-30T23:59:59Z")),
        ("own-in-euro", format!("--model long {all} --deployment aif/other")),
        ("provisioned", format!("--model m {all} --deployment aif/ptu")),
        ("provisioned-unpriced", format!("--model m {all} --deployment aif/ptu-unpriced")),
        ("sound", format!("--model voice {all}")),
        ("unknown", format!("--model nobody {all}")),
        ("cut", "--model m@2026-01-01 --input 10000000 --output 10000000".to_owned()),
    ];
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (present, reviewed) =
        (root.join("target/explanations"), root.join("src/cli/prices/snapshots"));
    std::fs::create_dir_all(&present).unwrap();
    let mut changed = Vec::new();
    for (name, line) in &cases {
        let args: Vec<&str> = line.split(' ').collect();
        let text = explain(&args);
        let file = format!("{name}.txt");
        std::fs::write(present.join(&file), &text).unwrap();
        if std::fs::read_to_string(reviewed.join(&file)).ok() != Some(text) {
            changed.push(file);
        }
    }
    let names = std::fs::read_dir(&reviewed).map(Iterator::count).unwrap_or(0);
    assert!(
        changed.is_empty() && names == cases.len(),
        "look at target/explanations, then copy to src/cli/prices/snapshots: {changed:?}"
    );
}
