"""Budgets end to end: leased to environments, charged by decisions, put right by telemetry. They do stop spending."""

from __future__ import annotations

import gc
import json
from collections import Counter

import pytest

from functions.function_url import serve
from functions.route import app as route
from functions.route.leases import INLINE_ACCOUNTS, Leases
from functions.stores.keys import accounts_part
from policy_engine.accounts import Account, Allowance, exploration
from policy_engine.leases import Lease
from policy_engine.limits import Limits
from policy_engine.replay import replay
from policy_lang.catalog import default_catalog
from policy_lang.compiler import compile_policy
from policy_lang.fingerprint import ir_document

DAY = 86_400_000


def item_bytes(item):
    """Size of an item by DynamoDB's rules, a number taken at its digits."""
    return sum(len(name) + len(next(iter(value.values()))) for name, value in item.items())


LABS = Account("org", "labs", "nanodollars", "day")
POLICY = """policy "acme/support" language 1
tier small = [gpt-5-mini]
tier tiny  = [gpt-5-nano]
tier large = [claude-sonnet-4-5]
default route general { use large  pick cheapest }
fallback claude-sonnet-4-5
"""


@pytest.fixture
def budgeted(bare):
    """Publish the policy with lines added; calls are forgotten."""

    def build(*lines):
        status, document = bare.publish(POLICY + "\n".join(lines))
        assert status == 200, document
        bare.calls.clear()
        return bare

    return build


@pytest.fixture
def environments(bare):
    """Routers of as many environments as wanted, each with caches of its own; ask them in turn."""

    def build(number):
        return [route.router.__wrapped__() for _ in range(number)]

    return build


def asked(cloud, router=None, body=None):
    """Ask an environment, or the one that `cloud` has. Receipts are not kept: moto's queues are slow when deep."""
    if cloud.requests % 30 == 29:
        cloud.sqs.delete_queue(QueueUrl=cloud.queues["records"])
        cloud.sqs.create_queue(QueueName="records")
    if router is None:
        return cloud.route(body)
    found = serve("route", cloud.event("/v1/route", body), router.answer)
    return found["statusCode"], json.loads(found["body"])


def spend_all(cloud, most=400):
    """Expected costs of the calls that were served until one was denied."""
    costs = []
    for _ in range(most):
        status, reply = asked(cloud)
        if status != 200:
            assert (status, reply["error"]["code"]) == (429, "budget_denied")
            return costs
        costs.append(reply["expected_cost_nanodollars"])
        cloud.now += 20
    raise AssertionError("nothing was denied")


def test_a_budget_stops_spending_within_one_call(budgeted):
    cloud = budgeted("budget org labs $0.50/day")
    costs = spend_all(cloud)
    assert 500_000_000 <= sum(costs) < 500_000_000 + max(costs)
    assert cloud.route()[1]["error"]["budget"] == {
        "state": "deny", "scope": "org", "name": "labs", "limit": 500_000_000, "unit": "nanodollars", "period": "day"
    }  # fmt: skip


def test_whom_a_budget_does_not_cover_it_does_not_stop(budgeted, wanted):
    cloud = budgeted("budget org labs $0.01/day")
    spend_all(cloud)
    assert cloud.route(wanted(org="growth"))[0] == 200


def test_environments_that_come_and_go_together_stay_within_a_call_each(budgeted, environments, wanted):
    cloud = budgeted("budget org labs $0.50/day")
    alive, spent, dearest, refused = environments(3), 0, 0, 0
    for number in range(500):
        if number % 50 == 49:
            alive[number % 3] = environments(1)[0]
        status, reply = asked(cloud, alive[number % 3], wanted())
        cloud.now += 20
        if status == 200:
            spent += reply["expected_cost_nanodollars"]
            dearest = max(dearest, reply["expected_cost_nanodollars"])
        else:
            refused += 1
    assert refused > 100
    assert 400_000_000 < spent <= 500_000_000 + 3 * dearest


def test_a_new_day_is_a_new_budget_and_the_old_one_is_dropped(budgeted):
    cloud = budgeted("budget org labs $0.01/day")
    spend_all(cloud)
    for _ in range(3):
        cloud.now += DAY
        assert cloud.route()[0] == 200
        spend_all(cloud)
    today = LABS.period_at(cloud.now)
    assert set(cloud.ledger.accounts("acme")) == {f"{LABS.text}@{day}" for day in (today - 1, today)}


