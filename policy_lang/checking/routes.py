"""The checks on what stands inside a route, one function per rule."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from policy_lang.checking.conditions import check_condition
from policy_lang.checking.words import known_tier, own_clauses, unknown_word
from policy_lang.diagnostics import Diagnostic, error, warning
from policy_lang.lowering.units import money, share
from policy_lang.text import syntax
from policy_lang.text.outline import Outline

__all__ = ["ROUTE_RULES", "check_floor"]

_KEYWORDS: dict[type[syntax.Clause], str] = {
    syntax.UseClause: "use",
    syntax.WhereClause: "where",
    syntax.UntilClause: "until proven serve",
    syntax.PickClause: "pick",
    syntax.ExploreClause: "explore",
    syntax.CascadeClause: "cascade",
    syntax.PinClause: "pin",
    syntax.TimeoutClause: "timeout",
    syntax.StreamClause: "stream",
    syntax.BatchClause: "batch",
}
_METRICS = ("quality", "success")
_SUBJECTS = {"fastest": ("latency_p95", "ttft_p95"), "best": ("quality", "value")}
_MOST_TERMS = 8


def mandatory_clauses(outline: Outline) -> Iterator[Diagnostic]:
    for route in outline.all_routes if outline.whole else ():
        kinds = {type(clause) for clause in route.clauses}
        name = route.name
        if not kinds & {syntax.UseClause, syntax.CascadeClause}:
            yield error("P211", name.span, f"route `{name.text}` has no `use`", "as in `use small`")
        if syntax.PickClause not in kinds:
            yield error("P211", name.span, f"route `{name.text}` has no `pick`", "as in `pick cheapest`")


def models_come_from_one_clause(outline: Outline) -> Iterator[Diagnostic]:
    for route, cascade in own_clauses(outline, syntax.CascadeClause):
        if any(isinstance(clause, syntax.UseClause) for clause in route.clauses):
            yield error("P214", cascade.span, "`cascade` names its tiers, so `use` is left out", "keep one of the two")


def single_clauses(outline: Outline) -> Iterator[Diagnostic]:
    for route in outline.all_routes:
        seen: set[str] = set()
        for clause in route.clauses:
            if isinstance(clause, syntax.SetClause | syntax.OnClause):
                continue  # one for each parameter and each outcome
            name = f"floor {clause.metric.text}" if isinstance(clause, syntax.FloorClause) else _KEYWORDS[type(clause)]
            if name in seen:
                yield error("P212", clause.span, f"`{name}` stands twice in route `{route.name.text}`")
            seen.add(name)


def used_tiers(outline: Outline) -> Iterator[Diagnostic]:
    uses = [use for _, use in own_clauses(outline, syntax.UseClause)]
    cascades = [cascade for _, cascade in own_clauses(outline, syntax.CascadeClause)]
    for keyword, clauses in (("use", uses), ("cascade", cascades)):
        for clause in clauses:
            seen: set[str] = set()
            for tier in clause.tiers:
                yield from known_tier(tier, outline)
                if tier.text in seen:
                    yield error("P208", tier.span, f"`{tier.text}` stands twice in `{keyword}`")
                seen.add(tier.text)


def sound_filters(outline: Outline) -> Iterator[Diagnostic]:
    for _, where in own_clauses(outline, syntax.WhereClause):
        yield from check_condition(where.condition, outline)


def sound_floors(outline: Outline) -> Iterator[Diagnostic]:
    for _, floor in own_clauses(outline, syntax.FloorClause):
        yield from check_floor(floor)


def check_floor(floor: syntax.FloorClause) -> Iterator[Diagnostic]:
    """Findings of one floor, of a route or a guard."""
    if floor.metric.text not in _METRICS:
        yield unknown_word(floor.metric, "a floor is on", _METRICS)
    if floor.relation.text != ">=":
        yield error("P304", floor.relation.span, "a floor is a least value", None, ">=")
    for amount, what in ((floor.at_least, "a floor"), (floor.proven, "a confidence")):
        value = share(amount, what) if amount else 0
        if isinstance(value, Diagnostic):
            yield value
        elif amount is floor.proven and amount and not 500_000 <= value < 1_000_000:
            yield error(
                "P401", amount.span, "a confidence lies from 50% to below 100%", "no amount of evidence proves 100%"
            )


def until_has_floor(outline: Outline) -> Iterator[Diagnostic]:
    for route, until in own_clauses(outline, syntax.UntilClause):
        if not _has_proven_floor(route):
            help_text = "write `floor success >= 95% proven 90%`, or leave `until` out"
            yield error("P406", until.span, f"route `{route.name.text}` has no floor that is to be proven", help_text)


def sound_picks(outline: Outline) -> Iterator[Diagnostic]:
    for _, pick in own_clauses(outline, syntax.PickClause):
        for index, term in enumerate(pick.terms):
            last = index == len(pick.terms) - 1
            yield from _check_term(term)
            yield from _check_width(term, last=last)
        if len(pick.terms) > _MOST_TERMS:
            yield error("P210", pick.terms[_MOST_TERMS].span, f"`pick` has at most {_MOST_TERMS} terms")


def sound_exploration(outline: Outline) -> Iterator[Diagnostic]:
    for route, explore in own_clauses(outline, syntax.ExploreClause):
        rates = [limit for limit in explore.shares if not _is_money(limit) and not limit.unproven]
        unproven = [limit for limit in explore.shares if limit.unproven]
        daily = [limit for limit in explore.shares if _is_money(limit)]
        for limits, what in ((rates, "rate"), (unproven, "rate while unproven"), (daily, "amount of money")):
            for repeated in limits[1:]:
                yield error("P212", repeated.span, f"`explore` has one {what}")
        if not rates:
            yield error("P407", explore.span, "`explore` needs a rate", "as in `explore at most 5%, $2/day`")
        if unproven and not _leaves_a_question(route):
            help_text = (
                "it holds until a floor is cleared, or while much may be gained by `best value` or `best quality`"
            )
            yield warning(
                "P602", unproven[0].span, f"route `{route.name.text}` has nothing that is yet to be proven", help_text
            )
        for limit in explore.shares:
            value = money(limit.amount, "day") if _is_money(limit) else share(limit.amount, "a rate")
            if isinstance(value, Diagnostic):
                yield value


def _leaves_a_question(route: syntax.RouteRule) -> bool:
    """Whether something may be unproven: a floor, of either kind, or a value that is learned."""
    if any(isinstance(clause, syntax.FloorClause) for clause in route.clauses):
        return True
    picks = [clause for clause in route.clauses if isinstance(clause, syntax.PickClause)]
    return any(pick.terms and pick.terms[0].order == "best" for pick in picks)


def _check_term(term: syntax.Term) -> Iterator[Diagnostic]:
    if term.subject and term.subject.text not in _SUBJECTS[term.order]:
        yield unknown_word(term.subject, f"`{term.order}` goes by", _SUBJECTS[term.order])
    wants_value = term.order == "best" and term.subject is not None and term.subject.text == "value"
    if wants_value and term.value is None:
        yield error(
            "P408", term.span, "`best value` needs what a success is worth", "as in `best value at $0.05/success`"
        )
    if term.value is not None:
        worth = money(term.value, "success")
        if not wants_value:
            yield error("P408", term.value.span, "only `best value` takes an amount of money")
        elif isinstance(worth, Diagnostic):
            yield worth
        elif worth == 0:
            yield error("P401", term.value.span, "a success is worth more than nothing")
    if term.order == "prefer" and not term.models:
        yield error("P209", term.span, "`prefer` needs at least one model")


def _check_width(term: syntax.Term, *, last: bool) -> Iterator[Diagnostic]:
    # Two measured figures are never equal: without a width the next term would never be reached. Places in a list and
    # the models outside it do tie, so `prefer` needs none.
    if term.within and term.order == "prefer":
        yield error("P404", term.within.span, "`prefer` goes by place in its list and takes no width")
    elif last and term.within:
        yield error("P404", term.within.span, "`within` parts ties for the next term, and none follows", "add `then …`")
    if not last and term.within is None and term.order != "prefer":
        yield error("P403", term.span, "a tie needs a width before `then`", "as in `within 10% then cheapest`")
    if term.within and isinstance(width := share(term.within, "a width"), Diagnostic):
        yield width
    elif term.within and width == 0:
        yield error("P401", term.within.span, "a width of nothing never ties")


def _has_proven_floor(route: syntax.RouteRule) -> bool:
    return any(isinstance(clause, syntax.FloorClause) and clause.proven for clause in route.clauses)


def _is_money(limit: syntax.Share) -> bool:
    return limit.amount.unit.startswith("$")


ROUTE_RULES: tuple[Callable[[Outline], Iterator[Diagnostic]], ...] = (
    mandatory_clauses,
    models_come_from_one_clause,
    single_clauses,
    used_tiers,
    sound_filters,
    sound_floors,
    until_has_floor,
    sound_picks,
    sound_exploration,
)
