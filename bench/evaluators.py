"""Filter, all reasons and rank: our evaluators beside Cedar, two CEL bindings and JsonLogic, on the same twelve rules.

    .venvs/bench-policy/bin/python bench/evaluators.py        needs requirements/bench-policy.txt

One policy text is compiled by us and translated, gate by gate, for the peers. For every call each of them says which
models survive, in order of price, and every gate that each of the others fails; the answers are compared before
anything is timed. A peer that is not installed is left out, and said.

CPU time per call, median of rounds. The peers have no memory between calls and get their inputs ready-made. Ours:
seen      a shape that this table has answered before, the steady state of an environment
new       a shape it has not, every shape asked once; the rows of the gates fill up on the way
first     the first call of a table just compiled
"""

from __future__ import annotations

import json
import random
import statistics
import sys
import time
from collections.abc import Callable, Iterable
from functools import partial
from importlib.util import find_spec
from typing import Any

from policy_engine.closures import compile_expr
from policy_engine.oracle import verdicts
from policy_engine.table import Table, compile_table
from policy_engine.wire import RouteRequest
from policy_lang.catalog import Catalog, Model
from policy_lang.compiler import compile_policy
from policy_lang.envelope import Envelope
from policy_lang.gates import Facts
from policy_lang.ir import PPM, And, Compare, CompareFields, Expr, Flag, In, Not, Or, Policy
from policy_lang.vocabulary import FIELDS, REGIONS, STAGES, STRUCTURES, bucket_rank

TEXT = """
policy "bench/evaluators" language 1
tasks extract, reasoning, chat, label
tier  half = [{half}]
tier  rest = [{rest}]
forbid  "extracts stay in the EU"    when task == extract and model.region != eu
forbid  "no previews"                when model.stage == preview unless org == labs
forbid  "nothing deprecated"         when model.stage == deprecated
forbid  "acme leaves p1 and p2 out"  when org == acme and model.provider in [p1, p2]
require "context with headroom"      model.context >= 1.25 * tokens.upper unless tokens == huge
require "price ceiling"              model.price_out <= $15/Mtok unless task == reasoning or org == labs
require "tools that work"            model.tools when tools > 0
require "eyes for mixed content"     model.vision when structure == mixed
require "reasoning where asked"      model.reasoning when task == reasoning and not time_sensitive
require "room to answer"             model.max_output >= 8192 when tokens >= large
require "streams to who waits"       model.streaming when time_sensitive
require "schemas for JSON"           model.json_schema or model.price_out < $1/Mtok when structure == json
default route general {{ use half, rest pick cheapest }}
fallback {fallback}
"""
CALLS = 1_000
#: Survivors in order, and by model the gates it fails.
Answer = tuple[list[str], dict[str, list[str]]]
Evaluator = Callable[[int], Answer]