def test_tokens_are_counted_like_money(budgeted):
    cloud = budgeted("budget tenant 5_000 tokens/day")
    assert len(spend_all(cloud)) == 4


def test_telemetry_puts_right_what_was_expected_and_the_total_is_exact(budgeted, report):
    cloud = budgeted("budget org labs $0.50/day", "budget tenant 900_000 tokens/month")
    replies = [cloud.route()[1] for _ in range(30)]
    told = [report(reply, input_tokens=100, output_tokens=10) for reply in replies[:20]]
    told += [report(reply, "timeout", input_tokens=None, output_tokens=None) for reply in replies[20:25]]
    told += [report(reply, input_tokens=50, output_tokens=5, hop=1) for reply in replies[20:25]]
    cloud.ingest([{name: value for name, value in each.items() if value is not None} for each in told])
    messages = cloud.take("telemetry")
    for _ in range(2):
        assert cloud.learn(messages) == []
    cloud.record()
    settled = cloud.statistics.settled("acme", cloud.now)
    expected = [reply["expected_cost_nanodollars"] for reply in replies]
    paid = sum(found.get("cost_nanodollars", 0) for found in cloud.outcomes().values())
    assert sum(expected) + settled[LABS.key(cloud.now)] == paid + sum(expected[25:])
    tokens = Account("tenant", None, "tokens", "month").key(cloud.now)
    assert 1_250 * 25 + settled[tokens] == 20 * 110 + 5 * 55


def test_what_telemetry_gives_back_is_there_to_spend_after_the_next_snapshot(budgeted, report):
    cloud = budgeted("budget org labs $0.10/day")
    replies = []
    while (answer := asked(cloud))[0] == 200:
        replies.append(answer[1])
    cloud.ingest([report(reply, input_tokens=500, output_tokens=100) for reply in replies])
    cloud.learn(cloud.take("telemetry"))
    cloud.now += 60_000
    cloud.watch()
    given_back = -cloud.statistics.settled("acme", cloud.now)[LABS.key(cloud.now)]
    assert given_back > 40_000_000
    costs = spend_all(cloud)
    assert given_back - 2 * max(costs) < sum(costs) < given_back + max(costs)


def test_readings_are_in_the_receipt_and_replay(budgeted):
    cloud = budgeted("budget org labs $0.50/day warn 1% then tier small")
    for _ in range(5):
        cloud.route()
    published = cloud.state.current("acme").policies
    policies = {fingerprint: (each.policy, each.lines) for fingerprint, each in published.items()}
    lines = [message["body"].split("\n")[1] for message in cloud.take("records")]
    assert [replay(line, policies) for line in lines if not replay(line, policies).equal] == []
    used = [json.loads(line)["receipt"]["circumstances"]["budgets"][0][4] for line in lines]
    assert used[0] == 0
    assert used == sorted(used)
    assert used[-1] > 5_000_000


def test_a_strained_budget_degrades_and_two_degrade_to_the_cheaper_tier(budgeted):
    cloud = budgeted(
        "budget org labs $0.10/day warn 20% then tier small",
        "budget tenant $0.10/day warn 40% then tier tiny",
    )
    arms = []
    for _ in range(60):
        status, reply = cloud.route()
        arms.append(reply["arm"].rpartition("/")[2] if status == 200 else status)
    assert list(Counter(arms)) == ["claude-sonnet-4-5", "gpt-5-mini", "gpt-5-nano"]
    assert reply["budget"]["tiers"].keys() == {"small", "tiny"}
    published = cloud.state.current("acme").policies
    policies = {fingerprint: (each.policy, each.lines) for fingerprint, each in published.items()}
    lines = [message["body"].split("\n")[1] for message in cloud.take("records")]
    assert all(replay(line, policies).equal for line in lines)


