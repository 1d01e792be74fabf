"""`POST /v1/policies/<name>`: all or nothing, and the same text twice is the same as once."""

from __future__ import annotations

import json

import pytest

from functions.stores.state import Revision
from policy_engine.aliases import alias_of
from policy_engine.state import with_overlay
from policy_lang.catalog import Model, default_catalog
from policy_lang.compiler import compile_policy


def test_a_policy_is_stored_by_fingerprint_and_its_name_moved_to_it(bare, policy_text):
    status, reply = bare.publish()
    compiled = compile_policy(policy_text, default_catalog())
    assert status == 200
    assert (reply["fingerprint"], reply["source_hash"]) == (compiled.fingerprint, compiled.source_hash)
    assert (reply["published"], reply["version"]) == (True, 1)
    state = bare.state.current("acme")
    assert state.aliases == {"acme/support": alias_of(compiled.fingerprint)}
    assert state.policies[compiled.fingerprint].policy == compiled.policy
    assert state.policies[compiled.fingerprint].lines == compiled.lines
    stored = bare.s3.get_object(Bucket="state-bucket", Key=f"acme/policies/{compiled.fingerprint}.json")
    assert json.loads(stored["Body"].read())["source"] == policy_text


def test_publishing_the_same_text_again_changes_nothing(bare):
    first = bare.publish()
    stored = (bare.items("state"), bare.keys("state-bucket"))
    bare.now += 1_000
    assert bare.publish() == first
    assert (bare.items("state"), bare.keys("state-bucket")) == stored


def test_another_layout_of_the_same_meaning_keeps_the_lines_that_receipts_cite(bare, policy_text):
    first = bare.publish()[1]
    second = bare.publish("# moved down by one\n" + policy_text)[1]
    assert second["fingerprint"] == first["fingerprint"]
    assert second["source_hash"] != first["source_hash"]
    assert bare.state.current("acme").policies[first["fingerprint"]].lines["the org is frozen"] == 7


def test_an_old_policy_comes_back_by_publishing_it_again(bare, policy_text):
    first = bare.publish()[1]
    second = bare.publish(policy_text.replace("90% proven", "80% proven"))[1]
    assert list(bare.state.current("acme").policies) == [second["fingerprint"]]
    assert bare.publish()[1]["version"] == 3
    assert list(bare.state.current("acme").policies) == [first["fingerprint"]]


def test_a_bad_policy_stores_nothing_and_gets_all_its_diagnostics(bare, policy_text):
    before = bare.items("state")
    broken = policy_text.replace("[claude-haiku-4-5,", "[claude-hiaku-4-5,").replace("task == label", "task == labl")
    status, reply = bare.publish(broken)
    assert (status, reply["error"]["code"]) == (422, "invalid_policy")
    found = reply["error"]["diagnostics"]
    assert len(found) >= 2
    assert {finding["span"]["line"] for finding in found} >= {4, 9}
    assert all(finding["code"] and finding["message"] for finding in found)
    assert (bare.items("state"), bare.keys("state-bucket")) == (before, [])


BROKEN = """policy "acme/broken" language 1
tier t = [gpt-5-mini, claude-haiku-4-5]
default route r { use t pick cheapest }
fallback gpt-5-mini
assert "one vendor" always model.provider == anthropic
"""


@pytest.mark.parametrize("dry_run", [False, True])
def test_a_text_that_breaks_its_own_assert_is_refused_at_its_line(bare, dry_run):
    body = {"source": BROKEN, "dry_run": True} if dry_run else {"source": BROKEN}
    status, reply = bare.publish(body, "acme/broken")
    assert (status, reply["error"]["code"]) == (422, "invalid_policy")
    (found,) = [each for each in reply["error"]["diagnostics"] if each["severity"] == "error"]
    assert (found["code"], found["span"]["line"]) == ("P541", 5)
    assert BROKEN[found["span"]["start"] : found["span"]["end"]] == BROKEN.splitlines()[4]
    assert "`openai/gpt-5-mini` could serve" in found["message"]
    assert bare.keys("state-bucket") == []


def test_a_dry_run_says_the_same_and_stores_nothing(bare, policy_text):
    before = bare.items("state")
    status, reply = bare.publish({"source": policy_text, "dry_run": True})
    assert (status, reply["published"], reply["version"]) == (200, False, 0)
    assert (bare.items("state"), bare.keys("state-bucket")) == (before, [])
    assert bare.publish()[1]["fingerprint"] == reply["fingerprint"]


