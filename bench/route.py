"""Time of the route function: the warm handler on in-memory stores, and the cold import in a fresh process.

    python bench/route.py

The handler is the whole of it: event, signature check, parsing, decision, receipt, token, log line, EMF record, reply.
CPU time. Log lines go where the function writes them, to standard output; redirect it to see the table alone on stderr.
"""

from __future__ import annotations

import io
import json
import statistics
import subprocess
import sys
import time
from contextlib import redirect_stdout
from typing import Any

from functions.function_url import serve
from functions.route.app import PATH, Router, RouteStores
from functions.stores.registry import Credential
from functions.stores.state import Pointer
from policy_engine.aliases import alias_of
from policy_engine.decision import Circumstances
from policy_engine.signing import signed_headers
from policy_engine.state import PublishedPolicy, RouteState
from policy_engine.token import SigningKeys
from policy_lang.catalog import default_catalog
from policy_lang.compiler import compile_policy

NOW = 1_790_000_000_000
SECRET = b"s" * 32
REQUESTS = 3_000
POLICY = """
policy "bench/route" language 1
tier eight = [claude-haiku-4-5, claude-sonnet-4-6, gpt-5.4-mini, gpt-5.4-nano, gemini-3.7-flash, nova-lite-eu,
              nova-micro-eu, mistral-large-4]
forbid "no previews" when model.stage == preview
require "price ceiling" model.price_out <= $75/Mtok
default route general {
  use eight
  floor success >= 90% proven 90%
  pick cheapest
  explore at most 5%, 30% while unproven
}
fallback claude-haiku-4-5
"""


class Stores:
    """The stores of `route`, held in memory; the benchmark's policy needs no ledger."""

    def __init__(self, state: RouteState) -> None:
        self.state = state
        self.kept = ""

    def credential(self, _kind: str, _name: str) -> Credential:
        return Credential("bench", True, SECRET)

    def pointer(self, _tenant: str) -> Pointer:
        return Pointer(1, "blob", 0)

    def fetch(self, _tenant: str, _pointer: Pointer) -> RouteState:
        return self.state

    def keep(self, line: str, _now: Circumstances) -> None:
        self.kept = line

    def at(self, _now_ms: int) -> SigningKeys:
        return SigningKeys("k1", {"k1": SECRET})


def event(number: int) -> dict[str, Any]:
    tools = ("0", "1", "2-4", "5-9")[number % 4]
    envelope = {
        "task_type": ("label", "classify", "extract")[number % 3],
        "structure_type": "json",
        "context_length": "short",
        "tools_used": tools,
        "time_sensitive": bool(number % 2),
        "estimated_tokens": "small",
    }
    body = json.dumps({"policy": "bench/route", "envelope": envelope}).encode()
    headers = signed_headers("key", SECRET, method="POST", path=PATH, body=body, now_ms=NOW + number)
    context = {"http": {"method": "POST"}, "timeEpoch": NOW + number, "requestId": f"request-{number}"}
    return {"rawPath": PATH, "headers": headers, "body": body.decode(), "requestContext": context}


def warm_handler() -> list[float]:
    compiled = compile_policy(POLICY, default_catalog())
    assert compiled.policy is not None, compiled.render()
    assert compiled.fingerprint is not None
    state = RouteState(
        "bench",
        1,
        {compiled.fingerprint: PublishedPolicy(compiled.policy, compiled.lines)},
        {"bench/route": alias_of(compiled.fingerprint)},
    )
    stores: Any = Stores(state)
    router = Router(RouteStores(stores, stores, stores, stores, stores, stores), 15_000, 86_400_000)
    events = [event(number) for number in range(REQUESTS)]
    times = []
    with redirect_stdout(io.StringIO()):
        for number, each in enumerate(events):
            start = time.process_time()
            reply = serve("route", each, router.answer)
            if number >= 500:
                times.append((time.process_time() - start) * 1e6)
            assert reply["statusCode"] == 200, reply
    return sorted(times)


def cold_import(module: str) -> float:
    """Median CPU milliseconds of importing a module in a fresh interpreter, that of an empty one taken off."""
    clock = "import time; s = time.process_time(); {}; print((time.process_time() - s) * 1e3)"
    code = clock.format(f"import {module}")
    runs = [
        float(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout) for _ in range(9)
    ]
    return statistics.median(runs)


def main() -> None:
    times = warm_handler()
    rows = [
        ("warm handler, p50 (us)", times[len(times) // 2]),
        ("warm handler, p99 (us)", times[len(times) * 99 // 100]),
        ("cold import of functions.route.app (ms CPU)", cold_import("functions.route.app")),
        ("cold import of policy_client (ms CPU)", cold_import("policy_client")),
    ]
    for name, value in rows:
        print(f"{name:50}{value:10.1f}", file=sys.stderr)


if __name__ == "__main__":
    main()
