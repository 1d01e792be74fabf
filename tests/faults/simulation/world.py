"""The seeded scheduler: turn after turn one thing that could happen, in place of AWS; and the books it all ends in."""

from __future__ import annotations

from importlib import import_module

from simulation.callers import TENANTS, Callers
from simulation.case import Case
from simulation.stack import BOXES, NOW

from policy_cli.commands.redrive import redriven
from policy_cli.dev.events import schedule_event
from policy_cli.doctor.reading import Asked, books_of, look_at_queues
from policy_engine.accounting import Witness, balance
from policy_engine.receipt import open_sealed


class World(Callers):
    """One run."""

    def __init__(self, case: Case, seed: int, mutant: dict[str, str] | None = None) -> None:
        super().__init__(case, seed, mutant)
        self.poison: dict[str, set[str]] = {"telemetry": set(), "records": set()}
        self.watched_ms = NOW
        self.redriven = 0

    def run(self, events: int) -> None:
        """Turn after turn, each one thing that could happen at that moment, until there were so many events."""
        self.wire.faults = self.case
        for _ in range(self.case.burst):
            self.ask("acme")
        acts = (self.ask, self.ask, self.tell, self.learn, self.record, self.record, self.pass_time)
        while self.events < events:
            share = self.events / events
            self.wire.down = frozenset(
                service for first, last, services in self.case.outages for service in services if first <= share < last
            )
            if self.chance.random() < self.case.cold:
                self.restart()
            if self.chance.random() < self.case.poison:
                self.slip_in_poison()
            self.chance.choice(acts)()
        self.wire.faults, self.wire.down = Case(), frozenset()

    def settle(self) -> None:
        """After the faults: late reports arrive, callers submit again, dead letters go back, the queues run empty."""
        self.now += 6 * 60_000
        self.reports["acme"] += [report for tenant, report in self.held_back if tenant == "acme"]
        self.reports["globex"] += [report for tenant, report in self.held_back if tenant == "globex"]
        if self.held_back:
            self.now += 26 * 3_600_000
        for tenant in TENANTS:
            while self.reports[tenant] or self.untold[tenant]:
                self.tell(tenant)
            if self.carried[tenant]:
                status, _ = self.call("RouteFunction", tenant, "/v1/receipts", {"receipts": self.carried[tenant]})
                assert status == 202
        for _ in range(3):
            self.watch()
            self._work_off()
            moved = [redriven(self.deployment, queue, self.now, wait_s=0)[0] for queue in BOXES]
            self._requeued()
            self.redriven += sum(map(len, moved))
            if not any(moved):
                break
        self._work_off()

    def learn(self) -> None:
        self.deliver("telemetry")

    def record(self) -> None:
        self.deliver("records")

    def pass_time(self) -> None:
        self.now += self.chance.randint(100, 12_000)
        if self.chance.random() < self.case.jumps:
            self.now += self.chance.choice((-3_600_000, -240_000, 240_000, 3_600_000))
        if abs(self.now - self.watched_ms) >= 150_000:
            self.watch()
        self.look_again()

    def deliver(self, queue: str, most: int = 10) -> None:
        box = self.boxes[queue]
        batch = box.drawn(self.chance.randint(1, most))
        if not batch:
            return
        self.events += len(batch)
        event = {"Records": [{"messageId": each.id, "body": each.body} for each in batch]}
        try:
            answer = self.execution.call(BOXES[queue], event, "delivery")
        except Exception:  # noqa: BLE001 - as in AWS, a function that raises has its batch delivered again
            failed = {each.id for each in batch}
        else:
            failed = {failure["itemIdentifier"] for failure in answer["batchItemFailures"]}
        for message in box.settle(batch, failed, self.most_receives[queue]):
            url = self.resources.name(f"{queue.capitalize()}DeadLetterQueue")
            self.resources.client("sqs").send_message(QueueUrl=url, MessageBody=message.body)

    def watch(self) -> None:
        self.watched_ms = self.now
        self.events += 1
        self._looked("WatchFunction", schedule_event("watch", self.now, "watch"))

    def look_again(self) -> None:
        """What `learn` asked for: in any order, each of it never, once or twice."""
        self.chance.shuffle(self.asks)
        for function, event in self.asks:
            for _ in range(self.chance.randint(0, 2)):
                self.wire.seen["asked for"] += 1
                self._looked(function, event)
        self.asks.clear()

    def _looked(self, function: str, event: dict) -> None:
        try:
            self.execution.call(function, event, "watch")
        except import_module("functions.stores.errors").StoreError:
            self.wire.seen["watch failed"] += 1

    def slip_in_poison(self) -> None:
        queue = self.chance.choice(sorted(self.poison))
        bodies = ["not JSON", "[" * 5_000, '{"records":[]}', '{"at_ms": 1, "kind": "receipt", "tenant": "acme"}\n{}']
        known = [each.body for each in self.boxes[queue].messages if not each.poison]
        bodies += [body[: len(body) // 2] for body in known[:3]]
        body = f"{self.chance.choice(bodies)}{' ' * len(self.poison[queue])}"
        self.poison[queue].add(body)
        self.boxes[queue].put(body, poison=True)

    def _work_off(self) -> None:
        for _ in range(10_000):
            if not any(box.messages for box in self.boxes.values()):
                return
            for queue, box in self.boxes.items():
                if box.messages:
                    self.deliver(queue, most=50)
        raise AssertionError("the queues do not run empty")

    def _requeued(self) -> None:
        """What was redriven into moto's queues goes on in the scheduler's."""
        sqs = self.resources.client("sqs")
        for queue, box in self.boxes.items():
            url = self.resources.name(f"{queue.capitalize()}Queue")
            while found := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
                for message in found:
                    box.put(message["Body"])
                    sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])

    # --- what came of it

    def books(self, tenant: str):
        queues = look_at_queues(self.deployment, queued=False, wait_s=0)
        return books_of(self.deployment, tenant, queues, Asked(markers=True))

    def identities(self):
        """Identity by (tenant, name); nothing may be under way any more."""
        found = {}
        for tenant in TENANTS:
            witness = Witness(self.decided[tenant], self.accepted[tenant], self.unanswered, self.unacknowledged)
            for identity in balance(self.books(tenant), witness):
                found[tenant, identity.name] = identity
        return found

    def broken(self) -> set[str]:
        """Names of the identities that do not hold."""
        return {name for (_, name), identity in self.identities().items() if identity.findings or identity.unchecked}

    def receipts(self, tenant: str) -> dict[str, dict]:
        """Receipts as filed, by decision."""
        files = import_module("functions.stores.records").RecordFiles(
            self.resources.client("s3"), self.resources.name("RecordsBucket")
        )
        opened = [open_sealed(line) for key in files.keys(tenant, "receipts") for line in files.lines(key)]
        return {receipt["circumstances"]["decision_id"]: receipt for receipt in opened}

    def receipts_waiting(self, tenant: str) -> list[dict]:
        """Receipts on their way to be filed, oldest first."""
        found = [
            import_module("functions.stores.messages").unpack_lines(m.body) for m in self.boxes["records"].messages
        ]
        kept = [batch.lines for batch in found if (batch.tenant, batch.kind) == (tenant, "receipt")]
        return [open_sealed(line) for lines in kept for line in lines]

    def full(self) -> int:
        """Items of markers that take no more."""
        table, full = self.resources.name("StatisticsTable"), import_module("functions.stores.markers").FULL
        pages = self.resources.client("dynamodb").get_paginator("scan").paginate(TableName=table)
        return sum("n" in item and int(item["n"]["N"]) >= full for page in pages for item in page["Items"])

    def dead(self, queue: str):
        backlog = import_module("functions.stores.backlog").Backlog(
            self.resources.client("sqs"), self.resources.name(f"{queue.capitalize()}DeadLetterQueue"), wait_s=0
        )
        return backlog.look()