def test_the_name_in_the_text_must_be_the_one_in_the_path(bare):
    status, reply = bare.publish(name="acme/sales")
    assert (status, reply["error"]["code"]) == (422, "wrong_name")
    assert "acme/support" in reply["error"]["message"]
    assert bare.keys("state-bucket") == []


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ([], 400, "invalid_field"),
        ({}, 400, "missing_field"),
        ({"source": 7}, 400, "invalid_field"),
        ({"source": "x", "dry_run": "yes"}, 400, "invalid_field"),
        ({"source": "x", "tenant": "globex"}, 400, "unknown_field"),
        ({"source": "x" * 1_048_576}, 413, "body_too_large"),
        ({"source": "x" * 70_000}, 422, "invalid_policy"),
        ({"source": "\ud800"}, 422, "invalid_policy"),
        ({"source": "(" * 30_000}, 422, "invalid_policy"),
    ],
)
def test_a_bad_body_is_refused_with_a_code(bare, body, status, code):
    found, reply = bare.publish(body)
    assert (found, reply["error"]["code"]) == (status, code)
    assert bare.keys("state-bucket") == []


@pytest.mark.parametrize("name", ["", "Acme", "acme//support", "acme/support/", "../globex/state", "a" * 97])
def test_a_name_that_is_none_is_an_unknown_path(bare, name):
    assert bare.publish(name=name)[1]["error"]["code"] == "unknown_path"


def test_publishers_of_different_policies_do_not_undo_each_other(bare):
    source = (
        'policy "{0}" language 1 tier t = [gpt-5-mini] default route r {{ use t pick cheapest }} fallback gpt-5-mini'
    )
    names = [f"team-{number}" for number in range(4)]
    waiting = names[1:]

    def meanwhile(call):
        """Another publisher gets in between reading the state and moving its pointer."""
        if call == "dynamodb.TransactWriteItems" and waiting:
            name = waiting.pop()
            assert bare.publish(source.format(name), name)[0] == 200

    bare.faults.append(meanwhile)
    assert bare.publish(source.format(names[0]), names[0])[0] == 200
    assert sorted(bare.state.current("acme").aliases) == names
    assert bare.state.current("acme").version == 4


def test_a_lost_race_is_run_again(bare, failing):
    reasons = [{"Code": "TransactionConflict"}, {"Code": "None"}, {"Code": "None"}]
    conflict = failing(
        "dynamodb.TransactWriteItems", times=2, code="TransactionCanceledException", CancellationReasons=reasons
    )
    bare.faults.append(conflict)
    assert bare.publish()[0] == 200
    assert bare.state.current("acme").version == 1


def test_losing_every_race_is_an_outage_and_not_a_half_stored_policy(bare, failing):
    reasons = [{"Code": "ConditionalCheckFailed"}]
    bare.faults.append(
        failing("dynamodb.TransactWriteItems", code="TransactionCanceledException", CancellationReasons=reasons)
    )
    status, reply = bare.publish()
    assert (status, reply["error"]["code"]) == (503, "state_unavailable")
    bare.faults.clear()
    assert bare.state.current("acme").aliases == {}


def test_a_policy_is_compiled_against_the_tenants_own_catalog(bare):
    source = 'policy "lab" language 1\ntier t = [tiny]\ndefault route r { use t pick cheapest }\nfallback tiny\n'
    assert bare.publish(source, "lab")[0] == 422
    row = Model("lab/tiny", "lab", "tiny", 1, 1)
    bare.state.revise("acme", lambda state: Revision(with_overlay(state, (row,))))
    assert bare.publish(source, "lab")[0] == 200


def test_a_new_name_is_known_a_second_later_and_an_unknown_one_costs_a_read_a_second(bare, policy_text, wanted):
    bare.publish()
    assert bare.route()[0] == 200
    sales = wanted(policy="acme/sales")
    assert bare.route(sales)[1]["error"]["code"] == "unknown_policy"
    assert bare.publish(policy_text.replace("acme/support", "acme/sales"), name="acme/sales")[0] == 200
    bare.calls.clear()
    assert bare.route(sales)[0] == 404
    assert bare.calls == []
    bare.now += 1_001
    assert bare.route(sales)[0] == 200
    for _ in range(30):
        bare.now += 100
        bare.route(wanted(policy="acme/nothing"))
    assert bare.calls.count("dynamodb.GetItem") == 1 + 2