def test_a_budget_that_only_warns_is_charged_beyond_its_limit(budgeted):
    cloud = budgeted("budget org labs $0.01/day at limit warn")
    spent = 0
    for _ in range(20):
        status, reply = asked(cloud)
        assert status == 200
        spent += reply["expected_cost_nanodollars"]
        cloud.now += 2_000
    assert reply["budget"]["state"] == "warn"
    assert spent > 20_000_000
    cloud.now += 31_000
    cloud.route()
    assert cloud.ledger.accounts("acme")[LABS.key(cloud.now)] >= spent


@pytest.mark.parametrize(("rule", "status"), [("", 200), (" when unreachable closed", 429)])
def test_without_a_ledger_the_policy_says_which_way_it_fails(budgeted, failing, rule, status):
    cloud = budgeted(f"budget org labs $0.50/day{rule}")
    cloud.faults.append(failing("dynamodb.UpdateItem"))
    assert cloud.route()[0] == status


def test_an_environment_spends_what_it_holds_while_the_ledger_is_down_and_then_fails_as_told(budgeted, failing):
    cloud = budgeted("budget org labs $40/day when unreachable closed")
    for _ in range(40):
        assert asked(cloud)[0] == 200
    cloud.faults.append(failing("dynamodb.UpdateItem"))
    cloud.calls.clear()
    served = [asked(cloud)[0] for _ in range(300)]
    kept = served.index(429)
    assert kept > 0
    assert set(served[kept:]) == {429}
    assert cloud.calls.count("dynamodb.UpdateItem") <= 2
    cloud.faults.clear()
    cloud.now += 2_001
    assert cloud.route()[0] == 200


def test_a_lease_is_no_evidence_after_five_minutes(budgeted, failing):
    cloud = budgeted("budget org labs $40/day when unreachable closed")
    for _ in range(40):
        asked(cloud)
    cloud.faults.append(failing("dynamodb.UpdateItem"))
    cloud.now += 200_000
    assert cloud.route()[0] == 200
    cloud.now += 120_000
    assert cloud.route()[0] == 429


def test_a_lost_reply_of_the_ledger_strands_a_slice_and_grants_nothing_twice(budgeted, failing):
    cloud = budgeted("budget org labs $0.50/day")
    cloud.lost.append(failing("dynamodb.UpdateItem", after=1, times=1))
    costs = []
    for _ in range(200):
        status, reply = asked(cloud)
        costs += [reply["expected_cost_nanodollars"]] if status == 200 else []
        cloud.now += 500
    assert 450_000_000 < sum(costs) < 500_000_000 + 2 * max(costs)


def test_budgets_cost_a_call_when_a_lease_is_low_and_none_else(budgeted):
    cloud = budgeted("budget org labs $4000/day", "budget tenant 90_000_000 tokens/month")
    for _ in range(100):
        asked(cloud)
        cloud.now += 400
    cloud.calls.clear()
    for _ in range(150):
        asked(cloud)
        cloud.now += 400
    calls = Counter(call for call in cloud.calls if not call.endswith("eQueue"))
    assert calls["sqs.SendMessage"] == 150
    assert calls["dynamodb.UpdateItem"] <= 6  # twice in half a minute, in either part of the ledger
    assert calls.total() <= 150 + 6 + 4  # the state is looked at every 15 s


def test_exploration_money_is_one_for_all_environments_and_ends_with_the_day(cloud, environments, wanted, policy_text):
    cloud.publish(policy_text.replace("$2/day", "$0.05/day"))
    alive, explored = environments(2), []
    for number in range(300):
        if number % 100 == 99:
            alive[number % 2] = environments(1)[0]
        reply = asked(cloud, alive[number % 2], wanted())[1]
        if reply["explored"]:
            explored.append(reply["expected_cost_nanodollars"])
        cloud.now += 50
    assert 40_000_000 < sum(explored) <= 50_000_000 + 2 * max(explored)
    cloud.now += DAY
    assert any(asked(cloud, alive[0], wanted())[1]["explored"] for _ in range(30))


