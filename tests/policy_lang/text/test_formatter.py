"""fmt: golden pairs in formatting/ (NAME.policy in, NAME.laid out), and the corpus with its blanks shuffled."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policy_lang.text.formatter import WIDTH, format_policy, shape_of
from policy_lang.text.parser import parse, tokens

PAIRS = sorted((Path(__file__).parent / "formatting").glob("*.policy"))
ROOT = Path(__file__).parents[3]
CORPUS = sorted([*(ROOT / "tests/conformance/valid").glob("*.policy"), *(ROOT / "samples").glob("*/*.policy")])
TEXTS = [path.read_bytes().decode("utf-8-sig") for path in (*PAIRS, *CORPUS)]
SMALL = [text for text in TEXTS if len(text) < 4_000]


@pytest.mark.parametrize("path", PAIRS, ids=lambda path: path.stem)
def test_a_policy_is_laid_out_like_its_golden_twin(path, golden):
    laid = format_policy(path.read_bytes())
    assert laid.text is not None, laid.diagnostics
    golden(path.with_suffix(".laid"), laid.text)


@pytest.mark.parametrize("text", TEXTS, ids=[path.stem for path in (*PAIRS, *CORPUS)])
def test_layout_keeps_the_tree_and_the_comments_and_does_not_change_again(text):
    laid = format_policy(text).text
    assert format_policy(laid).text == laid
    assert shape_of(parse(laid).statements) == shape_of(parse(text).statements)
    assert comments(laid) == comments(text)
    assert all(len(line) <= WIDTH or "#" in line or '"' in line for line in laid.splitlines())


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(SMALL), st.data())
def test_however_blanks_and_comments_fall_the_layout_is_stable_and_loses_nothing(text, data):
    shuffled = scattered(text, data.draw)
    laid = format_policy(shuffled)
    assert laid.text is not None, laid.diagnostics
    assert format_policy(laid.text).text == laid.text
    assert shape_of(parse(laid.text).statements) == shape_of(parse(text).statements)
    assert comments(laid.text) == comments(shuffled)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from([text for text in SMALL if "#" not in text]), st.data())
def test_line_breaks_inside_statements_make_no_difference(text, data):
    # Empty lines are the author's, so only the breaks around them are redrawn.
    blanks = st.sampled_from([" ", "  ", "\t", "\n", " \n "])
    parts = [data.draw(blanks) if found.isspace() and found.count("\n") < 2 else found for found in pieces(text)]
    assert format_policy("".join(parts)).text == format_policy(text).text


@pytest.mark.parametrize("source", [b'policy "a language 1', b"\xff", b"tier x = [a b]", b"\x00"])
def test_what_cannot_be_read_is_not_written(source):
    laid = format_policy(source)
    assert laid.text is None
    assert laid.diagnostics


def test_an_empty_file_stays_empty():
    assert format_policy("").text == ""
    assert format_policy("\n\n").text == ""
    assert format_policy("# only this").text == "# only this\n"


def pieces(text):
    return [str(token) for token in tokens(text, trivia=True)]


def comments(text):
    return [piece.rstrip(" \t\r") for piece in pieces(text) if piece.startswith("#")]


def scattered(text, draw):
    """The same tokens with other blanks and more comments between them."""
    gaps = st.sampled_from([" ", " ", "\n", "\n\n", "\n\n\n", "\t", " # note\n", "\n# own line\n", "\n\n#\n\n"])
    parts = []
    for piece in pieces(text):
        if piece.startswith("#"):
            parts.append(f"{piece}\n")
        elif piece.isspace():
            parts.append(draw(gaps))
        else:
            parts.append(piece)
    return "".join(parts)
