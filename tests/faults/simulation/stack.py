"""The functions and tables of the template on moto, afresh in this process: `Wire` to AWS, `Box`es between them."""

from __future__ import annotations

import random
from contextlib import ExitStack
from importlib import import_module
from pathlib import Path

import moto
from botocore.loaders import Loader
from simulation.boxes import Box
from simulation.case import Case
from simulation.wire import Wire

from policy_cli.deployment import Deployment
from policy_cli.dev.execution import Execution, fresh_functions, lambda_environment
from policy_cli.dev.resources import Resources
from policy_cli.dev.template import REGION, read_template
from policy_cli.dev.transactions import itemwise_transactions

ROOT = Path(__file__).parents[3]
NOW = 1_790_000_000_000
# Reading the models of the services takes longer than a case: all sessions share what one has read.
LOADER = Loader()
# The queues, and who works them off.
BOXES = {"telemetry": "LearnFunction", "records": "RecordFunction"}


class Stack:
    """One deployment; use it with `with`. `mutant`: a place of the source, and what stands there instead."""

    def __init__(self, case: Case, seed: int, mutant: dict[str, str] | None = None) -> None:
        self.case, self.mutant = case, mutant
        self.chance = random.Random(seed)
        self.wire = Wire(random.Random(seed + 1))
        self.now = NOW
        self.asks: list[tuple[str, dict]] = []

    def begin(self) -> Stack:
        self.template = read_template()
        with ExitStack() as started:
            started.enter_context(lambda_environment(verbose=False))
            started.enter_context(moto.mock_aws())
            started.enter_context(itemwise_transactions())
            started.enter_context(fresh_functions())
            self.resources = Resources(self.template)
            if self.mutant:
                _plant(self.mutant)
            self.execution = Execution(self.template, self.resources.variables, self.asked)
            self.functions = {function.name: import_module(function.module) for function in self.template.functions}
            session = import_module("functions.stores.clients")._session()
            session.register_component("data_loader", LOADER)
            self.wire.attach(session)
            self.deployment = Deployment("pointsman", REGION)
            self._boxed()
            self.onboard()
            self._exit = started.pop_all()
        return self

    def asked(self, function: str, event: dict) -> None:
        """An event that a function handed to another one without waiting for it."""
        self.asks.append((function, event))

    def onboard(self) -> None:
        """Whoever uses the stack makes itself known to it."""

    def end(self) -> None:
        self._exit.close()

    def __enter__(self) -> Stack:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def restart(self) -> None:
        """Cold environments: whatever the functions held is gone."""
        for module in self.functions.values():
            for held in vars(module).values():
                if hasattr(held, "cache_clear") and held.__module__ == module.__name__:
                    held.cache_clear()

    def _boxed(self) -> None:
        queues = self.template.document["Resources"]
        self.most_receives = {
            queue: queues[f"{queue.capitalize()}Queue"]["Properties"]["RedrivePolicy"]["maxReceiveCount"]
            for queue in BOXES
        }
        self.boxes = {queue: Box(queue, self.chance, self.case.copies, self.case.shuffled) for queue in BOXES}
        self.wire.boxes = {self.resources.name(f"{queue.capitalize()}Queue"): box for queue, box in self.boxes.items()}


def _plant(mutant: dict[str, str]) -> None:
    """Replace the one place that the mutant names, in this process's copy of the module alone."""
    path = ROOT / mutant["file"]
    text = path.read_text()
    was, instead = (mutant[key].strip("\n") for key in ("was", "is"))
    assert text.count(was) == 1, f"{mutant['file']} does not hold once: {was}"
    module = import_module(mutant["file"].removesuffix(".py").replace("/", "."))
    exec(compile(text.replace(was, instead), str(path), "exec"), vars(module))
