"""A policy compiled for evaluation against one catalog: expressions as closures, verdicts memoised per shape.

Every dimension of a request that a rule can read is finite or a short slug, so the whole static half of a decision
(which route, which candidates, every failing rule of the others) is a look-up after the first request of a shape.
`policy_lang.gates.evaluate` is the oracle: a test holds these closures to it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, assert_never

from policy_engine.wire import RouteRequest
from policy_lang.catalog import Catalog, Model
from policy_lang.envelope import Envelope, cluster_id
from policy_lang.fingerprint import policy_fingerprint
from policy_lang.gates import Facts, FactValue, mentioned_fields
from policy_lang.ir import PPM, And, Compare, CompareFields, Expr, Flag, In, Not, Or, Policy, Route
from policy_lang.vocabulary import FIELDS, OTHER_TASK, bucket_rank

if TYPE_CHECKING:
    from policy_engine.decision import Cell

__all__ = ["Candidate", "Reason", "Survey", "Table", "compile_expr", "compile_table"]

Verdict = Callable[[Facts], bool | None]
_MEMO_LIMIT = 4_096


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a candidate may not serve: the rule, its source line, what was read. unknown: a field could not be read."""

    rule: str
    verdict: Literal["violated", "unknown", "absent"]
    line: int | None
    operands: tuple[tuple[str, FactValue], ...]


@dataclass(frozen=True, slots=True)
class Candidate:
    """One arm under one shape. `tier` is None for arms that only `until proven` or `fallback` name.

    `barred`: outside the gates, so not even a fallback. An arm that only the route's `where` turned away is not barred.
    """

    model: Model
    tier: str | None
    reasons: tuple[Reason, ...]
    barred: bool


@dataclass(frozen=True, slots=True)
class Survey:
    """The static half of a decision: the route a shape takes and the fate of every arm it could reach.

    `serial` is the survey's identity within its table. `pool`: survivors of the route's tiers in `use` order. `until`
    and `fallbacks`: survivors of those lists.
    """

    serial: int
    envelope: Envelope
    cluster: str
    route: Route
    line: int | None
    candidates: tuple[Candidate, ...]
    pool: tuple[Candidate, ...]
    until: Candidate | None
    fallbacks: tuple[Candidate, ...]
    baseline: Model | None


class Table:
    """What `decide` evaluates. Holds memos only: equal inputs give equal answers whether they are warm or not."""

    def __init__(self, policy: Policy, catalog: Catalog, lines: Mapping[str, int]) -> None:
        self.policy = policy
        self.catalog = catalog
        self.policy_fingerprint = policy_fingerprint(policy)
        self.catalog_fingerprint = catalog.fingerprint
        self._lines = lines
        self._tasks = frozenset(policy.tasks)
        self._gates = tuple((gate, compile_expr(gate.violation), _fields(gate.violation)) for gate in policy.gates)
        routes = (*policy.routes, policy.default)
        self._routes = tuple((route, compile_expr(route.when)) for route in routes)
        self._wheres = {r.name: (compile_expr(r.where), _fields(r.where)) for r in routes if r.where is not None}
        self._tiers = {tier.name: tier.arms for tier in policy.tiers}
        self._serial = 0
        self._surveys: dict[tuple[object, ...], Survey] = {}
        self._cells: dict[tuple[object, ...], Cell] = {}
        self._cells_of = ""

    def survey(self, request: RouteRequest, degrade: str | None = None) -> Survey:
        """Route and static verdicts for a request's shape. `degrade`: the one tier a budget leaves the route."""
        shape = (request.envelope, request.org, request.team, request.product, request.attributes)
        key = (shape, request.candidates, degrade)
        found = self._surveys.get(key)
        if found is None:
            if len(self._surveys) >= _MEMO_LIMIT:
                self._surveys.clear()
            found = self._surveys[key] = self._surveyed(request, degrade)
        return found

    def cells(self, snapshot_fingerprint: str) -> dict[tuple[object, ...], Cell]:
        """Memo of what was worked out under one snapshot; empty again when another arrives."""
        if snapshot_fingerprint != self._cells_of or len(self._cells) >= _MEMO_LIMIT:
            self._cells_of, self._cells = snapshot_fingerprint, {}
        return self._cells

    def _surveyed(self, request: RouteRequest, degrade: str | None) -> Survey:
        envelope = request.envelope
        if envelope.task_type not in self._tasks:
            envelope = replace(envelope, task_type=OTHER_TASK)
        facts: dict[str, FactValue] = {**envelope.facts(), "org": request.org, "team": request.team}
        facts["product"] = request.product
        facts |= {f"attribute.{name}": value for name, value in request.attributes}
        route = next(route for route, holds in self._routes if holds(facts))
        use = (degrade,) if degrade else (*route.use, *(route.cascade.tiers if route.cascade else ()))
        tiers = {arm: tier for tier in reversed(use) for arm in reversed(self._tiers[tier])}
        pooled = tuple(dict.fromkeys(arm for tier in use for arm in self._tiers[tier]))
        if degrade:
            # The one tier a budget leaves comes before floors: an `until proven` arm outside of it does not serve.
            until_proven = route.until_proven if route.until_proven in pooled else None
            route = replace(route, cascade=None, until_proven=until_proven)
        until = () if route.until_proven is None else (route.until_proven,)
        judged = {
            arm: self._judged(arm, tiers.get(arm), facts, route, request.candidates)
            for arm in dict.fromkeys((*pooled, *until, *self.policy.fallback))
        }
        alive = {arm: candidate for arm, candidate in judged.items() if not candidate.barred}
        self._serial += 1
        return Survey(
            serial=self._serial,
            envelope=envelope,
            cluster=cluster_id(envelope),
            route=route,
            line=self._lines.get(f"route:{route.name}"),
            candidates=tuple(judged.values()),
            pool=tuple(alive[arm] for arm in pooled if arm in alive and not alive[arm].reasons),
            until=alive.get(route.until_proven or ""),
            fallbacks=tuple(alive[arm] for arm in self.policy.fallback if arm in alive),
            baseline=self.catalog.models.get(self.policy.baseline or ""),
        )

    def _judged(
        self, arm: str, tier: str | None, facts: Facts, route: Route, subset: tuple[str, ...] | None
    ) -> Candidate:
        model = self.catalog.models.get(arm)
        if model is None:
            provider, _, name = arm.partition("/")
            return Candidate(Model(arm, provider, name, 0, 0), tier, (Reason("catalog", "absent", None, ()),), True)
        whole = {**facts, **model.facts()}
        reasons = []
        for gate, violated, fields in self._gates:
            if (verdict := violated(whole)) is not False:
                reasons.append(_reason(gate.reason, verdict is None, self._lines.get(gate.reason), fields, whole))
        if subset is not None and arm not in subset:
            reasons.append(Reason("candidates of the request", "violated", None, ()))
        barred = bool(reasons)
        # `where` chooses among the route's own tiers; the safety nets behind them answer to the gates alone.
        if tier is not None and route.name in self._wheres:
            holds, fields = self._wheres[route.name]
            if (verdict := holds(whole)) is not True:
                line = self._lines.get(f"route:{route.name}")
                reasons.append(_reason(f"where of route {route.name}", verdict is None, line, fields, whole))
        return Candidate(model, tier, tuple(reasons), barred)


