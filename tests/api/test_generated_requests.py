"""Good requests, broken in every way: answered as described, never with a 5xx, never with what another tenant holds.

schemathesis asks the same server what it makes of the published description (.ci/api); here the requests start out
good, so they get further in: published and inline policies, real tokens, real pins.
"""

from __future__ import annotations

import json
import os
from copy import deepcopy

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from functions.stores.secrets import keys_from_secret
from policy_engine.receipt import sign_receipt
from policy_lang.catalog import default_catalog
from policy_lang.compiler import compile_policy
from policy_lang.fingerprint import ir_document

SOAK = os.environ.get("POINTSMAN_SOAK") == "1"
EXAMPLES = 1_500 if SOAK else 150
DOORS = ("route", "inline", "telemetry", "receipts", "publish", "alias")
PATHS = {
    "route": "/v1/route",
    "inline": "/v1/route",
    "telemetry": "/v1/telemetry",
    "receipts": "/v1/receipts",
    "publish": "/v1/policies/acme/support",
    "alias": "/v1/aliases/acme/support",
}
TEMPLATES = {
    **PATHS,
    "publish": "/v1/policies/{owner}/{name}",
    "alias": "/v1/aliases/{owner}/{name}",
}

NASTY = st.sampled_from(
    [
        *(None, True, False, 0, -1, 1.5, 2**53 - 1, -0.0, 1e308, 5e-324),
        *(
            "",
            " ",
            "\x00",
            "\ud800",
            "é",
            "\u202e",
            "🦓",
            "a" * 5_000,
            "../globex",
            "globex/plan",
            "tenant#globex",
            "globex#0",
        ),
        *([], {}, [[]], [{}], [None] * 600, {"": ""}, {"__proto__": {}}, {"a": 1, "A": 1}),
    ]
)
VALUES = NASTY | st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
HEADERS = st.dictionaries(
    st.sampled_from(
        [
            *("x-tenant-id", "x-pointsman-tenant", "x-forwarded-for", "x-amzn-trace-id", "x-amz-security-token"),
            *("x-http-method-override", "content-type", "accept", "expect-ct", "cookie", "forwarded", "host2"),
        ]
    ),
    st.sampled_from(["globex", "", "text/plain", "application/xml; charset=utf-7", "DELETE", "a" * 4_000, "*/*;q=-1"]),
    max_size=3,
)
TEXT_BREAKS = (
    lambda text: text[: len(text) // 2],
    lambda text: text * 2,
    lambda text: text.replace(":", ":NaN,", 1),
    lambda text: text.replace("{", '{"policy":"acme/support","policy":"globex/plan",', 1),
    lambda text: "[" * 70 + text + "]" * 70,
    lambda text: "[" * 100_000 + text,
    lambda text: text.replace("}", ',"n":' + "9" * 5_000 + "}", 1),
    lambda text: text.replace("}", ',"n":1e9999}', 1),
    lambda text: "\ufeff" + text,
    lambda text: text + "\x00",
    lambda text: text + " " * 500_000,
    lambda text: json.dumps(text),
)


@pytest.fixture(scope="module")
def good(service, support, envelope):
    """A good body for each door, made of what earlier answers gave; and the other tenant's."""
    ours, foreign = service.route(session="s1").document, service.route("globex", session="s1").document
    assert "session_pin" in foreign
    arm = {"token": ours["token"], "arm": ours["plan"][0]["arm"], "hop": 0, "outcome": "ok", "input_tokens": 9}
    return {
        "route": {
            "policy": "acme/support",
            "envelope": envelope,
            "org": "labs",
            "attributes": {},
            "candidates": [candidate["arm"] for candidate in ours["candidates"]],
            "session": "s1",
        },
        "inline": {
            "ir": ir_document(compile_policy(support, default_catalog()).policy),
            "envelope": envelope,
            "idempotency_key": "k1",
        },
        "telemetry": {"records": [arm, {**arm, "quality": 0.5, "latency_ms": 900, "quality_slugs": ["tone"]}]},
        "receipts": {"receipts": [_carried(service, "acme"), _carried(service, "acme")]},
        "publish": {"source": support, "dry_run": False},
        "alias": {"shares": [[ours["fingerprints"]["policy"], 1_000_000]]},
        "foreign": [
            *(foreign["token"], foreign["session_pin"], foreign["decision_id"], "globex/plan"),
            *(foreign["fingerprints"]["policy"], _carried(service, "globex")),
        ],
    }


def _carried(service, tenant):
    """A receipt as a tenant's caller carries it when nothing else could keep it."""
    service.stack.pump()
    filed = next(text for place, text in service.held(tenant).items() if f"{tenant}/receipts/" in place)
    secret = service.client("secretsmanager").get_secret_value(SecretId=service.name("SigningSecret"))["SecretString"]
    return sign_receipt(filed.splitlines()[0], keys_from_secret(secret))


@st.composite
def broken(draw, document, foreign):
    """`document` with up to three of its parts changed, as bytes; sometimes with its text spoiled after that."""
    document = json.loads(json.dumps(document))
    for _ in range(draw(st.integers(0, 3))):
        places = [place for place in _places(document) if len(place)]
        if not places:
            break
        place = draw(st.sampled_from(places))
        key = draw(st.sampled_from(list(place) if isinstance(place, dict) else range(len(place))))
        match draw(st.sampled_from(("value", "foreign", "copy", "gone", "more"))):
            case "value":
                place[key] = deepcopy(draw(VALUES))
            case "foreign":
                place[key] = draw(st.sampled_from(foreign))
            case "copy":
                place[key] = json.loads(json.dumps(draw(st.sampled_from([document, *places]))))
            case "gone":
                del place[key]
            case "more" if isinstance(place, dict):
                name = draw(
                    st.sampled_from(["tenant", "pin", "session", "ir", "policy", "prompt", ""]) | st.text(max_size=9)
                )
                place[name] = deepcopy(draw(st.sampled_from(foreign) | VALUES))
            case "more":
                place.extend([place[key]] * 20)
    text = json.dumps(document)
    if draw(st.integers(0, 7)) == 0:
        text = draw(st.sampled_from(TEXT_BREAKS))(text)
    # Lambda itself answers beyond six mebibytes, before a function is asked.
    return text.encode("utf-8", "surrogatepass")[: 5 * 1024 * 1024]


def _places(value):
    yield from [value] if isinstance(value, dict | list) else []
    for each in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _places(each)


@pytest.mark.parametrize("door", DOORS)
def test_the_good_bodies_are_good(service, good, described, door):
    answer = service.ask(PATHS[door], good[door])
    assert answer.status in (200, 202), answer.text
    assert described(TEMPLATES[door], "POST", answer) == []


@pytest.mark.parametrize("door", DOORS)
def test_a_broken_request_is_answered_as_described_and_tells_nothing_of_another_tenant(
    service, good, described, foreign_word, door
):
    before, asked = service.held("globex"), service.asked
    seen = set()

    @settings(max_examples=EXAMPLES)
    @given(broken(good[door], good["foreign"]), HEADERS)
    def answered(body, headers):
        answer = service.ask(PATHS[door], body, headers=headers)
        assert answer.status < 500, answer.text
        assert described(TEMPLATES[door], "POST", answer) == []
        assert foreign_word not in answer.text
        seen.add(answer.status)

    answered()
    assert service.asked - asked >= EXAMPLES
    assert 400 in seen
    assert seen & {200, 202}
    service.stack.pump()
    service.stack.run_schedules()
    kept = {place: text for place, text in service.held("globex").items() if "route-state" not in place}
    assert {place: text for place, text in before.items() if "route-state" not in place}.items() <= kept.items()
    ours = service.held("acme")
    assert ours
    assert not [place for place, text in ours.items() if foreign_word in text]


PARTS = st.sampled_from(
    [
        "v1",
        "route",
        "telemetry",
        "policies",
        "acme",
        "support",
        "globex",
        "plan",
        "..",
        ".",
        "",
        "%2e%2e",
        "%2f",
        "V1",
        "%00",
        "*",
    ]
)


@settings(max_examples=EXAMPLES)
@given(
    path=st.lists(PARTS, max_size=7).map("/".join),
    start=st.sampled_from(["/", "/v1/", "/v1/route", "/v1/policies/", "/v1/telemetry/"]),
    query=st.sampled_from(["", "?tenant=globex", "?policy=globex/plan", "?%", "?a=b&a=c"]),
    method=st.sampled_from(["POST", "GET", "PUT", "DELETE", "PATCH", "OPTIONS", "PROPFIND"]),
)
def test_no_path_and_no_method_leads_around_the_doors(service, foreign_word, path, start, query, method):
    answer = service.ask(start + path + query, {"source": ""}, method=method)
    assert 400 <= answer.status < 500, answer.text
    assert "error" in answer.document or "Message" in answer.document
    assert foreign_word not in answer.text
    assert ("allow" in answer.headers) == (answer.status == 405)
