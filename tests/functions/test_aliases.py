"""`POST /v1/aliases/<name>`: weights between versions, and the way back, seen by every environment within a minute."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace

import pytest

from functions.function_url import request_from_event
from functions.route import app as route
from functions.stores.state import Revision
from policy_engine.receipt import open_sealed
from policy_engine.replay import replay
from policy_engine.state import with_overlay
from policy_lang.analysis.analyse import prove_asserts
from policy_lang.catalog import Model


@pytest.fixture
def versions(cloud, policy_text):
    """Fingerprints of three versions in the order in which they were published."""
    first = cloud.alias({})[1]["alias"][0][0]
    later = []
    for proven in (80, 70):
        cloud.now += 1_000
        later.append(cloud.publish(policy_text.replace("90% proven 90%", f"90% proven {proven}%"))[1]["fingerprint"])
    return [first, *later]


def leads(cloud):
    return [tuple(share) for share in cloud.alias({})[1]["alias"]]


def test_an_alias_tells_where_it_leads_and_led(cloud, versions):
    status, reply = cloud.alias({})
    assert (status, reply["name"], reply["version"]) == (200, "acme/support", 3)
    assert reply["alias"] == [[versions[2], 1_000_000]]
    assert [entry["alias"][0][0] for entry in reply["history"]] == [versions[1], versions[0]]
    assert [entry["at_ms"] for entry in reply["history"]] == [cloud.now - 1_000, cloud.now - 2_000]


def test_a_rollback_goes_back_one_step_and_the_next_one_another(cloud, versions):
    assert cloud.alias({"rollback": True})[0] == 200
    assert leads(cloud) == [(versions[1], 1_000_000)]
    cloud.alias({"rollback": True})
    assert leads(cloud) == [(versions[0], 1_000_000)]
    status, reply = cloud.alias({"rollback": True})
    assert (status, reply["error"]["code"]) == (409, "no_history")
    assert leads(cloud) == [(versions[0], 1_000_000)]


def test_a_rollback_to_any_version_ever_published_and_back_from_it(cloud, versions):
    assert cloud.alias({"rollback": True, "to": versions[0]})[0] == 200
    assert leads(cloud) == [(versions[0], 1_000_000)]
    assert list(cloud.state.current("acme").policies) == [versions[0]]
    cloud.alias({"rollback": True})
    assert leads(cloud) == [(versions[2], 1_000_000)]


def test_the_first_digits_of_a_version_that_the_alias_knows_will_do(cloud, versions):
    assert cloud.alias({"rollback": True, "to": versions[0][:12]})[0] == 200
    assert leads(cloud) == [(versions[0], 1_000_000)]


def test_what_is_decided_is_shared_out_by_weight_and_every_receipt_names_one_version(cloud, versions):
    cloud.alias({"shares": [[versions[0], 700_000], [versions[2], 300_000]]})
    cloud.now += 31_000
    replies = [cloud.route()[1] for _ in range(120)]
    found = Counter((reply["fingerprints"]["policy"], reply["lane"]["share_ppm"]) for reply in replies)
    assert found.keys() == {(versions[0], 700_000), (versions[2], 300_000)}
    assert 15 <= found[versions[2], 300_000] <= 60
    policies = {
        fingerprint: (kept.policy, kept.lines) for fingerprint, kept in cloud.state.current("acme").policies.items()
    }
    for message in cloud.take("records"):
        line = message["body"].split("\n")[1]
        receipt = open_sealed(line)
        lane = receipt["circumstances"]["lane"]
        assert lane == {"policy": None, "propensity_ppm": lane["share_ppm"], "share_ppm": lane["share_ppm"]}
        assert replay(line, policies).equal


def test_a_session_stays_with_its_version(cloud, versions, wanted):
    cloud.alias({"shares": [[versions[0], 500_000], [versions[2], 500_000]]})
    cloud.now += 31_000
    for number in range(10):
        found = {cloud.route(wanted(session=f"s{number}"))[1]["fingerprints"]["policy"] for _ in range(4)}
        assert len(found) == 1


def test_a_version_published_or_rolled_back_mid_load_is_everywhere_within_a_minute(
    cloud, versions, policy_text, wanted
):
    """Two environments that were warm before: each decides by one version per receipt, and by the new one soon."""
    environments = []
    for _ in range(2):
        route.router.cache_clear()
        environments.append(route.router())

    def decided():
        """The version by which each environment decides, and how old its state was."""
        found = []
        for environment in environments:
            reply = environment.answer(request_from_event(cloud.event("/v1/route", wanted())))
            document = json.loads(reply.text)
            found.append((document["fingerprints"]["policy"], document["state_age_ms"]))
        return found

    assert {version for version, _ in decided()} == {versions[2]}
    newest = cloud.publish(policy_text.replace("90% proven 90%", "90% proven 60%"))[1]["fingerprint"]
    for moved_to, move in ((newest, None), (versions[2], {"rollback": True})):
        if move:
            cloud.alias(move)
        moved_ms, seen = cloud.now, set()
        while cloud.now - moved_ms <= 60_000:
            cloud.now += 7_000
            found = decided()
            seen |= {version for version, _ in found}
            assert all(age <= 30_000 for _, age in found)
        assert seen <= {newest, versions[2]}
        assert {version for version, _ in found} == {moved_to}
    receipts = [open_sealed(message["body"].split("\n")[1]) for message in cloud.take("records")]
    assert {receipt["fingerprints"]["policy"] for receipt in receipts} == {newest, versions[2]}


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ([], 400, "invalid_field"),
        ({"shares": {}}, 400, "invalid_field"),
        ({"shares": [["f" * 64, True]]}, 400, "invalid_field"),
        ({"shares": [["f" * 64, "1"]]}, 400, "invalid_field"),
        ({"rollback": False}, 400, "invalid_field"),
        ({"rollback": True, "to": 7}, 400, "invalid_field"),
        ({"shares": [], "rollback": True}, 400, "invalid_field"),
        ({"shares": []}, 400, "invalid_shares"),
        ({"shares": [["f" * 64, 999_999]]}, 400, "invalid_shares"),
        ({"shares": [["../globex", 1_000_000]]}, 400, "invalid_shares"),
        ({"rollback": True, "to": "latest"}, 400, "invalid_fingerprint"),
        ({"rollback": True, "to": "f" * 64}, 404, "unknown_fingerprint"),
        ({"shares": [["f" * 64, 1_000_000]]}, 404, "unknown_fingerprint"),
        ({"shares": [["f" * 64, 1_000_000]] * 200}, 413, "body_too_large"),
    ],
)
def test_a_bad_move_is_refused_with_a_code_and_moves_nothing(cloud, body, status, code):
    before = cloud.items("state")
    found, reply = cloud.alias(body)
    assert (found, reply["error"]["code"]) == (status, code)
    assert cloud.items("state") == before


def test_a_name_leads_to_its_own_versions_only(cloud, policy_text):
    other = cloud.publish(policy_text.replace('"acme/support"', '"acme/sales"'), "acme/sales")[1]["fingerprint"]
    status, reply = cloud.alias({"rollback": True, "to": other})
    assert (status, reply["error"]["code"]) == (422, "wrong_name")
    assert "acme/sales" in reply["error"]["message"]
    assert cloud.alias({}, "acme/nothing")[1]["error"]["code"] == "unknown_policy"


def test_another_tenants_versions_are_unknown(cloud, versions, policy_text):
    foreign = "arn:aws:sts::222222222222:assumed-role/globex-app/s"
    cloud.publish(policy_text, principal=foreign)
    status, reply = cloud.alias({"rollback": True, "to": versions[2]}, principal=foreign)
    assert (status, reply["error"]["code"]) == (404, "unknown_fingerprint")


def test_two_who_move_the_same_alias_at_once_leave_a_whole_history(cloud, versions):
    moves = [{"rollback": True, "to": versions[1]}]

    def meanwhile(call):
        if call == "dynamodb.TransactWriteItems" and moves:
            assert cloud.alias(moves.pop())[0] == 200

    cloud.faults.append(meanwhile)
    assert cloud.alias({"rollback": True, "to": versions[0]})[0] == 200
    history = [entry["alias"][0][0] for entry in cloud.alias({})[1]["history"]]
    assert leads(cloud) == [(versions[0], 1_000_000)]
    assert history == [versions[1], versions[2], versions[1], versions[0]]


def test_two_who_roll_back_at_once_go_back_one_step(cloud, versions):
    moves = [{"rollback": True}]

    def meanwhile(call):
        if call == "dynamodb.TransactWriteItems" and moves:
            assert cloud.alias(moves.pop())[0] == 200

    cloud.faults.append(meanwhile)
    assert cloud.alias({"rollback": True})[0] == 200
    assert leads(cloud) == [(versions[1], 1_000_000)]


def test_a_rollback_during_which_somebody_publishes_is_asked_again(cloud, versions, policy_text):
    """One step back is then another one than was looked up."""
    texts = [policy_text.replace("90% proven 90%", "90% proven 60%")]

    def meanwhile(call):
        if call == "dynamodb.TransactWriteItems" and texts:
            assert cloud.publish(texts.pop())[0] == 200

    cloud.faults.append(meanwhile)
    status, reply = cloud.alias({"rollback": True})
    assert (status, reply["error"]["code"]) == (409, "alias_moved")
    assert leads(cloud)[0][0] not in versions


def test_a_rollback_to_models_that_have_left_the_catalog_serves_what_is_left_of_them(cloud, wanted):
    row = Model("lab/tiny", "lab", "tiny", 1, 1, context=200_000, stage="stable")
    cloud.state.revise("acme", lambda state: Revision(with_overlay(state, (row,))))
    source = 'policy "lab" language 1\ntier t = [tiny, gpt-5-mini]\ndefault route r { use t pick cheapest }\n'
    source += "fallback tiny, gpt-5-mini\n"
    assert cloud.publish(source, "lab")[0] == 200
    assert cloud.publish(source.replace("tiny, ", ""), "lab")[0] == 200
    cloud.state.revise("acme", lambda state: Revision(with_overlay(state, ())))
    assert cloud.alias({"rollback": True}, "lab")[0] == 200
    cloud.watch()
    cloud.now += 31_000
    status, reply = cloud.route(wanted(policy="lab"))
    assert (status, [step["arm"] for step in reply["plan"]]) == (200, ["openai/gpt-5-mini"])
    policies = {
        fingerprint: (kept.policy, kept.lines) for fingerprint, kept in cloud.state.current("acme").policies.items()
    }
    assert all(replay(message["body"].split("\n")[1], policies).equal for message in cloud.take("records"))


ASSERTING = """policy "lab" language 1
tier t = [tiny, gpt-5-mini]
forbid "pii stays" when model.region == us and org == labs
assert "pii stays" never model.region == us when org == labs
assert "cheap" always model.price_out <= $5/Mtok
default route r { use t pick cheapest }
fallback tiny, gpt-5-mini
"""
TINY = Model("lab/tiny", "lab", "tiny", 1, 1, context=200_000, stage="stable", region="eu")


@pytest.fixture
def dearer(cloud):
    """Two versions that assert something, the first of them led to before; then a model gets dearer than they say."""
    cloud.state.revise("acme", lambda state: Revision(with_overlay(state, (TINY,))))
    first = cloud.publish(ASSERTING, "lab")[1]["fingerprint"]
    second = cloud.publish(ASSERTING.replace("tiny, gpt-5-mini", "gpt-5-mini"), "lab")[1]["fingerprint"]
    row = replace(TINY, price_out=6_000_000)
    cloud.state.revise("acme", lambda state: Revision(with_overlay(state, (row,))))
    return first, second


@pytest.mark.parametrize("body", [{"rollback": True}, "to", "shares"])
def test_a_version_whose_assert_todays_catalog_breaks_is_not_led_to(cloud, dearer, body):
    first, second = dearer
    body = {"to": {"rollback": True, "to": first}, "shares": {"shares": [[second, 990_000], [first, 10_000]]}}.get(
        body if isinstance(body, str) else "", body
    )
    before = cloud.state.current("acme")
    status, reply = cloud.alias(body, "lab")
    assert (status, reply["error"]["code"]) == (422, "assert_broken")
    assert f"`{first[:8]}` breaks what it asserts" in reply["error"]["message"]
    (found,) = reply["error"]["asserts"]
    assert (found["fingerprint"], found["code"], found["line"]) == (first, "P541", 5)
    assert "`lab/tiny` could serve" in found["message"]
    assert cloud.state.current("acme") == before


def test_in_an_incident_a_name_is_forced_and_the_log_says_so(cloud, dearer, capsys):
    first, second = dearer
    assert cloud.alias({"force": True}, "lab")[1]["alias"] == [[second, 1_000_000]]
    capsys.readouterr()
    status, reply = cloud.alias({"rollback": True, "force": True}, "lab")
    assert (status, reply["alias"]) == (200, [[first, 1_000_000]])
    (line,) = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert (line["forced"], line["AliasesMoved"]) == (True, [1.0])


def test_a_catalog_that_changes_while_a_name_moves_is_the_one_that_is_asked(cloud, dearer):
    first, _ = dearer
    cloud.state.revise("acme", lambda state: Revision(with_overlay(state, (TINY,))))
    rows = [replace(TINY, price_out=6_000_000)]

    def meanwhile(call):
        if call == "dynamodb.TransactWriteItems" and rows:
            row = rows.pop()
            cloud.state.revise("acme", lambda state: Revision(with_overlay(state, (row,))))

    cloud.faults.append(meanwhile)
    assert cloud.alias({"rollback": True}, "lab")[1]["error"]["code"] == "assert_broken"
    cloud.faults.clear()
    cloud.state.revise("acme", lambda state: Revision(with_overlay(state, (TINY,))))
    assert cloud.alias({"rollback": True}, "lab")[1]["alias"] == [[first, 1_000_000]]


def test_a_race_that_is_lost_proves_nothing_twice(cloud, dearer, monkeypatch, policy_text):
    first, _ = dearer
    cloud.state.revise("acme", lambda state: Revision(with_overlay(state, (TINY,))))
    proved, others = [], [policy_text.replace("90% proven 90%", f"90% proven {percent}%") for percent in (70, 80)]

    def counted(policy, catalog):
        proved.append(policy.name)
        return prove_asserts(policy, catalog)

    def meanwhile(call):
        if call == "dynamodb.TransactWriteItems" and others:
            assert cloud.publish(others.pop())[0] == 200

    monkeypatch.setattr("functions.publish.asserts.prove_asserts", counted)
    cloud.faults.append(meanwhile)
    assert cloud.alias({"rollback": True}, "lab")[1]["alias"] == [[first, 1_000_000]]
    assert (others, proved.count("lab")) == ([], 1)
