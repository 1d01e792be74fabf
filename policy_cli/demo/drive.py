"""The loop of a demo: ask over HTTP, follow the plan in the world, report every hop, now and then work off queues."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Event

from policy_cli.demo.audit import Ledger
from policy_cli.demo.calls import Call, Scenario
from policy_cli.demo.live import Screen
from policy_cli.demo.onboarding import hmac_credentials, onboard, sigv4_credentials
from policy_cli.demo.summary import Hop, Served
from policy_cli.dev.clocks import VirtualClock
from policy_cli.dev.stack import LocalStack
from policy_client import Client, Credentials, RouteError, RouteReply
from policy_lang.vocabulary import OUTCOMES

__all__ = ["Drive", "connected"]

# Receipts and reports that may wait for `record` and `learn`: moto's queues get slow with every message.
_BATCH = 25
_NEVER = 1e9


@dataclass(slots=True)
class Drive:
    """What was decided, and what was reported of it. `before_pumping`: an accident, staged once."""

    stack: LocalStack
    clock: VirtualClock
    scenario: Scenario
    clients: Mapping[str, Client]
    served: list[Served] = field(default_factory=list)
    reported: list[tuple[str, int]] = field(default_factory=list)
    before_pumping: Callable[[LocalStack], None] | None = None

    def run(self, *, snapshot_every: int, stop: Event, screen: Screen) -> None:
        """Decide call after call until the last, or until `stop`; then work off every queue."""
        for call in self.scenario.calls:
            if stop.is_set():
                break
            self.clock.set(call.at_ms)
            reply = self._asked(call)
            screen.decided(call, reply)
            decided = len(self.served)
            due = decided % snapshot_every == 0
            if due or decided % _BATCH == 0:
                self._delivered()
            if due:
                self.stack.run_schedules()
        self._delivered()

    def ledger(self) -> Ledger:
        stats = [client.stats() for client in self.clients.values()]
        return Ledger(
            decisions=[item.decision_id for item in self.served],
            reported=self.reported,
            accepted=sum(each.accepted for each in stats),
            undelivered=sum(each.refused + each.dropped + each.invalid + each.pending for each in stats),
            last_error=next((each.last_error for each in stats if each.last_error), None),
        )

    def _asked(self, call: Call) -> RouteReply | None:
        client = self.clients[call.tenant]
        try:
            reply = client.route(envelope=call.envelope, policy=call.policy, org=call.org)
        except RouteError as refused:
            if refused.code != "no_candidates":
                raise
            self.served.append(Served(call, refused.detail["decision_id"]))
            return None
        hops = tuple(self._followed(call, reply))
        for number, hop in enumerate(hops):
            self._reported(client, reply, number, hop)
        self.served.append(
            Served(call, reply.decision_id, reply.arm, reply.model, reply.baseline_arm, reply.explored, hops)
        )
        return reply

    def _followed(self, call: Call, reply: RouteReply) -> Iterator[Hop]:
        """Down the plan until a model answers; a provider's fault is no answer."""
        for step in reply.plan:
            hop = Hop(step.arm, self.scenario.world.result(call, step.arm))
            yield hop
            if OUTCOMES[hop.result.outcome] != "provider":
                return

    def _reported(self, client: Client, reply: RouteReply, number: int, hop: Hop) -> None:
        result = hop.result
        client.telemetry(
            reply,
            hop=number,
            outcome=result.outcome,
            input_tokens=result.input_tokens,
            output_tokens=result.output_tokens,
            latency_ms=result.latency_ms,
            ttft_ms=result.ttft_ms,
            quality=result.quality if result.graded else None,
        )
        self.reported.append((reply.decision_id, number))

    def _delivered(self) -> None:
        for client in self.clients.values():
            client.flush(60.0)
        if self.before_pumping is not None and self.served:
            self.before_pumping(self.stack)
            self.before_pumping = None
        self.stack.pump()


@contextmanager
def connected(stack: LocalStack, clock: VirtualClock, scenario: Scenario) -> Iterator[Drive]:
    """Everybody enrolled and published, and a client for each tenant: HMAC and SigV4 in turn."""
    clients: dict[str, Client] = {}
    try:
        for place, tenant in enumerate(onboard(stack, scenario.policies, scenario.overlay)):
            credentials = sigv4_credentials(tenant) if place % 2 else hmac_credentials(tenant)
            clients[tenant.name] = _client(stack, clock, credentials)
        yield Drive(stack, clock, scenario, clients)
    finally:
        for client in clients.values():
            client.close()


def _client(stack: LocalStack, clock: VirtualClock, credentials: Credentials) -> Client:
    # Batches leave when the loop says so and not when they are old: a run must not hang on how fast it went.
    return Client(stack.url, credentials, clock=clock, batch_age=_NEVER, batch_size=500, read_timeout=60.0)
