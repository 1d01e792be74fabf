"""A secret put anywhere in a request reaches no log line, metric, queue, item or object, whatever becomes of it.

Where a field is declared to hold a name or an id of the caller's choice, that is kept and may be seen where records are
kept; KEPT lists every such field with the places, and a field that is not in the list may show up nowhere.
"""

from __future__ import annotations

import json
import re
from contextlib import redirect_stdout

import pytest

from policy_engine.signing import KEY_HEADER, SIGNATURE_HEADER, TIMESTAMP_HEADER
from policy_engine.wire import ALIAS, PUBLISH, RECEIPTS, RECORD, ROUTE, TELEMETRY
from policy_lang.catalog import default_catalog
from policy_lang.compiler import compile_policy
from policy_lang.fingerprint import ir_document

# A lower-case word: it fits every field that holds a name.
CANARY = "canary7f3a{number:04d}"
FOUND = re.compile(r"canary7f3a\d{4}")

#: Field -> where its value may be found, always under its tenant's name. `queued`: messages. `filed`: receipts and
#: outcome records. `state`: what a tenant has published. `ledger`: kept replies, money by route. `logs`: log lines,
#: never metrics. Never the statistics.
KEPT = {
    "route.org": {"queued", "filed"},
    "route.team": {"queued", "filed"},
    "route.product": {"queued", "filed"},
    "route.session": {"queued", "filed"},
    "route.idempotency_key": {"queued", "filed", "ledger"},
    "route.envelope.task_type": {"queued", "filed"},
    "route.ir (route name)": {"queued", "filed", "ledger", "state", "logs"},
    "telemetry.idempotency_key": {"ledger"},
    "record.token": {"queued"},
    "record.arm": {"queued", "filed"},
    "record.quality_slugs": {"queued", "filed"},
    "publish.source (route name)": {"queued", "filed", "ledger", "state", "logs"},
    "publish.source (rule)": {"queued", "filed", "state"},
    "publish.source (comment)": {"state"},
    "publish path": {"logs"},
}
HEADERS = (
    *("user-agent", "cookie", "referer", "x-forwarded-for", "x-tenant-id", "x-pointsman-tenant", "x-amzn-trace-id"),
    *("content-type", "accept", "traceparent", "baggage", KEY_HEADER, TIMESTAMP_HEADER, SIGNATURE_HEADER),
)


class Planter:
    """Hands out canaries and remembers in which field each was planted."""

    def __init__(self):
        self.fields = {}

    def __call__(self, field):
        word = CANARY.format(number=len(self.fields))
        self.fields[word] = field
        return word

    def seen(self, texts):
        """(field, place) of every canary in `texts`, which are (place, text)."""
        return {(self.fields[word], place) for place, text in texts for word in FOUND.findall(text)}


@pytest.fixture(scope="module")
def planted(service, support, envelope):
    """Plants canaries everywhere; what the service then held at each stage and all that it said."""
    plant = Planter()
    texts = []
    good = {"policy": "acme/support", "envelope": envelope}
    reply = service.route(session="s1").document
    record = {"token": reply["token"], "arm": reply["plan"][0]["arm"], "hop": 0, "outcome": "ok"}

    for answer in [
        *_in_routes(service, plant, good),
        *_in_records(service, plant, record),
        *_in_policies(service, plant, support, envelope),
        *_in_other_doors(service, plant),
        *_in_headers_and_paths(service, plant, good, record, support),
        *_in_broken_bodies(service, plant),
    ]:
        assert answer.status < 500, answer.text
    texts += _sorted(service.held())
    service.stack.pump()
    texts += _sorted(service.held())
    service.stack.run_schedules()
    sqs, dead = service.client("sqs"), plant("message.body")
    for queue in ("TelemetryQueue", "RecordsQueue"):
        sqs.send_message(QueueUrl=service.name(queue), MessageBody=json.dumps({"prompt": dead}))
    service.stack.pump()
    texts += [(place, text) for place, text in _sorted(service.held()) if place != "dead"]
    texts += [found for line in service.spoken.getvalue().splitlines() for found in _said(line)]
    return plant, texts