def test_a_route_of_the_same_name_in_another_policy_has_exploration_money_of_its_own(cloud, wanted, policy_text):
    text = policy_text.replace("$2/day", "$0.02/day")
    for name in ("acme/one", "acme/two"):
        assert cloud.publish(text.replace("acme/support", name), name)[0] == 200
    took = {}
    for name in ("acme/one", "acme/two"):
        replies = [asked(cloud, body=wanted(policy=name))[1] for _ in range(150)]
        took[name] = sum(reply["expected_cost_nanodollars"] for reply in replies if reply["explored"])
        assert not any(reply["explored"] for reply in replies[100:])
    assert all(20_000_000 <= money < 40_000_000 for money in took.values()), took
    cloud.watch()
    told = cloud.state.current("acme").snapshot.spent_nanodollars
    # The ledger hears of the last calls with the next renewal.
    assert told == {f"{name}/labelling": pytest.approx(money, rel=0.15) for name, money in took.items()}


def test_what_exploration_took_is_told_to_those_who_have_no_ledger(cloud, report):
    replies = [cloud.route()[1] for _ in range(40)]
    cloud.ingest([report(reply) for reply in replies])
    cloud.learn(cloud.take("telemetry"))
    cloud.record()
    cloud.watch()
    told = cloud.state.current("acme").snapshot.spent_nanodollars["acme/support/labelling"]
    ids = {reply["decision_id"] for reply in replies if reply["explored"]}
    paid = sum(each["cost_nanodollars"] for each in cloud.outcomes().values() if each["decision_id"] in ids)
    held = cloud.ledger.accounts("acme")[exploration("acme/support", "labelling").key(cloud.now)] - sum(
        reply["expected_cost_nanodollars"] for reply in replies if reply["explored"]
    )
    assert told == paid + held


def test_an_unreachable_ledger_ends_exploration_on_money(cloud, failing):
    cloud.faults.append(failing("dynamodb.UpdateItem"))
    assert not any(cloud.route()[1]["explored"] for _ in range(30))


def test_tenants_in_turn_ask_the_ledger_once_each_and_strand_nothing(bare):
    bare.calls.clear()
    leases, limit = Leases(bare.ledger), 10**10
    key, held = LABS.key(bare.now), [Allowance(LABS, limit)]
    tenants = [f"tenant-{number}" for number in range(150)]
    for tenant in 3 * tenants:
        leases.readings(tenant, held, {}, bare.now)
        leases.charge(tenant, [(key, 1_000)])
    assert Counter(bare.calls) == {"dynamodb.UpdateItem": 150}
    (first,) = leases.readings(tenants[0], held, {}, bare.now)
    assert first.used == 3_000


@pytest.fixture
def made_up(cloud, wanted):
    """An inline request whose budget has a name of the caller's."""

    def build(name):
        source = POLICY + f"budget org {name} $40/day"
        inline = ir_document(compile_policy(source, default_catalog()).policy)
        return wanted(policy=None, ir=inline, org=name)

    return build


def beside(name, number):
    """So many other names of orgs whose accounts lie in the same part of the ledger."""
    part = accounts_part(f"org:{name}:$/day")
    found = (f"o{n}" for n in range(100_000) if accounts_part(f"org:o{n}:$/day") == part)
    return [next(found) for _ in range(number)]


def test_names_made_up_by_inline_policies_leave_room_for_published_budgets(budgeted, wanted, environments, made_up):
    *others, published = beside("invented", INLINE_ACCOUNTS + 1)
    cloud = budgeted(f"budget org {published} $40/day when unreachable closed")
    part = accounts_part("org:invented:$/day")
    for start in range(0, INLINE_ACCOUNTS, 50):  # moto parses longer expressions by ever deeper recursion
        keys = {f"org:{name}:$/day@{LABS.period_at(cloud.now)}": 1 for name in others[start : start + 50]}
        cloud.ledger.add("acme", part, keys, (), cloud.now)
    (router,) = environments(1)
    assert asked(cloud, router, made_up(others[7]))[0] == 200  # the first renewal finds out how many there are
    before = cloud.ledger.accounts("acme")
    status, reply = asked(cloud, router, made_up("invented"))
    assert (status, reply["error"]["code"]) == (429, "too_many_accounts")
    assert asked(cloud, router, made_up(others[8]))[0] == 200
    assert cloud.ledger.accounts("acme").keys() == before.keys()
    assert asked(cloud, router, wanted(org=published))[0] == 200
    assert asked(cloud, router, made_up("elsewhere"))[0] == 200
    cloud.now += 2 * DAY
    assert asked(cloud, router, made_up("invented"))[0] == 200


