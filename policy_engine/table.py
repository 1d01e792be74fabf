"""A policy compiled for evaluation against one catalog: the whole static half of a decision as look-ups.

Three memos, each over a finite space: a row per rule and way a request looks to it (`rules.py`), a roster per
combination of rows, a survey per shape. `policy_engine.oracle` says the same by walking trees; a test holds the two
together.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from operator import attrgetter
from typing import TYPE_CHECKING, NamedTuple

from policy_engine.candidates import Candidate, Reason
from policy_engine.closures import compile_expr
from policy_engine.rules import Row, Rule
from policy_engine.wire import RouteRequest
from policy_lang.canonical import canonical_text
from policy_lang.catalog import Catalog, Model, model_document
from policy_lang.envelope import Envelope, cluster_id
from policy_lang.fingerprint import policy_fingerprint
from policy_lang.frozen import frozen
from policy_lang.gates import Facts, FactValue, mentioned_fields
from policy_lang.ir import Not, Policy, Route
from policy_lang.vocabulary import ATTRIBUTE_PREFIX, OTHER_TASK

if TYPE_CHECKING:
    from policy_engine.cell import Cell

__all__ = ["Survey", "Table", "compile_table"]

_MEMO_LIMIT = 4_096
# Dearer than any tier that has an arm to serve with.
_NOBODY_SERVES = 1 << 50
_ABSENT = (Reason("catalog", "absent", None, ()),)
_NOT_ASKED = (Reason("candidates of the request", "violated", None, ()),)


class Survey(NamedTuple):
    """The static half of a decision: the route a shape takes and the fate of every arm it could reach.

    `serial` is the survey's identity within its table. `pool`: survivors of the route's tiers in `use` order. `until`
    and `fallbacks`: survivors of those lists. `reachable`: all three, once each, by arm id. `arms`: those about whom a
    snapshot is asked. A tuple, because every new shape makes one.
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
    reachable: tuple[Candidate, ...]
    arms: tuple[str, ...]
    baseline: Candidate | None
    cost_cap: int | None


@frozen
class _Reach:
    """What a route can reach, as no rule has been asked yet: its tiers' arms in `use` order, then its safety nets."""

    route: Route
    arms: Mapping[str, Candidate]


@frozen
class _Roster:
    """The fate of every arm in reach, for all requests that no rule tells apart."""

    candidates: tuple[Candidate, ...]
    pool: tuple[Candidate, ...]
    until: Candidate | None
    fallbacks: tuple[Candidate, ...]
    reachable: tuple[Candidate, ...]
    arms: tuple[str, ...]


