"""Makes models/windows.csv of a list of LiteLLM: python3 models/windows.py LIST.json > models/windows.csv

LIST.json is `litellm/model_prices_and_context_window_backup.json` of its release. Of the Azure rows that generate text, the
longest prompt each model takes; computes nothing.
"""

import json
import sys

HEADER = """\
# The longest prompt that a model takes, in tokens; made by models/windows.py, read by src/detect/window.rs.
# Provenance: LiteLLM's model list (MIT, Copyright 2023 Berri AI), release 1.109.1, the Azure rows, read in November 2026.
model,tokens"""
PROVIDERS = ("azure", "azure_ai", "azure_text")
# The others have no prompt of text that could be filled up, or say tokens of something else.
MODES = ("chat", "completion", "responses")
# A router's window is that of the model it picks.
LEFT_OUT = ("model-router", "model_router")
# The list knows these by one name, with the window of their first version (4,097); Microsoft documents 16,385 of versions
# 1106 and 0125, which are what is still served.
MENDED = {"gpt-35-turbo": 16385, "gpt-3.5-turbo": 16385}


def windows(rows):
    longest = {}
    for name, row in rows.items():
        tokens = row.get("max_input_tokens")
        model = name.rsplit("/", 1)[-1].lower()
        if row.get("litellm_provider") in PROVIDERS and row.get("mode") in MODES and tokens and model not in LEFT_OUT:
            longest[model] = max(longest.get(model, 0), tokens)
    # A version that says the same as its model adds nothing.
    return {model: tokens for model, tokens in (longest | MENDED).items() if longest.get(base(model, longest)) != tokens}


def base(model, longest):
    """The model of which this name is a version, if the list has it."""
    return next((other for other in longest if model.startswith(other + "-") and model[len(other) + 1:][:4].isdigit()), None)


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        rows = json.load(file)
    print(HEADER)
    for model, tokens in sorted(windows(rows).items()):
        print(f"{model},{tokens}")


if __name__ == "__main__":
    main()
