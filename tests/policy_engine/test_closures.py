"""The compiled closures are held to the naive tree walk."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from policy_engine.closures import compile_expr
from policy_lang.gates import evaluate
from policy_lang.ir import And, Compare, CompareFields, Flag, In, Not, Or
from policy_lang.vocabulary import FIELDS

WORDS = st.sampled_from(["label", "prose", "short", "tiny", "medium", "large", "huge", "eu", "us", "0", "2-4"])
NUMBERS = st.integers(0, 3_000)
BUCKETED = {name: spec.values for name, spec in FIELDS.items() if spec.kind == "ordered"}
NUMERIC = [name for name, spec in FIELDS.items() if spec.kind in ("tokens", "price", "ppm")]
WORDY = [name for name, spec in FIELDS.items() if spec.kind in ("enum", "slug")]
FLAGS = [name for name, spec in FIELDS.items() if spec.kind == "flag"]
RELATIONS = st.sampled_from(["eq", "ne", "lt", "le", "gt", "ge"])

ATOMS = st.one_of(
    st.builds(Compare, st.sampled_from(NUMERIC), RELATIONS, NUMBERS),
    st.builds(Compare, st.sampled_from(WORDY), RELATIONS, WORDS),
    st.sampled_from(sorted(BUCKETED)).flatmap(
        lambda name: st.builds(Compare, st.just(name), RELATIONS, st.sampled_from(BUCKETED[name]))
    ),
    st.builds(In, st.sampled_from(WORDY + sorted(BUCKETED)), st.lists(WORDS, min_size=1).map(tuple)),
    st.builds(Flag, st.sampled_from(FLAGS)),
    st.builds(
        CompareFields,
        st.sampled_from(NUMERIC),
        st.sampled_from(["lt", "le", "gt", "ge"]),
        st.integers(1, 3_000_000),
        st.sampled_from(NUMERIC),
    ),
)
EXPRESSIONS = st.recursive(
    ATOMS,
    lambda inner: st.one_of(
        st.builds(Not, inner),
        st.builds(And, st.lists(inner, max_size=4).map(tuple)),
        st.builds(Or, st.lists(inner, max_size=4).map(tuple)),
    ),
    max_leaves=12,
)


def fact(name: str) -> st.SearchStrategy:
    spec = FIELDS[name]
    if spec.kind == "flag":
        return st.none() | st.booleans()
    if spec.kind == "ordered":
        return st.none() | st.sampled_from(spec.values)
    return st.none() | (NUMBERS if spec.kind in ("tokens", "price", "ppm") else WORDS)


FACTS = st.fixed_dictionaries({}, optional={name: fact(name) for name in FIELDS})


@given(EXPRESSIONS, FACTS)
def test_closures_agree_with_the_tree_walk(expr, facts):
    assert compile_expr(expr)(facts) is evaluate(expr, facts)
