import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policy_lang.text import syntax
from policy_lang.text.builder import token_span
from policy_lang.text.parser import build_lark, parse, tokens
from policy_lang.text.syntax import Both, Comparison, Either, Negated

WORDS = """
policy tasks tier forbid require route default fallback baseline language when unless use where floor until proven serve
pick then within explore at most while unproven and or not in cheapest fastest best prefer AND small task model.stage
{ } [ ] ( ) , = == != <= >= < > * && || ! ; # " "why" 'why' 1 95% $2/day $15/Mtok 2-4 20+ 4096 claude-haiku-4-5 🚀 é
"""
FRAGMENTS = [*WORDS.split(), "\N{CYRILLIC SMALL LETTER ES}mall", "\x00", "\r\n", "\n", "\t"]


@pytest.mark.parametrize("lexer", ["basic", "contextual"])
def test_the_grammar_builds_strictly_with_both_lexers(lexer):
    assert build_lark(lexer=lexer, strict=True)


def test_both_lexers_read_the_corpus_alike(conformance):
    contextual = build_lark(lexer="contextual")
    for path in (conformance / "valid").glob("*.policy"):
        text = path.read_text().removeprefix("\ufeff")
        assert contextual.parse(text, start="start") == parse(text).statements, path.name


def test_tokens_with_trivia_join_to_the_text(conformance):
    for path in sorted(conformance.rglob("*.policy")):
        text = path.read_bytes().decode("utf-8", "replace")
        assert "".join(tokens(text, trivia=True)) == text


def test_spans_count_characters_and_lines_from_one():
    text = '# é🙂\npolicy "ü/é" language 1\r\n  tier ab = [x]'
    header, tier = parse(text).statements
    assert isinstance(header, syntax.Header)
    assert isinstance(tier, syntax.TierRule)
    assert (header.span.line, header.span.column) == (2, 1)
    assert text[header.name.span.start : header.name.span.end] == '"ü/é"'
    assert (tier.name.span.line, tier.name.span.column) == (3, 8)
    assert text[tier.span.start : tier.span.end] == "tier ab = [x]"


def test_every_node_spans_its_own_text():
    text = 'forbid "why" when not (task == chat or context > long) and tools in [2-4, 5-9]'
    (rule,) = parse(text).statements
    assert isinstance(rule, syntax.ForbidRule)
    assert isinstance(rule.when, Both)
    negated, member = rule.when.items
    assert isinstance(negated, Negated)
    assert isinstance(negated.item, Either)
    assert isinstance(negated.item.items[0], Comparison)
    spans = [rule.when, negated, negated.item, negated.item.items[0], member]
    assert [text[node.span.start : node.span.end] for node in spans] == [
        "not (task == chat or context > long) and tools in [2-4, 5-9]",
        "not (task == chat or context > long",
        "task == chat or context > long",
        "task == chat",
        "tools in [2-4, 5-9]",
    ]


def test_and_binds_tighter_than_or():
    (rule,) = parse('forbid "why" when a or b and not c').statements
    assert isinstance(rule, syntax.ForbidRule)
    assert isinstance(rule.when, Either)
    assert isinstance(rule.when.items[1], Both)
    assert isinstance(rule.when.items[1].items[1], Negated)


def test_after_an_error_the_next_clause_and_the_next_statement_are_read():
    parsed = parse("route a when b { use ??? pick cheapest }\ntier = 5\ntier ok = [m]\nforbid when\nbaseline m")
    assert [type(statement).__name__ for statement in parsed.statements] == ["RouteRule", "TierRule", "Baseline"]
    assert [found.span.line for found in parsed.diagnostics] == [1, 2, 4]


@given(st.text())
def test_any_text_is_answered_with_diagnostics(text):
    assert parse(text).statements is not None


@settings(max_examples=300)
@given(st.lists(st.sampled_from(FRAGMENTS), max_size=60).map(" ".join))
def test_any_sequence_of_tokens_is_answered_with_diagnostics_inside_the_text(text):
    for found in parse(text).diagnostics:
        assert 0 <= found.span.start <= found.span.end <= len(text)


def test_a_token_knows_where_it_stands():
    (token,) = tokens("\n  tier", trivia=False)
    assert token_span(token).column == 3
