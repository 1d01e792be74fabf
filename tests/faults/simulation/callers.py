"""Two tenants that ask and report: what they send, what they are told, and what the books must therefore hold."""

from __future__ import annotations

import json
from collections import Counter
from hashlib import sha256
from importlib import import_module

from simulation.case import Case
from simulation.stack import Stack

from policy_cli.dev.events import ACCOUNT, HttpRequest, url_event
from policy_engine.decision import decision_id_for
from policy_engine.packing import WIDEST, packed

TENANTS = ("acme", "globex")

POLICY = """policy "acme/support" language 1

tasks label, chat
tier small = [claude-haiku-4-5, gpt-5-mini]
tier large = [claude-sonnet-4-5]

forbid "the org is frozen" when org == frozen

route labelling when task == label {
  use small, large
  floor success >= 90% proven 90%
  until proven serve claude-sonnet-4-5
  pick cheapest
  explore at most 20%, 40% while unproven, $2/day
}
default route general { use small  pick cheapest }
fallback claude-haiku-4-5
baseline claude-sonnet-4-5
"""


class Callers(Stack):
    """`events` counts what the functions were called with: requests, messages delivered, schedules."""

    def __init__(self, case: Case, seed: int, mutant: dict[str, str] | None = None) -> None:
        super().__init__(case, seed, mutant)
        self.requests, self.events = 0, 0
        self.replies: dict[str, list[dict]] = {tenant: [] for tenant in TENANTS}
        self.unanswered: set[str] = set()
        self.decided: dict[str, set[str]] = {tenant: set() for tenant in TENANTS}
        self.accepted: dict[str, set[str]] = {tenant: set() for tenant in TENANTS}
        self.unacknowledged: set[str] = set()
        self.reports: dict[str, list[dict]] = {tenant: [] for tenant in TENANTS}
        self.untold: dict[str, list[dict]] = {tenant: [] for tenant in TENANTS}
        self.held_back: list[tuple[str, dict]] = []
        self.carried: dict[str, list[str]] = {tenant: [] for tenant in TENANTS}
        self.statuses: Counter[int] = Counter()
        self.waits: list[float] = []

    def onboard(self) -> None:
        registry = import_module("functions.stores.registry").Registry(
            self.resources.client("dynamodb"), self.resources.name("StateTable")
        )
        for tenant in TENANTS:
            registry.enrol(tenant, principals=[_principal(tenant)])
            self.publish(POLICY, tenant)

    def ask(self, tenant: str | None = None, router=None, **fields) -> tuple[int, dict]:
        tenant = tenant or self.chance.choice(TENANTS)
        org = "frozen" if self.chance.random() < 0.03 else "labs"
        wanted = {"policy": "acme/support", "org": org, "envelope": self._envelope(), **fields}
        if self.case.carry:
            wanted["carry_receipt"] = True
        before = self.wire.waited_s
        status, reply = self.call("RouteFunction", tenant, "/v1/route", wanted, router)
        self.waits.append(self.wire.waited_s - before)
        self.statuses[status] += 1
        told = reply.get("error", reply)
        if status >= 500:
            self.unanswered |= self.decision_of(tenant)
            return status, reply
        self.decided[tenant].add(told["decision_id"])
        if "receipt" in told:
            self.carried[tenant].append(told["receipt"])
        if status == 200:
            self.replies[tenant].append(reply)
            for report in self._reports(reply):
                if self.chance.random() < self.case.late:
                    self.held_back.append((tenant, report))
                else:
                    self.reports[tenant].append(report)
        return status, reply

    def tell(self, tenant: str | None = None) -> None:
        tenant = tenant or self.chance.choice(TENANTS)
        waiting = self.reports[tenant]
        if self.case.shuffled:
            self.chance.shuffle(waiting)
        if self.untold[tenant] and self.chance.random() < 0.5:
            body = self.untold[tenant].pop(0)
        elif waiting:
            most = self.chance.randint(1, 8)
            body = {"records": waiting[:most]}
            self.reports[tenant] = waiting[most:]
            if self.chance.random() < 0.5:
                body["idempotency_key"] = f"batch-{self.requests}"
        else:
            return
        status, _ = self.call("IngestFunction", tenant, "/v1/telemetry", body)
        ids = {f"{self._batch(tenant, body)}:{position}" for position in range(len(body["records"]))}
        if status == 202:
            self.accepted[tenant] |= ids
        else:
            assert status == 503, status
            self.unacknowledged |= ids
            if "idempotency_key" in body:
                self.untold[tenant].append(body)
            else:
                self.reports[tenant] += body["records"]

    def call(self, function: str, tenant: str, path: str, body: dict, answer=None) -> tuple[int, dict]:
        """Status and reply. `answer`: of one environment among several, else the process's own."""
        event = self.event(tenant, path, body)
        if answer is not None:
            found = self.functions[function].serve("route", event, answer)
        else:
            found = self.execution.call(function, event, f"request-{self.requests}")
        return found["statusCode"], json.loads(found["body"])

    def event(self, tenant: str, path: str, body: dict) -> dict:
        """A signed request as its Function URL delivers it."""
        self.requests += 1
        self.events += 1
        headers = {"content-type": "application/json"}
        request = HttpRequest("POST", path, "", headers, json.dumps(body).encode(), iam={"userArn": _principal(tenant)})
        return url_event(request, self.now, f"request-{self.requests}")

    def decision_of(self, tenant: str) -> set[str]:
        """The id that the latest request's decision has, if it was made, under any state that it may have met."""
        entropy = json.dumps([tenant, f"request-{self.requests}", False]).encode()
        return {packed(decision_id_for(self.now, entropy), packing) for packing in range(WIDEST + 1)}

    def publish(self, source: str, tenant: str = "acme") -> str:
        status, reply = self.call("PublishFunction", tenant, "/v1/policies/acme/support", {"source": source})
        assert status == 200, reply
        return reply["fingerprint"]

    def _batch(self, tenant: str, body: dict) -> str:
        """What the records of a batch are numbered under: its key as `ingest` keeps it, or else its request."""
        key = body.get("idempotency_key")
        return sha256(f"{tenant} {key}".encode()).hexdigest()[:32] if key else f"request-{self.requests}"

    def _envelope(self) -> dict:
        return {
            "task_type": self.chance.choice(("label", "label", "chat")),
            "structure_type": "prose",
            "context_length": self.chance.choice(("short", "long")),
            "tools_used": "0",
            "time_sensitive": False,
            "estimated_tokens": self.chance.choice(("tiny", "small")),
        }

    def _reports(self, reply: dict):
        """What a caller says of a decision: hops of its plan, a grade now or later, now and then twice or forged."""
        for hop, step in enumerate(reply["plan"]):
            fault = self.chance.random() < 0.1
            outcome = "timeout" if fault else self.chance.choices(("ok", "wrong", "cancelled"), (16, 3, 1))[0]
            report = {"token": reply["token"], "hop": hop, "arm": step["arm"], "outcome": outcome}
            report |= {"latency_ms": self.chance.randint(1, 4_000)}
            if not fault:
                report |= {"input_tokens": self.chance.randint(1, 9_000), "output_tokens": self.chance.randint(0, 900)}
                report |= {"cached_read_tokens": self.chance.randint(0, report["input_tokens"])}
            yield report
            if self.chance.random() < 0.2:
                graded = {"token": reply["token"], "hop": hop, "arm": step["arm"]}
                yield graded | {"quality": self.chance.randint(0, 100) / 100}
            if self.chance.random() < 0.05:
                yield report | {"outcome": "ok"}
            if self.chance.random() < 0.02:
                yield report | {"token": report["token"][:-2] + "AA"}
            if not fault:
                return


def _principal(tenant: str) -> str:
    return f"arn:aws:iam::{ACCOUNT}:role/{tenant}-app"
