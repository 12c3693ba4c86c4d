"""A receiver of webhooks for tests/it/format_peers.rs, made of other people's libraries.

Listens on 127.0.0.1, prints its port as one line, verifies every request with standardwebhooks and
reads its body with what its type or shape asks for: cloudevents, or py-ocsf-models and OCSF's own
schema (ocsf-json-schema). Answers 204, 401 (signature) or 422 (body), and keeps what it found as
<n>.json in the folder. Ends when its standard input does.
"""

import argparse
import http.server
import json
import pathlib
import sys
import threading

import jsonschema
from cloudevents.core.bindings.http import HTTPMessage, from_http_event
from ocsf_json_schema import OcsfJsonSchemaEmbedded, get_ocsf_schema
from py_ocsf_models.events.findings.detection_finding import DetectionFinding
from standardwebhooks import Webhook, WebhookVerificationError

OCSF = jsonschema.Draft202012Validator(
    OcsfJsonSchemaEmbedded(get_ocsf_schema("1.5.0")).get_class_schema("detection_finding", ["cloud"])
)


def read(headers, body):
    """What the libraries make of the body; raises what they say of a bad one."""
    value = json.loads(body)
    if value.get("class_uid") == 2004:
        problems = [f"{list(e.absolute_path)}: {e.message}" for e in OCSF.iter_errors(value)]
        if problems:
            raise ValueError("; ".join(problems))
        finding = DetectionFinding.model_validate(value)
        return {
            "as": "ocsf",
            "activity": finding.activity_id.name,
            "type": finding.type_uid.name,
            "status": finding.status_id.name,
            "severity": finding.severity_id.name,
            "uid": finding.finding_info.uid,
        }
    if "specversion" in value:
        event = from_http_event(HTTPMessage(headers=headers, body=body))
        return {
            "as": "cloudevents",
            "id": event.get_id(),
            "type": event.get_type(),
            "source": event.get_source(),
            "key": event.get_data()["idempotency_key"],
        }
    return {"as": "json", "keys": sorted(value)}


class Receiver(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        headers = {name.lower(): value for name, value in self.headers.items()}
        try:
            self.server.webhook.verify(body, headers, json_parse=False)
            status, found = 204, read(headers, body)
        except WebhookVerificationError as error:
            status, found = 401, {"as": "unverified", "problem": str(error)}
        except Exception as error:
            status, found = 422, {"as": "invalid", "problem": f"{type(error).__name__}: {error}"}
        found["content_type"] = headers["content-type"]
        name = self.server.folder / f"{self.server.count}.json"
        name.write_text(json.dumps(found))
        self.server.count += 1
        self.send_response(status)
        self.end_headers()

    def log_message(self, *_):
        pass


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", required=True)
    parser.add_argument("--secret", required=True)
    options = parser.parse_args()
    server = http.server.HTTPServer(("127.0.0.1", 0), Receiver)
    server.webhook = Webhook(options.secret)
    server.folder, server.count = pathlib.Path(options.folder), 0
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(server.server_port, flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