def compile_table(policy: Policy, catalog: Catalog, lines: Mapping[str, int] | None = None) -> Table:
    """Compile once per (policy, catalog).

    `lines` maps gate reasons and `route:NAME` to source lines, for reasons only.
    """
    return Table(policy, catalog, lines or {})


def compile_expr(expr: Expr) -> Verdict:
    """An expression as a closure over facts, with the meaning of `gates.evaluate`."""
    match expr:
        case And(items):
            return _all_of(tuple(compile_expr(item) for item in items))
        case Or(items):
            return _any_of(tuple(compile_expr(item) for item in items))
        case Not(item):
            inner = compile_expr(item)
            return lambda facts: None if (found := inner(facts)) is None else not found
        case Flag(field):
            return lambda facts: found if isinstance(found := facts.get(field), bool) else None
        case In(field, values):
            accepted = frozenset(values)
            return lambda facts: found in accepted if isinstance(found := facts.get(field), str) else None
        case Compare(field, relation, constant):
            return _comparison(field, relation, constant)
        case CompareFields(left, relation, ratio_ppm, right):
            return _field_comparison(left, _RELATIONS[relation], ratio_ppm, right)
        case _:
            assert_never(expr)


_RELATIONS: dict[str, Callable[[int, int], bool]] = {
    "eq": lambda left, right: left == right,
    "ne": lambda left, right: left != right,
    "lt": lambda left, right: left < right,
    "le": lambda left, right: left <= right,
    "gt": lambda left, right: left > right,
    "ge": lambda left, right: left >= right,
}


def _all_of(parts: tuple[Verdict, ...]) -> Verdict:
    def verdict(facts: Facts) -> bool | None:
        unknown = False
        for part in parts:
            found = part(facts)
            if found is False:
                return False
            unknown = unknown or found is None
        return None if unknown else True

    return verdict


def _any_of(parts: tuple[Verdict, ...]) -> Verdict:
    def verdict(facts: Facts) -> bool | None:
        unknown = False
        for part in parts:
            found = part(facts)
            if found:
                return True
            unknown = unknown or found is None
        return None if unknown else False

    return verdict


def _comparison(field: str, relation: str, constant: str | int) -> Verdict:
    related = _RELATIONS[relation]
    if isinstance(constant, int):
        return lambda facts: related(found, constant) if type(found := facts.get(field)) is int else None
    if relation == "eq":
        return lambda facts: found == constant if isinstance(found := facts.get(field), str) else None
    if relation == "ne":
        return lambda facts: found != constant if isinstance(found := facts.get(field), str) else None
    if field not in FIELDS or FIELDS[field].kind != "ordered":
        return lambda _: None
    accepted = frozenset(
        name for name in FIELDS[field].values if related(bucket_rank(field, name), bucket_rank(field, constant))
    )
    return lambda facts: found in accepted if isinstance(found := facts.get(field), str) else None


def _field_comparison(left: str, related: Callable[[int, int], bool], ratio_ppm: int, right: str) -> Verdict:
    def verdict(facts: Facts) -> bool | None:
        first, second = facts.get(left), facts.get(right)
        if type(first) is not int or type(second) is not int:
            return None
        return related(first * PPM, second * ratio_ppm)

    return verdict


def _fields(expr: Expr) -> tuple[str, ...]:
    return tuple(sorted(mentioned_fields(expr)))


def _reason(rule: str, unknown: bool, line: int | None, fields: tuple[str, ...], facts: Facts) -> Reason:
    operands = tuple((field, facts.get(field)) for field in fields)
    return Reason(rule, "unknown" if unknown else "violated", line, operands)
