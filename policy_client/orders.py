"""What a reply asks of its caller besides whom to call: parameters, what follows which outcome, when to escalate."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from policy_lang.frozen import frozen

__all__ = ["AfterOutcome", "Cascade", "Check", "Parameter", "orders_from_wire"]

Kind = TypeVar("Kind")


@frozen
class AfterOutcome:
    """What follows a call that ended in an outcome: up to `retries` more of the same, with exponential backoff from
    `backoff_ms`, then `then`.

    then: next (the plan's next step), abort, or disable (leave the provider out for `disable_ms`, then next).
    open_breaker: the service leaves the arm out until it recovers; nothing for the caller to do but report.
    """

    then: str = "next"
    retries: int = 0
    backoff_ms: int = 0
    disable_ms: int = 0
    open_breaker: bool = False


@frozen
class Parameter:
    """A change to one parameter of every call of the plan: `value` in the parameter's own unit (0.7, 4096, "low").

    rule: set, at_least or at_most (clamp what the caller has), or seed: `value` was derived from the decision.
    """

    name: str
    rule: str
    value: float | int | str


@frozen
class Check:
    """One test of an answer that the caller makes. rule: self_rating, judge or consistency (fail below `below_ppm`), or
    json_valid, schema, pattern or hash, which `argument` says more of.
    """

    rule: str
    below_ppm: int | None = None
    argument: str | None = None


@frozen
class Cascade:
    """Whether calling the cheap arm first pays: then the plan's steps of role `cascade` follow where a check fails.

    steps: arms from the first to the last. break_even_ppm: the share of answers that must pass. cost: of the cascade,
    direct: of its last arm alone, both as expected.
    """

    steps: tuple[str, ...]
    escalate: tuple[Check, ...]
    pays: bool
    break_even_ppm: int
    cost_nanodollars: int
    direct_nanodollars: int


def orders_from_wire(document: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a RouteReply that replies have only where the route says something, each with its default."""
    return {
        "parameters": tuple(_parameter(row, document) for row in document.get("parameters", ())),
        "on": {outcome: _known(AfterOutcome, order) for outcome, order in document.get("on", {}).items()},
        "timeout_ms": document.get("timeout_ms"),
        "cascade": _cascade(document["cascade"]) if "cascade" in document else None,
        "batch": document.get("batch", False),
        "warnings": tuple(document.get("warnings", ())),
    }


def _parameter(row: Mapping[str, Any], document: Mapping[str, Any]) -> Parameter:
    if row["rule"] == "seed":
        return Parameter(row["name"], "seed", document["seed"])
    if "word" in row:
        return Parameter(row["name"], row["rule"], row["word"])
    milli = row["milli"]
    return Parameter(row["name"], row["rule"], milli / 1000 if milli % 1000 else milli // 1000)


def _cascade(row: Mapping[str, Any]) -> Cascade:
    checks = tuple(_known(Check, check) for check in row["escalate"])
    return Cascade(**{**_fields(Cascade, row), "steps": tuple(row["steps"]), "escalate": checks})


def _known(kind: type[Kind], row: Mapping[str, Any]) -> Kind:
    return kind(**_fields(kind, row))


def _fields(kind: Any, row: Mapping[str, Any]) -> dict[str, Any]:
    """Those of a row that this version knows."""
    return {name: row[name] for name in kind.__match_args__ if name in row}
