"""Makes models/prices.toml of models/prices-litellm.csv: python3 models/prices.py > models/prices.toml

Renames, splits versions off names, and leaves out what is known to be wrong; computes nothing.
"""

import csv
import pathlib
import re
import sys

HEADER = """\
# What Azure charges, in USD per 1 million tokens, as text so that no digit is lost. Made by models/prices.py; change
# models/prices-litellm.csv, or write a book of your own (models/README.md says how).
#
# Provenance: LiteLLM's model price list (MIT, Copyright 2023 Berri AI), release 1.109.1, the Azure rows, read in November
# 2026. `source` says where that list had the row from: `retail_prices_api` and `azure_pricing_page` are Azure's own,
# `ms_docs_or_blog` is Microsoft's, `litellm_only` is nobody's but LiteLLM's. List prices without discount, without dates:
# the list states none. A price that is absent is unknown, and unknown is never zero.
#
# `scope_order`: where nobody says how a deployment was bought, the first scope that has the model is assumed.

version = "2026-11"
currency = "USD"
scope_order = ["global", "unspecified", "partner", "data-zone-us", "data-zone-eu", "data-zone-apac", "us-gov"]

prices = ["""

# deployment_type of the list without its tier: our word.
SCOPES = {
    "global": "global",
    "unspecified": "unspecified",
    "foundry_partner": "partner",
    "datazone_us": "data-zone-us",
    "datazone_eu": "data-zone-eu",
    "datazone_apac": "data-zone-apac",
    "us_gov": "us-gov",
}
TIERS = ["batch", "flex", "priority"]
# Note of the list: our meter.
NOTES = {
    "cache_write_per_1m": "cache_write",
    "cache_write_1h_per_1m": "cache_write_1h",
    "audio_in_per_1m": "audio_input",
    "audio_out_per_1m": "audio_output",
    "image_in_per_1m": "image_input",
    "image_out_per_1m": "image_output",
}
METERS = [
    "input", "cached", "cache_write", "cache_write_1h", "output",
    "audio_input", "audio_output", "image_input", "image_output", "router",
]
# The end of a name that is a version: a date, or the four digits of early models.
VERSION = re.compile(r"^(.+?)-(\d{4}-\d\d-\d\d|(?<=gpt-4-)\d{4}(?:-preview)?|(?<=gpt-4-32k-)\d{4}|"
                     r"(?<=turbo-16k-)\d{4}|(?<=turbo-instruct-)\d{4})$")


def left_out(row, meter, price):
    """True for a number that cannot be right; unknown is better than wrong."""
    if float(price) == 0:
        return True  # embeddings generate nothing: no price, not a price of 0
    if row["model"] == "jais-30b-chat":
        return True  # 3,200 and 9,710 USD per million read like a slip of three digits
    # gpt-4o in data zones: the list repeats the price of cached input, but a write is never half the input.
    return meter == "cache_write" and row["model"].startswith("gpt-4o") and float(price) < 2


def convert(row):
    notes = dict(note.split("=", 1) for note in row["notes"].split(";"))
    kind = row["deployment_type"]
    tier = next((tier for tier in TIERS if kind.endswith("_" + tier)), None)
    scope = SCOPES[kind.removesuffix("_" + tier) if tier else kind]
    prices = {
        "input": row["input_per_1m_usd"],
        "cached": row["cached_input_per_1m_usd"],
        "output": row["output_per_1m_usd"],
        **{meter: notes.get(note, "") for note, meter in NOTES.items()},
    }
    if row["model"] in ("model_router", "model-router"):
        # Charged beside the model that serves, so it is no price of the prompt.
        prices = {"router": row["input_per_1m_usd"]}
    prices = {m: p for m, p in prices.items() if p and not left_out(row, m, p)}
    if not prices:
        return None
    named = VERSION.match(row["model"])
    fields = [("model", named[1] if named else row["model"])]
    fields += [("version", named[2])] if named else []
    fields += [("scope", scope)] + ([("tier", tier)] if tier else [])
    text = ", ".join(f'{key} = "{value}"' for key, value in fields)
    if "context" in notes:
        text += f", above = {re.fullmatch('above_([0-9]+)k_tokens', notes['context'])[1]}000"
    text += "".join(f', {meter} = "{prices[meter]}"' for meter in METERS if meter in prices)
    return f'  {{ {text}, source = "{notes["src"]}" }},'


def main():
    here = pathlib.Path(__file__).parent
    with open(here / "prices-litellm.csv", newline="", encoding="utf-8") as file:
        rows = [row for row in map(convert, csv.DictReader(file)) if row]
    sys.stdout.write("\n".join([HEADER, *rows, "]"]) + "\n")


main()