class Table:
    """What `decide` evaluates. Holds memos only: equal inputs give equal answers whether they are warm or not."""

    def __init__(
        self,
        policy: Policy,
        catalog: Catalog,
        lines: Mapping[str, int],
        cost_cap: int | None = None,
        tier_prices: Mapping[str, int] | None = None,
    ) -> None:
        self.policy = policy
        self._cost_cap = cost_cap
        self.catalog = catalog
        self.policy_fingerprint = policy_fingerprint(policy)
        self.catalog_fingerprint = catalog.fingerprint
        self._lines = lines
        self._tasks = frozenset(policy.tasks)
        self._tiers = {tier.name: tier.arms for tier in policy.tiers}
        #: What the dearest arm of each tier asks for a token in and one out, pico-dollars.
        self.tier_prices = tier_prices or {name: _dearest(arms, catalog) for name, arms in self._tiers.items()}
        routes = (*policy.routes, policy.default)
        self._routes = tuple((route, compile_expr(route.when)) for route in routes)
        models = {arm: model.facts() for arm in _arms(policy) if (model := catalog.models.get(arm)) is not None}
        self._gates = tuple(Rule(gate.reason, gate.violation, lines.get(gate.reason), models) for gate in policy.gates)
        self._wheres = {
            route.name: Rule(f"where of route {route.name}", Not(route.where), lines.get(f"route:{route.name}"), models)
            for route in routes
            if route.where is not None
        }
        #: Facts that a request may lack: attributes it need not declare.
        self._blank: dict[str, FactValue] = dict.fromkeys(
            field for rule in (*self._gates, *self._wheres.values()) for field in rule.reads
        )
        #: What of a request makes another survey: of the open words those alone that some rule or route reads.
        self._look = attrgetter("envelope", "candidates", *_open_words({*self._blank, *_mentioned(routes)}))
        self._serial = 0
        self._reaches: dict[tuple[str, str | None], _Reach] = {}
        self._rosters: dict[tuple[object, ...], _Roster] = {}
        self._surveys: dict[tuple[object, ...], Survey] = {}
        #: What `policy_engine.cell` remembers of this table.
        self.cells: dict[tuple[object, ...], Cell] = {}
        named = policy.baseline
        self._baseline = self._unjudged(named, None) if named is not None and named in catalog.models else None

    def survey(self, request: RouteRequest, degrade: str | None = None) -> Survey:
        """Route and static verdicts for a request's shape. `degrade`: the one tier a budget leaves the route."""
        key = (self._look(request), degrade)
        found = self._surveys.get(key)
        if found is None:
            if len(self._surveys) >= _MEMO_LIMIT:
                self._surveys.clear()
            found = self._surveys[key] = self._surveyed(request, degrade)
        return found

    def _surveyed(self, request: RouteRequest, degrade: str | None) -> Survey:
        envelope = request.envelope
        if envelope.task_type not in self._tasks:
            envelope = replace(envelope, task_type=OTHER_TASK)
        facts = {**self._blank, **envelope.facts(), "org": request.org, "team": request.team}
        facts["product"] = request.product
        facts |= {f"attribute.{name}": value for name, value in request.attributes}
        route = next(route for route, holds in self._routes if holds(facts))
        reach = self._reach(route, degrade)
        roster = self._roster(reach, degrade, facts, request.candidates)
        self._serial += 1
        return Survey(
            serial=self._serial,
            envelope=envelope,
            cluster=cluster_id(envelope),
            route=reach.route,
            line=self._lines.get(f"route:{route.name}"),
            candidates=roster.candidates,
            pool=roster.pool,
            until=roster.until,
            fallbacks=roster.fallbacks,
            reachable=roster.reachable,
            arms=roster.arms,
            baseline=self._baseline,
            cost_cap=self._cost_cap,
        )

    def _reach(self, route: Route, degrade: str | None) -> _Reach:
        key = (route.name, degrade)
        found = self._reaches.get(key)
        if found is None:
            use = (degrade,) if degrade else (*route.use, *(route.cascade.tiers if route.cascade else ()))
            if degrade:
                # The one tier a budget leaves comes before floors: an `until proven` arm outside of it does not serve.
                until = route.until_proven if route.until_proven in self._tiers[degrade] else None
                route = replace(route, cascade=None, until_proven=until)
            tiers: dict[str, str | None] = {}
            for tier in use:
                for arm in self._tiers[tier]:
                    tiers.setdefault(arm, tier)
            for arm in (*((route.until_proven,) if route.until_proven else ()), *self.policy.fallback):
                tiers.setdefault(arm, None)
            found = self._reaches[key] = _Reach(route, {arm: self._unjudged(arm, tier) for arm, tier in tiers.items()})
        return found

    def _unjudged(self, arm: str, tier: str | None) -> Candidate:
        """An arm before any rule; barred where the catalog has no row of it, which its name then stands for."""
        model = self.catalog.models.get(arm)
        if model is None:
            provider, _, name = arm.partition("/")
            absent = Model(arm, provider, name, 0, 0)
            return Candidate(absent, tier, _ABSENT, True, canonical_text(model_document(absent)))
        return Candidate(model, tier, (), False, canonical_text(model_document(model)))

    def _roster(self, reach: _Reach, degrade: str | None, facts: Facts, subset: tuple[str, ...] | None) -> _Roster:
        gates = tuple([gate.row(facts) for gate in self._gates])
        where = self._wheres.get(reach.route.name)
        chosen = where.row(facts) if where is not None else None
        key = (reach.route.name, degrade, subset, chosen, gates)
        found = self._rosters.get(key)
        if found is None:
            if len(self._rosters) >= _MEMO_LIMIT:
                self._rosters.clear()
            found = self._rosters[key] = self._mustered(reach, gates, chosen, subset)
        return found

    def _mustered(
        self, reach: _Reach, gates: tuple[Row, ...], chosen: Row | None, subset: tuple[str, ...] | None
    ) -> _Roster:
        failing: dict[str, tuple[Reason, ...]] = {}
        for row in gates:
            for arm, reason in row.failing.items():
                failing[arm] = failing[arm] + reason if arm in failing else reason
        turned = chosen.failing if chosen is not None else {}
        judged = []
        for arm, candidate in reach.arms.items():
            if not candidate.barred:
                model, tier, reasons, _, document = candidate
                reasons = failing.get(arm, reasons)
                if subset is not None and arm not in subset:
                    reasons += _NOT_ASKED
                barred = bool(reasons)
                # `where` chooses among the route's own tiers; the safety nets behind them answer to the gates alone.
                if tier is not None and arm in turned:
                    reasons += turned[arm]
                if reasons:
                    candidate = Candidate(model, tier, reasons, barred, document)
            judged.append(candidate)
        nets = {candidate.model.arm: candidate for candidate in judged if not candidate.barred}
        pool = tuple([one for one in judged if not one.reasons and one.tier is not None])
        until = nets.get(reach.route.until_proven or "")
        fallbacks = tuple([nets[arm] for arm in self.policy.fallback if arm in nets])
        reachable = {one.model.arm: one for one in (*pool, *((until,) if until else ()), *fallbacks)}
        asked = dict.fromkeys(reach.arms)
        if self._baseline is not None:
            asked[self._baseline.model.arm] = None
        return _Roster(
            candidates=tuple(judged),
            pool=pool,
            until=until,
            fallbacks=fallbacks,
            reachable=tuple([reachable[arm] for arm in sorted(reachable)]),
            arms=tuple(asked),
        )