def alive(kind):
    gc.collect()
    return sum(isinstance(each, kind) for each in gc.get_objects())


def test_while_the_ledger_is_down_made_up_names_take_no_more_memory_than_it_would(bare, failing, monkeypatch):
    monkeypatch.setattr("functions.route.leases._HELD_LEASES", 50)
    bare.faults.append(failing("dynamodb.UpdateItem"))
    leases, before = Leases(bare.ledger), alive(Lease)
    for number in range(300):
        (reading,) = leases.readings("acme", [Allowance(LABS._replace(name=f"org-{number}"), 10**10)], {}, bare.now)
        assert reading.used is None
    assert 0 < alive(Lease) - before <= 50


def test_what_is_renewed_is_billed_by_its_part_of_the_ledger(budgeted, wanted):
    """An update bills its whole item, so accounts of other orgs do not lie with it."""
    orgs = [f"department-{number}" for number in range(60)]
    cloud = budgeted("budget tenant $4000/month", *(f"budget org {org} $40/day" for org in orgs))
    for org in orgs:
        assert asked(cloud, body=wanted(org=org))[0] == 200
    sizes = [item_bytes(item) for item in cloud.items("ledger")]
    assert sum(sizes) > 2 * 1024
    assert max(sizes) < 512
    assert cloud.ledger.accounts("acme").keys() == {
        *(f"org:{org}:$/day@{LABS.period_at(cloud.now)}" for org in orgs),
        Account("tenant", None, "nanodollars", "month").key(cloud.now),
    }


def test_a_request_renews_at_most_two_parts_of_the_ledger_that_could_wait(budgeted, wanted):
    cloud = budgeted(
        *(f"budget {scope} labs $4000/day" for scope in ("org", "team", "product")), "budget tenant $9000/day"
    )
    body = wanted(team="labs", product="labs")
    asked(cloud, body=body)
    assert cloud.calls.count("dynamodb.UpdateItem") == 4
    renewed = []
    for _ in range(4):
        cloud.now += 29_000
        cloud.calls.clear()
        asked(cloud, body=body)
        renewed.append(cloud.calls.count("dynamodb.UpdateItem"))
    assert renewed[0] <= 2
    assert max(renewed) == 2
    assert sum(renewed) >= 6


def test_a_tenant_that_asks_too_often_waits_for_the_next_minute(bare, environments, wanted):
    bare.registry.enrol("acme", limits=Limits(requests_per_minute=50))
    bare.publish(POLICY)
    bare.watch()
    alive = environments(2)
    bare.now -= bare.now % 60_000
    answers = []
    for number in range(200):
        answers.append(asked(bare, alive[number % 2], wanted()))
        bare.now += 100
    assert 40 <= sum(status == 200 for status, _ in answers) <= 50
    status, reply = answers[-1]
    assert (status, reply["error"]["code"], reply["error"]["retry_after_s"]) == (429, "too_many_requests", 41)
    assert "may ask 50 times a minute" in reply["error"]["message"]
    bare.now += 41_000
    assert asked(bare, alive[0], wanted())[0] == 200


@pytest.fixture
def inline(wanted):
    """An inline request without a budget of its own, under a name of its own."""
    source = POLICY.replace("acme/support", "made/up")
    return wanted(policy=None, ir=ir_document(compile_policy(source, default_catalog()).policy))


def test_policies_that_come_with_calls_spend_what_their_tenant_lets_them(bare, environments, wanted, inline, report):
    bare.registry.enrol("acme", limits=Limits(inline_dollars_per_day=1))
    bare.publish(POLICY)
    bare.watch()
    alive, replies, dearest = environments(2), [], 0
    for number in range(400):
        status, reply = asked(bare, alive[number % 2], inline)
        if status != 200:
            break
        replies.append(reply)
        bare.now += 20
    dearest = max(reply["expected_cost_nanodollars"] for reply in replies)
    spent = sum(reply["expected_cost_nanodollars"] for reply in replies)
    assert 900_000_000 < spent < 1_000_000_000 + 2 * dearest
    assert (status, reply["error"]["code"]) == (429, "inline_used_up")
    assert "may spend $1 a day and have" in reply["error"]["message"]
    assert asked(bare, alive[0], wanted())[0] == 200
    bare.ingest([report(each, input_tokens=10, output_tokens=1) for each in replies[:200]])
    bare.learn(bare.take("telemetry"))
    bare.watch()
    bare.now += 31_000
    assert asked(bare, environments(1)[0], inline)[0] == 200
    bare.now += DAY
    assert asked(bare, alive[1], inline)[0] == 200


