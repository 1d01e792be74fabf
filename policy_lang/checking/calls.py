"""The checks on the clauses that shape a call: cascades, parameters, reactions, pins; one function per rule."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import get_args

from policy_lang import ir
from policy_lang.checking.words import one_of, own_clauses, reported
from policy_lang.diagnostics import Diagnostic, error
from policy_lang.lowering.units import duration, milli, plain, share
from policy_lang.parameters import CHECKS, EFFORTS, HANDLED_OUTCOMES, NUMERIC_PARAMETERS, PARAMETERS, PATTERNS
from policy_lang.text import syntax
from policy_lang.text.outline import Outline

__all__ = ["CALL_RULES"]

_LEAST_STEPS, _MOST_STEPS = 2, 8
_MOST_CHECKS = 8
_MOST_RETRIES = 5
_MOST_SETTINGS = 16
_SHA256 = re.compile("[0-9a-f]{64}")
_LAST_STEPS = ("next", "abort", "disable")


def sound_cascades(outline: Outline) -> Iterator[Diagnostic]:
    for _, cascade in own_clauses(outline, syntax.CascadeClause):
        if len(cascade.tiers) > _MOST_STEPS:
            yield error("P210", cascade.tiers[_MOST_STEPS].span, f"a cascade has at most {_MOST_STEPS} tiers")
        if len(cascade.checks) > _MOST_CHECKS:
            yield error("P210", cascade.checks[_MOST_CHECKS].span, f"a cascade has at most {_MOST_CHECKS} checks")
        seen: set[tuple[str, str]] = set()
        for check in cascade.checks:
            yield from _check_of_cascade(check)
            key = (check.rule.text, check.argument.text if check.argument else "")
            if key in seen:
                yield error("P208", check.span, f"`{check.rule.text}` is checked twice")
            seen.add(key)


def sound_pins(outline: Outline) -> Iterator[Diagnostic]:
    for _, pin in own_clauses(outline, syntax.PinClause):
        yield from one_of(pin.what, "a pin holds for", ("session",))
        yield from reported(duration(pin.duration, "a pin", "30d"))


def sound_timeouts(outline: Outline) -> Iterator[Diagnostic]:
    for _, timeout in own_clauses(outline, syntax.TimeoutClause):
        yield from reported(duration(timeout.duration, "a timeout", "1h"))


def sound_switches(outline: Outline) -> Iterator[Diagnostic]:
    for _, stream in own_clauses(outline, syntax.StreamClause):
        yield from one_of(stream.value, "`stream` is", ("on", "off"))
    for _, batch in own_clauses(outline, syntax.BatchClause):
        yield from one_of(batch.value, "`batch` is", ("allowed",))


def sound_parameters(outline: Outline) -> Iterator[Diagnostic]:
    for route in outline.all_routes:
        settings = [clause for clause in route.clauses if isinstance(clause, syntax.SetClause)]
        for setting in settings:
            yield from _check_setting(setting)
        yield from _contradictions(settings)
        if len(settings) > _MOST_SETTINGS:
            yield error("P210", settings[_MOST_SETTINGS].span, f"a route changes at most {_MOST_SETTINGS} parameters")


def sound_reactions(outline: Outline) -> Iterator[Diagnostic]:
    for route in outline.all_routes:
        seen: set[str] = set()
        for clause in route.clauses:
            if isinstance(clause, syntax.OnClause):
                yield from _check_reaction(clause)
                for outcome in clause.outcomes:
                    if outcome.text in seen:
                        yield error("P212", outcome.span, f"`on {outcome.text}` stands twice in a route")
                    seen.add(outcome.text)


def _check_of_cascade(check: syntax.Check) -> Iterator[Diagnostic]:
    if check.rule.text not in CHECKS:
        yield from one_of(check.rule, "a cascade checks", tuple(CHECKS))
        return
    name, takes = check.rule.text, CHECKS[check.rule.text]
    if takes == "share":
        if check.limit is None or check.relation is None:
            yield error("P409", check.span, f"`{name}` escalates below a share", f"as in `{name} < 80%`")
            return
        if check.relation.text != "<":
            yield error("P304", check.relation.span, "an answer escalates below a share", None, "<")
        yield from reported(share(check.limit, f"`{name}`"))
    elif check.limit is not None:
        yield error("P409", check.span, f"`{name}` holds or does not hold", f"as in `not {_example(name, takes)}`")
    else:
        yield from _check_argument(check, name, takes)


def _check_argument(check: syntax.Check, name: str, takes: str) -> Iterator[Diagnostic]:
    argument = check.argument
    if (argument is None) != (takes == "nothing"):
        yield error("P409", check.span, f"`{name}` takes {_written(takes)}", f"as in `not {_example(name, takes)}`")
    elif argument is not None and takes == "pattern":
        yield from one_of(argument, "a pattern is", PATTERNS)
    elif argument is not None and takes == "sha256" and not _SHA256.fullmatch(argument.text):
        yield error("P409", argument.span, "a hash is a SHA-256: 64 hex digits in lower case, in quotes")
    elif argument is not None and takes == "name":
        pattern, longest = get_args(ir.Word)[1].pattern, get_args(ir.Word)[1].longest
        if not re.fullmatch(pattern, argument.text) or len(argument.text) > longest:
            yield error("P207", argument.span, "a schema's name has letters, digits and `._:/-`")


def _written(takes: str) -> str:
    return {"nothing": "no argument", "name": "the name of a schema", "pattern": "a kind of pattern"}.get(
        takes, "a SHA-256 in quotes"
    )


def _example(name: str, takes: str) -> str:
    return {"nothing": name, "name": f"{name} invoice", "pattern": f"{name} iso-date"}.get(takes, f'{name} "9f86…"')


def _check_setting(setting: syntax.SetClause) -> Iterator[Diagnostic]:
    name, value = setting.parameter.text, setting.value
    if name not in PARAMETERS:
        yield from one_of(setting.parameter, "a policy may set", PARAMETERS)
    elif setting.rule == "by":
        assert isinstance(value, syntax.Word)
        if name != "seed":
            yield error("P410", setting.span, f"only `seed` is derived, not `{name}`", "as in `set seed by decision`")
        yield from one_of(value, "a seed is derived by", ("decision",))
    elif name == "reasoning_effort":
        if isinstance(value, syntax.Word):
            yield from one_of(value, "an effort is", EFFORTS)
        else:
            yield error("P410", setting.span, "`reasoning_effort` is a word", f"one of {', '.join(EFFORTS)}")
    elif isinstance(value, syntax.Word):
        accepted = NUMERIC_PARAMETERS[name]
        yield error("P410", value.span, f"`{name}` is {accepted}, not `{value.text}`")
    else:
        yield from _check_number(name, value)


def _check_number(name: str, amount: syntax.Amount) -> Iterator[Diagnostic]:
    value, accepted = milli(amount), NUMERIC_PARAMETERS[name]
    if isinstance(value, Diagnostic):
        yield value
    elif not accepted.holds(value):
        yield error("P401", amount.span, f"`{name}` is {accepted}, not `{amount.text}`")


def _contradictions(settings: list[syntax.SetClause]) -> Iterator[Diagnostic]:
    """One value a parameter, or bounds that leave something between them."""
    seen: dict[str, dict[str, syntax.SetClause]] = {}
    for setting in settings:
        rules = seen.setdefault(setting.parameter.text, {})
        rule = "set" if setting.rule == "by" else setting.rule
        if rule in rules or "set" in rules or (rule == "set" and rules):
            yield error("P212", setting.span, f"`{setting.parameter.text}` is set twice in a route")
        rules[rule] = setting
        bounds = [rules[bound].value for bound in ("at_least", "at_most") if bound in rules]
        if len(bounds) == 2 and _above(*bounds):
            yield error("P411", setting.span, f"no value of `{setting.parameter.text}` lies within both bounds")


def _above(low: syntax.Amount | syntax.Word, high: syntax.Amount | syntax.Word) -> bool:
    assert isinstance(low, syntax.Amount)
    assert isinstance(high, syntax.Amount)
    least, most = milli(low), milli(high)
    return isinstance(least, int) and isinstance(most, int) and least > most


def _check_reaction(clause: syntax.OnClause) -> Iterator[Diagnostic]:
    if any(step.action.text == "stay" for step in clause.steps):
        if len(clause.steps) > 1 or [outcome.text for outcome in clause.outcomes] != ["failure"]:
            yield error("P412", clause.span, "`stay in floor` is for every failure", "write `on failure stay in floor`")
        return
    for outcome in clause.outcomes:
        yield from one_of(outcome, "`on` takes", HANDLED_OUTCOMES)
    kinds = [kind for step in clause.steps for kind in _kind(step)]
    for step in clause.steps:
        yield from _check_step(step)
    if len(kinds) == len(clause.steps) and not _in_order(kinds):
        accepted = "`retry N`, then `open breaker`, each at most once, and last `next`, `abort` or `disable 10m`"
        yield error("P412", clause.steps[-1].span, "these steps do not follow each other", accepted)


def _kind(step: syntax.Step) -> Iterable[str]:
    if step.breaker:
        return ("open breaker",) if step.action.text == "open" else ()
    return (step.action.text,) if step.action.text in ("retry", *_LAST_STEPS) else ()


def _in_order(kinds: list[str]) -> bool:
    order = ("retry", "open breaker", *_LAST_STEPS)
    places = [min(order.index(kind), 2) for kind in kinds]
    return places == sorted(set(places)) and places[-1] == 2


def _check_step(step: syntax.Step) -> Iterator[Diagnostic]:
    action = step.action.text
    if step.breaker:
        yield from one_of(step.action, "what is done with a breaker is", ("open",))
    elif action == "retry":
        assert step.count is not None
        count = plain(step.count)
        if count is None or not 1 <= count <= _MOST_RETRIES:
            yield error("P401", step.count.span, f"a call is repeated 1 to {_MOST_RETRIES} times")
        if step.backoff is not None:
            yield from reported(duration(step.backoff, "a backoff", "1m"))
    elif action == "disable":
        if step.count is None:
            yield error("P412", step.span, "`disable` needs a duration", "as in `disable 10m`")
        else:
            yield from reported(duration(step.count, "a ban", "1d"))
    elif step.count is not None and action in _LAST_STEPS:
        yield error("P412", step.count.span, f"`{action}` takes no number")
    elif action == "open":
        yield error("P412", step.span, "what is opened is a breaker", "write `open breaker`")
    else:
        yield from one_of(step.action, "a step is", ("retry", "open", *_LAST_STEPS))


CALL_RULES: tuple[Callable[[Outline], Iterator[Diagnostic]], ...] = (
    sound_cascades,
    sound_pins,
    sound_timeouts,
    sound_switches,
    sound_parameters,
    sound_reactions,
)
