"""Shared priors: from tenants that opted in, to tenants that opted in, and never at the word of one."""

from __future__ import annotations

import json

import pytest

from functions.stores.errors import StoreError
from functions.stores.keys import shared_priors_object
from policy_engine.decision import decision_id_for
from policy_engine.settlement import CellKey, Effect, MarkerKey
from policy_engine.statistics import epoch_of, merge_sums, outcome_sums
from policy_engine.wire import TelemetryRecord

GPT = "openai/gpt-5-mini"
HAIKU = "anthropic/claude-haiku-4-5"
MEMBERS = tuple(f"tenant-{number}" for number in range(7))


def role(tenant):
    return f"arn:aws:iam::111111111111:role/{tenant}"


@pytest.fixture
def outcomes(bare):
    """Book `good` and `bad` outcomes of an arm for a tenant, as telemetry would have."""

    def book(tenant, arm, good, bad):
        ok = outcome_sums(TelemetryRecord("t" * 20, 0, arm, "ok"), bare.now)
        wrong = outcome_sums(TelemetryRecord("t" * 20, 0, arm, "wrong"), bare.now)
        cell = CellKey(tenant, "ab" * 10, "label", arm, 0, epoch_of(bare.now))
        marker = MarkerKey(tenant, decision_id_for(bare.now, f"{arm} {good} {bad}".encode()), 0, "outcome")
        sums = merge_sums([ok] * good + [wrong] * bad)
        bare.statistics.commit([Effect(marker, "r", cell, sums, (), bare.now // 86_400_000, bare.now + 1_000_000)])

    return book


@pytest.fixture
def crowd(bare, policy_text, outcomes):
    """Seven tenants of one opinion on `gpt-5-mini`, all of whom opted in, and one more that did not."""
    for tenant in (*MEMBERS, "hermit"):
        bare.registry.enrol(tenant, principals=[role(tenant)])
        bare.publish(policy_text, principal=f"arn:aws:sts::111111111111:assumed-role/{tenant}/s")
    for tenant in MEMBERS:
        bare.registry.share_priors(tenant, shares=True)
        outcomes(tenant, GPT, 90, 10)
    return bare


def told(cloud):
    """The priors as published: success by arm."""
    body = cloud.s3.get_object(Bucket="state-bucket", Key=shared_priors_object())["Body"].read()
    return {arm: row[0] for arm, row in json.loads(body)["priors"].items()}


def believed(cloud, tenant, arm=GPT):
    snapshot = cloud.state.current(tenant).snapshot
    return snapshot.estimate("cd" * 10, "label", arm).success_ppm


def test_who_opted_in_starts_from_what_the_others_saw(crowd, policy_text):
    crowd.registry.enrol("newcomer", principals=[role("newcomer")])
    crowd.publish(policy_text, principal="arn:aws:sts::111111111111:assumed-role/newcomer/s")
    crowd.watch()
    cold = believed(crowd, "newcomer")
    assert crowd.hourly()["priors"] == 1
    assert told(crowd) == {GPT: 900_000}
    crowd.registry.share_priors("newcomer", shares=True)
    crowd.now += 60_000
    crowd.watch()
    assert believed(crowd, "newcomer") == pytest.approx(900_000, abs=20_000)
    assert cold < 800_000


def test_who_did_not_opt_in_neither_gives_nor_gets(crowd, outcomes):
    outcomes("hermit", HAIKU, 500, 0)
    crowd.watch()
    alone = believed(crowd, "hermit")
    crowd.hourly()
    crowd.now += 60_000
    crowd.watch()
    assert believed(crowd, "hermit") == alone
    assert told(crowd) == {GPT: 900_000}


def test_one_malicious_tenant_moves_nothing_however_much_it_sends(crowd, outcomes):
    crowd.hourly()
    honest = told(crowd)
    outcomes(MEMBERS[0], GPT, 0, 100_000)
    crowd.hourly()
    assert told(crowd) == honest == {GPT: 900_000}


@pytest.mark.parametrize(("tenants", "outcomes_each", "published"), [(5, 50, True), (4, 500, False), (5, 49, False)])
def test_five_tenants_of_fifty_outcomes_each_are_the_least(crowd, outcomes, tenants, outcomes_each, published):
    for tenant in MEMBERS[:tenants]:
        outcomes(tenant, HAIKU, outcomes_each, 0)
    crowd.hourly()
    assert (HAIKU in told(crowd)) is published


def test_a_tenants_own_models_are_nobody_elses_business(crowd, outcomes):
    for tenant in MEMBERS:
        outcomes(tenant, "lab/tiny", 100, 0)
    crowd.hourly()
    assert told(crowd) == {GPT: 900_000}


def test_opting_out_takes_effect_with_the_next_hour(crowd):
    crowd.hourly()
    for tenant in MEMBERS[:3]:
        crowd.registry.share_priors(tenant, shares=False)
    crowd.hourly()
    assert told(crowd) == {}


def test_enrolling_again_keeps_what_the_tenant_chose(crowd):
    crowd.registry.enrol(MEMBERS[0], principals=[role("another")])
    assert {member.tenant for member in crowd.registry.members() if member.shares_priors} == set(MEMBERS)


def test_nobody_can_be_let_in_that_is_not_enrolled(bare):
    with pytest.raises(ValueError, match="no tenant `stranger` is enrolled"):
        bare.registry.share_priors("stranger", shares=True)
    assert "stranger" not in [member.tenant for member in bare.registry.members()]


def test_a_tenant_that_cannot_be_read_is_left_out_and_the_others_are_not(crowd, failing):
    crowd.faults.append(failing("s3.GetObject", times=1))
    assert crowd.hourly() == {"priors": 1, "tenants": 6, "swept": 0}


def test_a_tenant_whose_books_make_no_sense_is_left_out_and_the_others_are_not(crowd):
    row = {"pk": {"S": f"{MEMBERS[0]}#0"}, "sk": {"S": "cell#not-a-cell"}}
    crowd.dynamodb.put_item(TableName="statistics", Item=row)
    assert crowd.hourly() == {"priors": 1, "tenants": 6, "swept": 0}


def test_unreadable_priors_hold_back_those_who_share_and_nobody_else(crowd, outcomes):
    crowd.hourly()
    crowd.watch()
    before = {tenant: crowd.state.current(tenant).version for tenant in ("hermit", *MEMBERS)}
    crowd.s3.put_object(Bucket="state-bucket", Key=shared_priors_object(), Body=b"{")
    crowd.now += 60_000
    for tenant in before:
        outcomes(tenant, HAIKU, 5, 0)
    with pytest.raises(StoreError, match="the shared priors"):
        crowd.watch()
    moved = {tenant for tenant, version in before.items() if crowd.state.current(tenant).version != version}
    assert moved == {"hermit"}