def world(size: int) -> tuple[Policy, Catalog, list[RouteRequest]]:
    """The policy over `size` models, and distinct calls."""
    chance = random.Random(size)
    models = [model(chance, number) for number in range(size)]
    catalog = Catalog.build(models, {})
    names = [f'"{one.arm}"' for one in models]
    halves = {"half": ", ".join(names[: size // 2]), "rest": ", ".join(names[size // 2 :])}
    compiled = compile_policy(TEXT.format(**halves, fallback=names[0]), catalog)
    policy = compiled.policy or sys.exit(compiled.render())
    requests: dict[RouteRequest, None] = {}
    while len(requests) < CALLS:
        sizes = [chance.choice(FIELDS[name].values) for name in ("context", "tools", "tokens")]
        task, structure = chance.choice(policy.tasks), chance.choice(STRUCTURES)
        envelope = Envelope(task, structure, sizes[0], sizes[1], chance.random() < 0.5, sizes[2])
        requests[RouteRequest(envelope, policy="bench/evaluators", org=chance.choice(("acme", "labs", "other")))] = None
    return policy, catalog, list(requests)


def model(chance: random.Random, number: int) -> Model:
    provider = "safe" if number == 0 else f"p{chance.randrange(5)}"
    flags = ("tools", "json_schema", "vision", "reasoning", "streaming", "prompt_caching")
    facts: dict[str, Any] = {flag: number == 0 or chance.random() < 0.8 for flag in flags}
    if number == 0:  # the fallback, which every call must leave
        facts |= {"context": 2_000_000, "max_output": 64_000, "region": "eu", "stage": "stable"}
        return Model("safe/m0", provider, "m0", 3_000_000, 15_000_000, **facts)
    facts |= {"context": chance.choice((16_000, 128_000, 200_000, 2_000_000)), "region": chance.choice(REGIONS)}
    facts |= {
        "max_output": chance.choice((4_096, 8_192, 64_000)),
        "stage": chance.choice((*STAGES, "stable", "stable")),
    }
    price = chance.choice((50_000, 250_000, 1_000_000, 3_000_000, 15_000_000))
    return Model(f"{provider}/m{number}", provider, f"m{number}", price, price * 5, **facts)


def ours(policy: Policy, catalog: Catalog, requests: list[RouteRequest]) -> dict[str, Evaluator]:
    prices = price_list(catalog)
    compiled = {id(expr): compile_expr(expr) for expr in (policy.default.when, *(g.violation for g in policy.gates))}
    seen = compile_table(policy, catalog)

    def told(table: Table, number: int) -> Answer:
        survey = table.survey(requests[number])
        failing = {c.model.arm: [reason.rule for reason in c.reasons] for c in survey.candidates if c.reasons}
        return sorted([c.model.arm for c in survey.pool], key=prices.__getitem__), failing

    def walked(number: int, evaluate: Any) -> Answer:
        found = verdicts(policy, catalog, {}, requests[number], evaluate=evaluate)
        failing = {arm: [reason.rule for reason in reasons] for arm, (_, _, reasons) in found.arms.items() if reasons}
        return sorted(found.pool, key=prices.__getitem__), failing

    return {
        "pointsman, table, seen": lambda number: told(seen, number),
        "pointsman, closures, nothing kept": lambda number: walked(number, lambda e, facts: compiled[id(e)](facts)),
        "pointsman, tree walk (the oracle)": lambda number: walked(number, evaluate_tree),
    }


def evaluate_tree(expr: Expr, facts: Facts) -> bool | None:
    from policy_lang.gates import evaluate

    return evaluate(expr, facts)


def price_list(catalog: Catalog) -> dict[str, tuple[int, str]]:
    """What all of them rank by."""
    return {arm: (3 * one.price_in + one.price_out, arm) for arm, one in catalog.models.items()}


def answer(catalog: Catalog, failing: dict[str, list[str]], prices: dict[str, tuple[int, str]]) -> Answer:
    return sorted([arm for arm in catalog.models if arm not in failing], key=prices.__getitem__), failing


# --- peers ---------------------------------------------------------------------------------------------------------


def inputs(catalog: Catalog, requests: list[RouteRequest]) -> tuple[list[dict[str, Any]], dict[str, dict[str, Any]]]:
    """The facts of calls and models as plain records."""
    calls = [plain({**request.envelope.facts(), "org": request.org}) for request in requests]
    return calls, {arm: plain(one.facts()) for arm, one in catalog.models.items()}


def plain(facts: Facts) -> dict[str, Any]:
    return {place(name).partition(".")[2]: value for name, value in facts.items() if value is not None}


def place(field: str) -> str:
    """Where a field of ours stands in a peer's input: `tokens.upper` in `call.tokens_upper`."""
    return field if field.startswith("model.") else f"call.{field.replace('.', '_')}"


def named(expr: Compare) -> list[str]:
    """The buckets that an ordered comparison accepts."""
    rank, relation = bucket_rank(expr.field, str(expr.value)), expr.relation
    ranks = {name: bucket_rank(expr.field, name) for name in FIELDS[expr.field].values}
    accepted = {"lt": rank.__gt__, "le": rank.__ge__, "gt": rank.__lt__, "ge": rank.__le__}[relation]
    return [name for name, found in ranks.items() if accepted(found)]


SYMBOLS = {"eq": "==", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">="}


def infix(expr: Expr, prefix: str, member: str) -> str:
    """An expression as Cedar and CEL write it; `member` is how either asks for membership."""
    match expr:
        case And(items) | Or(items):
            joined = (" && " if isinstance(expr, And) else " || ").join(infix(i, prefix, member) for i in items)
            return f"({joined})" if items else ("true" if isinstance(expr, And) else "false")
        case Not(item):
            return f"!({infix(item, prefix, member)})"
        case Flag(field):
            return f"{prefix}{place(field)}"
        case In(field, values):
            return member.format(list=json.dumps(values), item=f"{prefix}{place(field)}")
        case CompareFields(left, relation, ratio, right):
            return f"{prefix}{place(left)} * {PPM} {SYMBOLS[relation]} {prefix}{place(right)} * {ratio}"
        case Compare(field, relation, value):
            if isinstance(value, str) and relation not in ("eq", "ne"):
                return infix(In(field, tuple(named(expr))), prefix, member)
            return f"{prefix}{place(field)} {SYMBOLS[relation]} {json.dumps(value)}"


def cedar(policy: Policy, catalog: Catalog, requests: list[RouteRequest]) -> Evaluator:
    import cedarpy

    calls, models = inputs(catalog, requests)
    prices, rules = price_list(catalog), [gate.reason for gate in policy.gates]
    conditions = [infix(gate.violation, "context.", "{list}.contains({item})") for gate in policy.gates]
    texts = [f"forbid(principal, action, resource) when {{ {condition} }};" for condition in conditions]
    policies = cedarpy.PolicySet.from_str("\n".join([*texts, "permit(principal, action, resource);"]))
    entities = cedarpy.Entities.from_json_str("[]")
    who = {"principal": 'Caller::"one"', "action": 'Action::"serve"'}
    asked = [
        [
            {**who, "resource": f'Model::"{arm}"', "context": {"call": call, "model": facts}}
            for arm, facts in models.items()
        ]
        for call in calls[:READY]
    ]
    numbers = {f"policy{number}": rule for number, rule in enumerate(rules)}

    def evaluated(number: int) -> Answer:
        results = cedarpy.is_authorized_batch(asked[number], policies, entities)
        failing = {
            arm: sorted(numbers[name] for name in result.diagnostics.reasons)
            for arm, result in zip(models, results, strict=True)
            if not result.allowed
        }
        return answer(catalog, failing, prices)

    return evaluated


def cel_source(policy: Policy) -> str:
    return f"[{', '.join(infix(gate.violation, '', '{item} in {list}') for gate in policy.gates)}]"


def cel_cpp(policy: Policy, catalog: Catalog, requests: list[RouteRequest]) -> Evaluator:
    from cel_expr_python import cel

    calls, models = inputs(catalog, requests)
    record = cel.Type.Map(cel.Type.STRING, cel.Type.DYN)
    environment = cel.NewEnv(variables={"call": record, "model": record})
    program = environment.compile(cel_source(policy))
    return by_model(policy, catalog, calls, models, lambda data: program.eval(data=data).plain_value())


def cel_rust(policy: Policy, catalog: Catalog, requests: list[RouteRequest]) -> Evaluator:
    import cel

    calls, models = inputs(catalog, requests)
    return by_model(policy, catalog, calls, models, cel.compile(cel_source(policy)).execute)


def json_logic(policy: Policy, catalog: Catalog, requests: list[RouteRequest]) -> Evaluator:
    from json_logic import jsonLogic

    calls, models = inputs(catalog, requests)
    rules = [prefixed(gate.violation) for gate in policy.gates]
    return by_model(policy, catalog, calls, models, lambda data: [jsonLogic(rule, data) for rule in rules])


def prefixed(expr: Expr) -> Any:
    """An expression as JsonLogic writes it."""
    match expr:
        case And(items) | Or(items):
            return {"and" if isinstance(expr, And) else "or": [prefixed(item) for item in items]}
        case Not(item):
            return {"!": [prefixed(item)]}
        case Flag(field):
            return {"var": place(field)}
        case In(field, values):
            return {"in": [{"var": place(field)}, list(values)]}
        case CompareFields(left, relation, ratio, right):
            sides = ({"*": [{"var": place(left)}, PPM]}, {"*": [{"var": place(right)}, ratio]})
            return {SYMBOLS[relation]: list(sides)}
        case Compare(field, relation, value):
            if isinstance(value, str) and relation not in ("eq", "ne"):
                return prefixed(In(field, tuple(named(expr))))
            return {SYMBOLS[relation]: [{"var": place(field)}, value]}


def by_model(
    policy: Policy,
    catalog: Catalog,
    calls: list[dict[str, Any]],
    models: dict[str, dict[str, Any]],
    violations: Callable[[dict[str, Any]], Iterable[bool]],
) -> Evaluator:
    """An evaluator from a function that says of one call and model which gates it violates."""
    rules, prices = [gate.reason for gate in policy.gates], price_list(catalog)
    ready = [{arm: {"call": call, "model": facts} for arm, facts in models.items()} for call in calls[:READY]]

    def evaluated(number: int) -> Answer:
        failing = {}
        for arm, data in ready[number].items():
            if failed := [rule for rule, found in zip(rules, violations(data), strict=True) if found]:
                failing[arm] = failed
        return answer(catalog, failing, prices)

    return evaluated


PEERS = {
    "cedarpy, one batch": ("cedarpy", cedar),
    "CEL, C++ (cel-expr-python)": ("cel_expr_python", cel_cpp),
    "CEL, Rust (common-expression-language)": ("cel", cel_rust),
    "json-logic-qubit": ("json_logic", json_logic),
}
#: Calls that the peers are asked: they do not get faster by more.
READY = 40


def ready(evaluator: Callable[[int], object]) -> None:
    """Every request that stands ready, once."""
    for number in range(READY):
        evaluator(number)


def median_us(work: Callable[[], Any], calls: int, rounds: int) -> float:
    """Microseconds of CPU a call."""
    times = []
    for _ in range(rounds):
        began = time.process_time_ns()
        work()
        times.append((time.process_time_ns() - began) / calls / 1_000)
    return statistics.median(times)


def measured(size: int) -> dict[str, float | None]:
    policy, catalog, requests = world(size)
    evaluators = ours(policy, catalog, requests)
    missing = [name for name, (module, _) in PEERS.items() if find_spec(module) is None]
    evaluators |= {n: make(policy, catalog, requests) for n, (_, make) in PEERS.items() if n not in missing}
    reference = evaluators["pointsman, tree walk (the oracle)"]
    for name, evaluator in evaluators.items():
        for number in range(READY):
            assert evaluator(number) == reference(number), (name, requests[number])
    found: dict[str, float | None] = {}
    for name, evaluator in evaluators.items():
        found[name] = median_us(partial(ready, evaluator), READY, 5 if size > 10 else 15)
    table, prices = compile_table(policy, catalog), price_list(catalog)
    found["pointsman, table, seen"] = median_us(lambda: [ranked(table, r, prices) for r in requests], len(requests), 15)
    found["pointsman, table, new shape"] = median_us(lambda: stream(policy, catalog, requests), len(requests), 7)
    fresh = [compile_table(policy, catalog) for _ in range(60)]
    found["pointsman, table, first call"] = median_us(lambda: ranked(fresh.pop(), requests[0], prices), 1, 60)
    return {**found, **dict.fromkeys(missing)}


def stream(policy: Policy, catalog: Catalog, requests: list[RouteRequest]) -> None:
    table, prices = compile_table(policy, catalog), price_list(catalog)
    for request in requests:
        ranked(table, request, prices)


def ranked(table: Table, request: RouteRequest, prices: dict[str, tuple[int, str]]) -> list[str]:
    return sorted([c.model.arm for c in table.survey(request).pool], key=prices.__getitem__)


def main() -> None:
    columns = {size: measured(size) for size in (10, 100)}
    print(f"{'CPU us a call: filter, all reasons, rank; 12 gates':52}{'10 models':>12}{'100 models':>12}")
    for name in sorted(columns[10], key=lambda name: columns[10][name] or float("inf")):
        cells = [f"{value:12.1f}" if (value := columns[size][name]) else f"{'not at hand':>12}" for size in (10, 100)]
        print(f"{name:52}{''.join(cells)}")
    print(f"answers of all of them equal over {READY} calls")


if __name__ == "__main__":
    main()
