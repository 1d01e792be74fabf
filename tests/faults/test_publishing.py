"""A policy published under load: no decision is mixed, and it is in force, and rolled back, within a minute."""

from __future__ import annotations

import pytest

ENVIRONMENTS = 3
ASKED = 25
MINUTE_MS = 60_000


@pytest.fixture
def fleet(world):
    """A World and the `answer` of several environments of `route`, all warm."""
    here = world("calm", seed=5)
    answers = [here.functions["RouteFunction"].router.__wrapped__().answer for _ in range(ENVIRONMENTS)]
    for answer in answers:
        here.ask("acme", answer)
    return here, answers


def test_a_policy_published_mid_load_is_visible_and_rolled_back_within_a_minute(fleet, policy_text):
    here, answers = fleet
    before = here.replies["acme"][0]["fingerprints"]["policy"]
    after = _load(here, answers, here.publish(policy_text.replace("90% proven", "80% proven")))
    assert after != before
    status, moved = here.call("PublishFunction", "acme", "/v1/aliases/acme/support", {"rollback": True})
    assert (status, moved["alias"]) == (200, [[before, 1_000_000]])
    _load(here, answers, before)
    here.settle()
    assert here.broken() == set()


def test_no_decision_mixes_two_policies(fleet, policy_text):
    here, answers = fleet
    other = policy_text.replace("route labelling", "route marking").replace("90% proven", "80% proven")
    prints = {here.replies["acme"][0]["fingerprints"]["policy"]: "labelling", here.publish(other): "marking"}
    for _ in range(40):
        here.now += 1_000
        here.ask("acme", here.chance.choice(answers))
    here.settle()
    assert here.broken() == set()
    routes = {}
    for receipt in here.receipts("acme").values():
        routes.setdefault(receipt["fingerprints"]["policy"], set()).add(receipt["decision"]["route"])
    assert {name: found - {"general"} for name, found in routes.items()} == {p: {route} for p, route in prints.items()}


def _load(here, answers, published):
    """Ask all environments for a minute; each has moved over once and for good, within the age that state may have."""
    seen = {number: [] for number in range(ENVIRONMENTS)}
    began = here.now
    while here.now - began < MINUTE_MS:
        here.now += MINUTE_MS // ASKED
        for number, answer in enumerate(answers):
            _, reply = here.ask("acme", answer)
            if "fingerprints" in reply:
                seen[number].append(reply["fingerprints"]["policy"])
    for prints in seen.values():
        assert prints[-1] == published
        assert prints == sorted(prints, key=lambda fingerprint: fingerprint == published)
    return published
