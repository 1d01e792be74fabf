"""Two tenants of one deployment, in any order, get to the byte what each gets alone."""

from __future__ import annotations

import json
import os

import moto
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from functions.ingest import app as ingest
from functions.publish import app as publish
from functions.route import app as route

EXAMPLES = 150 if os.environ.get("POINTSMAN_SOAK") == "1" else 5
SESSIONS = {
    "acme": "arn:aws:sts::111111111111:assumed-role/acme-app/i-0123",
    "globex": "arn:aws:sts::222222222222:assumed-role/globex-app/i-0123",
}
NAMES = st.sampled_from(["s1", "s2"])
# Both use the same names, keys and sessions: only the credential tells them apart.
OWN_STEPS = st.one_of(
    st.tuples(st.just("publish"), st.sampled_from(["", "  # again\n", "canary"])),
    st.tuples(st.just("route"), st.fixed_dictionaries({}, optional={"session": NAMES, "idempotency_key": NAMES})),
    st.tuples(st.just("tell"), st.tuples(st.integers(0, 9), st.sampled_from(["ok", "wrong", "timeout"]))),
)
SHARED_STEPS = st.tuples(st.just("both"), st.tuples(st.sampled_from(["learn", "record", "watch"]), st.none()))
STEPS = st.lists(st.tuples(st.sampled_from(sorted(SESSIONS)), OWN_STEPS) | SHARED_STEPS, min_size=4, max_size=16)


class Run:
    """One deployment working off a script; `who`: the tenants that take part. Steps keep their time in any company."""

    def __init__(self, cloud, who, wanted, report, policy_text):
        self.cloud, self.who = cloud, who
        self.wanted, self.report, self.policy_text = wanted, report, policy_text
        self.answers = {tenant: [] for tenant in who}
        self.decided = {tenant: [] for tenant in who}
        self.opened = cloud.now

    def play(self, script):
        # They publish different texts, and decide and report at least once.
        opening = [("acme", ("publish", "")), ("globex", ("publish", "canary"))]
        opening += [(tenant, step) for step in (("route", {}), ("tell", (0, "ok"))) for tenant in SESSIONS]
        for position, (tenant, (step, detail)) in enumerate([*opening, *script]):
            self.cloud.now = self.opened + 7_000 * position
            if tenant == "both":
                self.work(step)
            elif tenant in self.who:
                getattr(self, step)(tenant, f"{tenant}-{position}", detail)
        for step in ("learn", "record", "watch"):
            self.work(step)
        return self

    def publish(self, tenant, request_id, change):
        text = self.policy_text if change == "canary" else self.policy_text + change
        text = text.replace("explore at most 20%", "explore at most 10%") if change == "canary" else text
        self.call(publish.handler, tenant, request_id, "/v1/policies/acme/support", {"source": text})

    def route(self, tenant, request_id, fields):
        status, text = self.call(route.handler, tenant, request_id, "/v1/route", self.wanted(**fields))
        if status == 200:
            self.decided[tenant].append(json.loads(text))

    def tell(self, tenant, request_id, detail):
        (which, outcome), decided = detail, self.decided[tenant]
        if decided:
            records = [self.report(decided[which % len(decided)], outcome)]
            self.call(ingest.handler, tenant, request_id, "/v1/telemetry", {"records": records})

    def work(self, step):
        match step:
            case "learn":
                assert self.cloud.learn(self.cloud.take("telemetry")) == []
            case "record":
                assert self.cloud.record() == []
            case "watch":
                self.cloud.watch()

    def call(self, handler, tenant, request_id, path, body):
        event = self.cloud.event(path, body, principal=SESSIONS[tenant])
        event["requestContext"]["requestId"] = request_id
        found = handler(event, None)
        self.answers[tenant].append((found["statusCode"], found["body"]))
        return self.answers[tenant][-1]

    def left(self, tenant):
        """All that a tenant was told and all that is kept of it."""
        cloud = self.cloud
        kept = {
            "answers": self.answers[tenant],
            "receipts": sorted(set(cloud.filed("receipts", tenant))),
            "outcomes": sorted(set(cloud.filed("outcomes", tenant))),
            "objects": [
                (key, cloud.s3.get_object(Bucket="state-bucket", Key=key)["Body"].read())
                for key in cloud.keys("state-bucket")
                if tenant in key.split("/")
            ],
        }
        for table in ("state", "statistics", "ledger"):
            items = [
                item for item in cloud.items(table) if item["pk"]["S"].removeprefix("tenant#").split("#")[0] == tenant
            ]
            kept[table] = sorted(map(repr, (sorted(item.items()) for item in items)))
        return kept


@pytest.fixture
def played(wire, monkeypatch, deployed, wanted, report, policy_text):
    """What a script leaves with one tenant, or with both, in a deployment of its own."""

    def play(script, *who):
        with moto.mock_aws():
            cloud = deployed(wire, monkeypatch)
            run = Run(cloud, who, wanted, report, policy_text).play(script)
            found = {tenant: run.left(tenant) for tenant in who}
            cloud.restart()
        return found

    return play


def test_in_any_interleaving_each_tenant_gets_what_it_gets_alone(played):
    seen = {"answers": 0, "receipts": 0, "outcomes": 0, "statistics": 0, "ledger": 0}

    # A script is short enough to read; to shrink one takes minutes, each step of it two deployments and more.
    @settings(max_examples=EXAMPLES, phases=[Phase.explicit, Phase.reuse, Phase.generate])
    @given(STEPS)
    def same(script):
        together = played(script, *SESSIONS)
        for tenant in SESSIONS:
            alone = played(script, tenant)[tenant]
            for what, found in alone.items():
                assert together[tenant][what] == found, what
            for what in seen:
                seen[what] += len(alone[what])

    same()
    assert min(seen.values()) > 0, seen