def test_inline_policies_count_among_the_requests_of_their_tenant(bare, inline):
    bare.registry.enrol("acme", limits=Limits(requests_per_minute=3))
    bare.publish(POLICY)
    bare.watch()
    bare.now -= bare.now % 60_000
    assert [asked(bare, body=inline)[0] for _ in range(5)] == [200, 200, 200, 429, 429]


def test_what_the_tenant_limits_of_inline_policies_replays(bare, inline):
    bare.registry.enrol("acme", limits=Limits(inline_dollars_per_day=1))
    bare.watch()
    for _ in range(3):
        assert bare.route(inline)[0] == 200
    lines = [message["body"].split("\n")[1] for message in bare.take("records")]
    readings = [json.loads(line)["receipt"]["circumstances"]["budgets"] for line in lines]
    assert [reading[0][:4] for reading in readings] == [["inline", None, "day", "nanodollars"]] * 3
    assert readings[2][0][4] > 0
    assert all(replay(line, {}).equal for line in lines)


def test_a_tenant_publishes_as_many_names_as_it_may(bare):
    bare.registry.enrol("acme", limits=Limits(policies=2))
    assert bare.publish(POLICY)[0] == 200
    assert bare.publish(POLICY.replace("acme/support", "acme/two"), "acme/two")[0] == 200
    third = POLICY.replace("acme/support", "acme/three")
    status, reply = bare.publish(third, "acme/three")
    assert (status, reply["error"]["code"]) == (409, "too_many_policies")
    assert "may publish 2" in reply["error"]["message"]
    assert bare.publish({"source": third, "dry_run": True}, "acme/three")[0] == 409
    assert bare.publish(POLICY.replace("large  pick", "small  pick"))[0] == 200


def test_shapes_beyond_the_cap_share_the_cell_of_their_task(bare, wanted, report):
    bare.registry.enrol("acme", limits=Limits(cells=3))
    bare.publish(POLICY)
    shapes = [
        {**wanted()["envelope"], "tools_used": tools, "structure_type": structure}
        for tools in ("0", "1", "2-4")
        for structure in ("prose", "code", "json")
    ]
    for each in (shapes[:3], shapes):
        replies = [bare.route(wanted(envelope=shape))[1] for shape in each]
        bare.ingest([report(reply) for reply in replies])
        bare.learn(bare.take("telemetry"))
        bare.now += 60_000
        bare.watch()
    counts = Counter(row.cluster for row in bare.statistics.cells("acme"))
    rows = {row.cluster: row.sums["c"] for row in bare.statistics.cells("acme")}
    assert len(counts) == 4
    assert sorted(rows.values()) == [2, 2, 2, 6]


def test_a_budget_ahead_of_its_day_is_paced_from_the_next_snapshot_on(budgeted):
    """It is two in the afternoon, and the day's money is almost gone."""
    cloud = budgeted("budget org labs $0.50/day")
    for _ in range(60):
        asked(cloud)
    assert asked(cloud)[1]["budget"] == {"state": "within"}
    cloud.now += 60_000
    cloud.watch()
    assert cloud.state.current("acme").paces[LABS.text] > 100_000
    cloud.sqs.delete_queue(QueueUrl=cloud.queues["records"])
    cloud.sqs.create_queue(QueueName="records")
    paced = cloud.route()[1]["budget"]["pace_ppm"]
    assert paced % 50_000 == 0
    ((message,),) = (cloud.take("records"),)
    assert json.loads(message["body"].split("\n")[1])["receipt"]["circumstances"]["budgets"][0][5] == paced
    cloud.now += DAY
    cloud.watch()
    assert cloud.state.current("acme").paces == {}
