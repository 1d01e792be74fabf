"""A recorded arrival trace as a workload: when requests came and how large; what models make of them is simulated.

Columns: t_ms (milliseconds from the first request, ascending), input_tokens, output_tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from policy_cli.demo.calls import START_MS, Call, PolicyText, Scenario, ScenarioError
from policy_cli.demo.parquet import read_rows
from policy_cli.demo.synthetic import SyntheticWorld
from policy_cli.demo.workload import compiled, policy_arms, value_of
from policy_lang.catalog import Catalog
from policy_lang.envelope import Envelope, EnvelopeError, build_envelope

__all__ = ["TRACE_POLICY", "trace_scenario"]

TENANT = "trace"
_COLUMNS = ("t_ms", "input_tokens", "output_tokens")

TRACE_POLICY = """\
policy "trace/code" language 1

tasks code-edit
tier small    = [openai/gpt-6-luna, anthropic/claude-haiku-5-5, google/gemini-3.1-flash-lite, mistral/codestral-2508]
tier flagship = [openai/gpt-6-sol, anthropic/claude-sonnet-5-5, google/gemini-2.5-pro]

require "context with headroom" model.context >= 1.25 * tokens.upper when tokens <= large

default route completion {
  use     small, flagship
  pick    best value at $0.02/success
  explore at most 5%, 30% while unproven
}
fallback anthropic/claude-haiku-5-5
baseline anthropic/claude-sonnet-5-5
"""


def trace_scenario(path: Path, catalog: Catalog, decisions: int, seed: int, text: PolicyText | None = None) -> Scenario:
    """The first `decisions` requests of a trace, at the times they came, as calls of the policy's first task."""
    own = PolicyText(TENANT, "trace/code", TRACE_POLICY, "the demo's policy for traces")
    policy = compiled(text or own, catalog)
    calls = _calls(_rows(path, decisions), text or own, policy.tasks[0])
    arms = policy_arms(policy)
    minutes = (calls[-1].at_ms - START_MS) / 60_000
    return Scenario(
        title=f"{path.name}: {len(calls)} requests over {minutes:.1f} minutes, task `{policy.tasks[0]}`",
        policies=(text or own,),
        calls=calls,
        world=SyntheticWorld((catalog.models[arm] for arm in arms), seed),
        # Only the demo's own policy is known to let every model serve every call.
        arms=() if text else tuple(sorted(arms)),
        value_nanodollars=value_of(policy),
        notes=("arrival times and token counts are the trace's; success, latency and wordiness are simulated",),
    )


def _calls(rows: Sequence[tuple[int, int, int]], text: PolicyText, task: str) -> list[Call]:
    return [
        Call(
            number=number,
            at_ms=START_MS + at_ms,
            tenant=text.tenant,
            policy=text.name,
            envelope=_envelope(task, prompt, answer),
            key="trace",
            input_tokens=prompt,
            output_tokens=answer,
        )
        for number, (at_ms, prompt, answer) in enumerate(rows)
    ]


def _envelope(task: str, prompt: int, answer: int) -> Envelope:
    try:
        return build_envelope(
            task_type=task, structure_type="code", context_tokens=prompt, estimated_tokens=prompt + answer
        )
    except EnvelopeError as problem:
        raise ScenarioError(f"the trace has a request of {prompt} + {answer} tokens: {problem}") from None


def _rows(path: Path, decisions: int) -> list[tuple[int, int, int]]:
    rows = read_rows(path, _COLUMNS, most=decisions)
    if not rows:
        raise ScenarioError(f"{path.name} has no requests")
    return [(row["t_ms"], row["input_tokens"], row["output_tokens"]) for row in rows]
