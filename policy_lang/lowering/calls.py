"""The clauses that shape a call, as fields of the IR's route."""

from __future__ import annotations

from typing import Any

from policy_lang import ir
from policy_lang.canonical import canonical
from policy_lang.fingerprint import ir_document
from policy_lang.lowering.units import duration, milli, plain, share, sure
from policy_lang.text import syntax

__all__ = ["lowered_call", "lowered_cascade"]


def lowered_cascade(cascade: syntax.CascadeClause) -> ir.Cascade:
    """Steps keep their order, checks commute."""
    checks = [_check(check) for check in cascade.checks]
    checks.sort(key=lambda check: canonical(ir_document(check)))
    return ir.Cascade(tuple(tier.text for tier in cascade.tiers), tuple(checks))


def lowered_call(route: syntax.RouteRule) -> dict[str, Any]:
    """Fields of `ir.Route` for parameters, reactions, pins, time-outs, streaming and batches."""
    found: dict[str, Any] = {}
    parameters: list[ir.Parameter] = []
    failures: list[ir.OnOutcome] = []
    for clause in route.clauses:
        match clause:
            case syntax.SetClause():
                parameters.append(_parameter(clause))
            case syntax.OnClause(outcomes, steps) if steps[0].action.text != "stay":
                failures += [_reaction(outcome.text, steps) for outcome in outcomes]
            case syntax.OnClause():
                found["stay_in_floor"] = "yes"
            case syntax.PinClause(_, amount):
                found["pin_ms"] = sure(duration(amount, "", "30d"))
            case syntax.TimeoutClause(amount):
                found["timeout_ms"] = sure(duration(amount, "", "1h"))
            case syntax.StreamClause(value):
                found["stream"] = value.text
            case syntax.BatchClause(value):
                found["batch"] = value.text
    found["parameters"] = tuple(sorted(parameters, key=lambda item: (item.name, item.rule)))
    found["failures"] = tuple(sorted(failures, key=lambda item: item.outcome))
    return found


def _check(check: syntax.Check) -> ir.Check:
    rule: Any = check.rule.text
    below = sure(share(check.limit, "")) if check.limit else None
    return ir.Check(rule, below, check.argument.text if check.argument else None)


def _parameter(setting: syntax.SetClause) -> ir.Parameter:
    name: Any = setting.parameter.text
    if setting.rule == "by":
        return ir.Parameter(name, "seed")
    if isinstance(setting.value, syntax.Word):
        word: Any = setting.value.text
        return ir.Parameter(name, "set", word=word)
    return ir.Parameter(name, setting.rule, milli=sure(milli(setting.value)))


def _reaction(outcome: str, steps: tuple[syntax.Step, ...]) -> ir.OnOutcome:
    found: dict[str, Any] = {}
    for step in steps:
        if step.breaker:
            found["open_breaker"] = True
        elif step.action.text == "retry":
            assert step.count is not None
            found["retries"] = plain(step.count)
            found["backoff_ms"] = sure(duration(step.backoff, "", "1m")) if step.backoff else 0
        else:
            found["then"] = step.action.text
            found["disable_ms"] = sure(duration(step.count, "", "1d")) if step.count else 0
    kind: Any = outcome
    return ir.OnOutcome(kind, **found)