def _said(line):
    """What CloudWatch makes metrics of, and what it only keeps to be searched."""
    record = json.loads(line) if line.startswith("{") else {}
    if "_aws" not in record:
        return [("logs", line)]
    (metrics,) = record["_aws"]["CloudWatchMetrics"]
    measured = {metric["Name"] for metric in metrics["Metrics"]}.union(*metrics["Dimensions"])
    parts = {"metrics": {"_aws": record.pop("_aws"), **{name: record.pop(name) for name in measured}}, "logs": record}
    return [(place, json.dumps(part)) for place, part in parts.items()]


def _in_routes(service, plant, good):
    for name in ROUTE.fields:
        for value in _disguises(plant, f"route.{name}"):
            yield service.ask("/v1/route", {**good, name: value})
    for name in good["envelope"]:
        yield service.ask(
            "/v1/route", {**good, "envelope": {**good["envelope"], name: plant(f"route.envelope.{name}")}}
        )
    for body in (
        {**good, plant("route (unknown field)"): 1},
        {**good, "envelope": {**good["envelope"], plant("route.envelope (unknown field)"): 1}},
        {**good, "attributes": {"prompt": plant("route.attributes (undeclared)")}},
        {**good, "prompt": plant("route.prompt")},
        {**good, "messages": [{"role": "user", "content": plant("route.messages")}]},
    ):
        yield service.ask("/v1/route", body)


def _in_records(service, plant, record):
    for name in RECORD.fields:
        for value in _disguises(plant, f"record.{name}"):
            yield service.ask("/v1/telemetry", {"records": [{**record, name: value}]})
    yield service.ask("/v1/telemetry", {"records": [{**record, plant("record (unknown field)"): 1}]})
    for name in {*TELEMETRY.fields} - {"records"}:
        for value in _disguises(plant, f"telemetry.{name}"):
            yield service.ask("/v1/telemetry", {"records": [record], name: value})
    yield service.ask("/v1/telemetry", {"records": [], plant("telemetry (unknown field)"): 1})
    yield service.ask("/v1/telemetry", {"records": [{**record, "output": plant("record.output")}]})


def _in_policies(service, plant, support, envelope):
    renamed = support.replace("labelling", plant("publish.source (route name)"))
    renamed = renamed.replace("no previews", plant("publish.source (rule)"))
    yield service.ask("/v1/policies/acme/support", {"source": f"# {plant('publish.source (comment)')}\n{renamed}"})
    service.clock.advance(31_000)
    yield service.route()
    yield service.ask("/v1/policies/acme/support", {"source": support})
    service.clock.advance(31_000)
    for name in PUBLISH.fields:
        yield service.ask(
            "/v1/policies/acme/support", {"source": support, "dry_run": True, name: plant("publish (refused)")}
        )
    broken = support.replace("pick", plant("publish (refused)"), 1)
    yield service.ask("/v1/policies/acme/support", {"source": broken})
    yield service.ask("/v1/policies/acme/support", {"source": f'policy "acme/{plant("publish (refused)")}" language 1'})
    inline = json.dumps(ir_document(compile_policy(support, default_catalog()).policy))
    for document in (
        json.loads(inline.replace("labelling", plant("route.ir (route name)"))),
        {**json.loads(inline), "prompt": plant("route.ir (refused)")},
        {**json.loads(inline), "name": plant("route.ir (refused)") + " is no name"},
        {**json.loads(inline), plant("route.ir (refused)"): {}},
    ):
        yield service.ask("/v1/route", {"ir": document, "envelope": envelope})


def _in_other_doors(service, plant):
    for door, form, path in (("alias", ALIAS, "/v1/aliases/acme/support"), ("receipts", RECEIPTS, "/v1/receipts")):
        for name in form.fields:
            for value in _disguises(plant, f"{door}.{name}"):
                yield service.ask(path, {name: value})
            for value in ([[plant(f"{door}.{name}"), 1_000_000]], [f"receipt.k1.{plant(f'{door}.{name}')}.mac"]):
                yield service.ask(path, {name: value})
        yield service.ask(path, {"rollback": True, "to": plant(f"{door}.to")})
        yield service.ask(path, {plant(f"{door} (unknown field)"): True})