def compile_table(
    policy: Policy,
    catalog: Catalog,
    lines: Mapping[str, int] | None = None,
    *,
    inline: bool = False,
    tier_prices: Mapping[str, int] | None = None,
) -> Table:
    """Compile once per (policy, catalog).

    `lines` maps gate reasons and `route:NAME` to source lines, for reasons only. An inline policy is bound by the cost
    of the guard it was narrowed with; a published policy's own guard binds others, not itself. `tier_prices`: as a
    receipt records them, whose catalog rows are those of its candidates alone.
    """
    cost_cap = policy.guard.cost_nanodollars if inline and policy.guard else None
    return Table(policy, catalog, lines or {}, cost_cap, tier_prices)


def _mentioned(routes: tuple[Route, ...]) -> frozenset[str]:
    return frozenset().union(*(mentioned_fields(route.when) for route in routes))


def _open_words(fields: Collection[str]) -> list[str]:
    """The parts of a request beside its envelope that `fields` look at."""
    declared = ["attributes"] if any(field.startswith(ATTRIBUTE_PREFIX) for field in fields) else []
    return [name for name in ("org", "team", "product") if name in fields] + declared


def _dearest(arms: tuple[str, ...], catalog: Catalog) -> int:
    rows = [catalog.models[arm] for arm in arms if arm in catalog.models]
    return max((row.price_in + row.price_out for row in rows), default=_NOBODY_SERVES)


def _arms(policy: Policy) -> dict[str, None]:
    """Every arm that a decision may consider."""
    routes = (*policy.routes, policy.default)
    named = [arm for tier in policy.tiers for arm in tier.arms] + [r.until_proven for r in routes if r.until_proven]
    return dict.fromkeys((*named, *policy.fallback))
