"""The summary object as text for people."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from policy_cli.demo.calls import Scenario

__all__ = ["report"]

_BAR = 40
_MOST_MODELS = 12


def report(scenario: Scenario, summary: Mapping[str, Any]) -> str:
    """Sections separated by blank lines; problems last, where they are seen."""
    sections = (
        _distribution(scenario, summary),
        _money(summary),
        _exploration(summary),
        _comparison(scenario, summary),
        _accounting(summary),
        [f"note: {note}" for note in scenario.notes],
        [f"problem: {problem}" for problem in summary["problems"]],
    )
    return "\n\n".join("\n".join(lines) for section in sections if (lines := list(section)))


def _distribution(scenario: Scenario, summary: Mapping[str, Any]) -> Iterator[str]:
    total = summary["decisions"]
    stopped = "" if summary["complete"] else f" (stopped before all {len(scenario.calls):,} were made)"
    yield f"{total:,} decisions by model{stopped}"
    models: list[tuple[str, int]] = list(summary["models"].items())
    shown, rest = models[:_MOST_MODELS], models[_MOST_MODELS:]
    if rest:
        shown.append((f"{len(rest)} others", sum(count for _, count in rest)))
    for model, count in shown:
        yield f"  {model:<44} {count:>6,}  {count / total:>6.1%}  {'#' * round(_BAR * count / total)}"
    if summary["no_candidates"]:
        yield f"  {'no model could serve':<44} {summary['no_candidates']:>6,}"


def _money(summary: Mapping[str, Any]) -> Iterator[str]:
    cost, baseline = summary["cost_nanodollars"], summary["baseline_nanodollars"]
    share = f", {cost / baseline:.1%} of it" if baseline else ""
    yield f"cost      {_dollars(cost)} against {_dollars(baseline)} on the baseline of each policy{share}"
    yield f"quality   {summary['quality']:.4f} (mean worth of the answers, 0 to 1)"
    if summary["failovers"]:
        yield f"failover  {summary['failovers']:,} calls went on to the next model of their plan after a provider fault"


def _exploration(summary: Mapping[str, Any]) -> Iterator[str]:
    yield f"{'by tenth of the run':<28} {_percents(range(1, 11), '{:>6}')}"
    yield f"{'cost / baseline':<28} {_percents(summary['cost_share_by_tenth'])}"
    yield f"{'explored':<28} {_percents(summary['explored_by_tenth'])}"
    if len(summary["explored_by_policy"]) > 1:
        for policy, shares in summary["explored_by_policy"].items():
            yield f"{'  ' + policy:<28} {_percents(shares)}"


def _comparison(scenario: Scenario, summary: Mapping[str, Any]) -> Iterator[str]:
    if "singles" not in summary:
        return
    value = scenario.value_nanodollars
    heading = f"net utility at {_dollars(value)} a success" if value else "no value of a success"
    recent = summary["last_1000"]
    yield f"{'on the same decisions':<44} {'quality':>8} {'$/1,000':>10} {'net':>8}   {'last ' + _count(recent):>10}"
    rows: list[tuple[str, Mapping[str, Any], Mapping[str, Any]]] = [
        ("routed", summary, recent),
        ("random (expected)", summary["random"], recent["random"]),
    ]
    singles = summary["singles"]
    order = sorted(singles, key=lambda arm: -singles[arm].get("net_utility", singles[arm]["quality"]))
    rows += [(f"always {arm.partition('/')[2]}", singles[arm], recent["singles"][arm]) for arm in order]
    for name, account, late in rows:
        per_thousand = account["cost_nanodollars"] / summary["decisions"] / 1e6
        nets = f"{_net(account):>8}   {_net(late):>10}"
        yield f"  {name:<42} {account['quality']:>8.4f} {per_thousand:>10.4f} {nets}"
    yield f"  ({heading})"
    if "share_of_best_static" in summary:
        yield f"best single model: {_share(summary)} over all, {_share(recent)} over the last {_count(recent)}"


def _accounting(summary: Mapping[str, Any]) -> Sequence[str]:
    states = ("applied", "duplicates", "late", "rejected")
    parts = " + ".join(f"{summary[f'telemetry_{state}']:,} {state}" for state in states)
    equal = f"{summary['replayed_equal']:,} replayed byte-equal in a process without clock and sockets"
    return (
        f"receipts  {summary['receipts']:,} of {summary['decisions']:,} in S3, {equal}",
        f"telemetry {summary['telemetry_accepted']:,} accepted = {parts}",
    )


def _percents(shares: Iterable[float], form: str = "{:>6.1%}") -> str:
    return " ".join(form.format(share) for share in shares)


def _share(account: Mapping[str, Any]) -> str:
    best = account["best_static"]
    return (
        f"{account['share_of_best_static']:.1%} of always {best['arm'].partition('/')[2]} ({best['net_utility']:.4f})"
    )


def _net(account: Mapping[str, Any]) -> str:
    return f"{account['net_utility']:.4f}" if "net_utility" in account else "-"


def _count(account: Mapping[str, Any]) -> str:
    return f"{account['decisions']:,}"


def _dollars(nanodollars: int | None) -> str:
    return "-" if nanodollars is None else f"${nanodollars / 1e9:.4f}"