def _in_headers_and_paths(service, plant, good, record, support):
    doors = {
        "/v1/route": good,
        "/v1/telemetry": {"records": [record]},
        "/v1/policies/acme/support": {"source": support, "dry_run": True},
    }
    for path, body in doors.items():
        for header in HEADERS:
            yield service.ask(path, body, headers={header: plant(f"header {header}")})
        yield service.ask(f"{path}/{plant('publish path' if 'policies' in path else 'path')}", body)
        yield service.ask(f"{path}?prompt={plant('query')}", body)
        yield service.ask(path, body, method=plant("method").upper())
        yield service.ask(path, body, None, headers={"authorization": f"Bearer {plant('header authorization')}"})


def _in_broken_bodies(service, plant):
    doors = ("/v1/route", "/v1/receipts", "/v1/telemetry", "/v1/policies/acme/support", "/v1/aliases/acme/support")
    for path in doors:
        for text in (
            '{{"{0}":1,"{0}":2}}',
            '{{"a":{0}}}',
            '"{0}"',
            "{0}",
            '{{"a":"{0}',
            '{{"a":NaN,"b":"{0}"}}',
            '["{0}"]',
            '{{"{0}":' + "9" * 40 + "}}",
        ):
            yield service.ask(path, text.format(plant("broken body")).encode())
        yield service.ask(path, f'"{plant("broken body")}'.encode() + b"\xff\xfe")
        yield service.ask(path, f'"{plant("broken body")}{"x" * 500_000}"'.encode())


def _disguises(plant, field):
    """A canary as this kind of field might carry it: as it is, as prose, inside the containers that fields have."""
    yield plant(field)
    yield f"{plant(field)} says hello"
    yield [plant(field)]
    yield {"plan": plant(field)}
    yield {plant(field): "pro"}
    yield f"acme/{plant(field)}"
    yield f"pin.k1.{plant(field)}.mac"


def _sorted(held):
    """(kind of place, text): state, statistics, records, dead."""
    for place, text in held.items():
        if "DeadLetter" in place:
            yield "dead", text
        elif place.startswith(("StateTable", "StateBucket")):
            yield "state", text
        elif place.startswith("LedgerTable"):
            yield "ledger", text
        elif place.startswith("StatisticsTable"):
            yield "statistics", text
        else:
            yield "filed" if place.startswith("RecordsBucket") else "queued", text


def test_a_canary_is_kept_only_where_its_field_is_declared_to_be(planted):
    plant, texts = planted
    astray = {(field, place) for field, place in plant.seen(texts) if place not in KEPT.get(field, ())}
    assert sorted(astray) == []


def test_every_field_of_the_list_is_really_kept_where_it_says(planted):
    plant, texts = planted
    assert plant.seen(texts) >= {(field, place) for field, places in KEPT.items() for place in places}


def test_every_field_and_place_of_a_request_was_tried_and_the_service_spoke(planted):
    plant, texts = planted
    tried = set(plant.fields.values())
    assert {f"route.{name}" for name in ROUTE.fields} <= tried
    assert {f"record.{name}" for name in RECORD.fields} <= tried
    assert len(plant.fields) > 250
    assert {place for place, _ in texts} == {"state", "statistics", "ledger", "queued", "filed", "logs", "metrics"}


def test_no_tokens_keys_or_signatures_are_logged(planted, service):
    said = service.spoken.getvalue()
    with redirect_stdout(service.spoken):  # pytest has put its own back since the fixture's
        reply = service.route().document
    assert reply["decision_id"] in service.spoken.getvalue()
    assert not re.search(r"\b(1|pin)\.k1\.[A-Za-z0-9_-]{20}", said)
    for tenant in service.tenants.values():
        assert tenant.secret.hex() not in said
    secret = service.client("secretsmanager").get_secret_value(SecretId=service.name("SigningSecret"))["SecretString"]
    assert secret not in said
    assert "Traceback" not in said
