import io
import pickle

import lark

from policy_lang.text import tables
from policy_lang.text.parser import build_lark, parse


def test_the_stored_parse_tables_are_those_of_the_grammar():
    stored = tables._FILE.read_bytes()
    advice = "run `python -m policy_lang.text.tables` after a change to the grammar or an upgrade of lark"
    assert stored.startswith(tables.tables_key(lark.__version__)), advice


def test_other_tables_are_not_read(tmp_path, monkeypatch):
    assert tables.load_tables("0.0") is None
    monkeypatch.setattr(tables, "_FILE", tmp_path / "grammar.tables")
    assert tables.load_tables(lark.__version__) is None
    buffer = io.BytesIO()
    build_lark(transformer=None).save(buffer)
    tables.save_tables(lark.__version__, buffer.getvalue())
    assert tables.load_tables(lark.__version__).keys() == pickle.loads(buffer.getvalue()).keys()


def test_a_parser_from_tables_reads_what_one_from_the_grammar_reads(conformance, monkeypatch):
    texts = [path.read_bytes().decode("utf-8-sig", "replace") for path in sorted(conformance.glob("*/*.policy"))]
    by_tables = [parse(text) for text in texts]
    from policy_lang.text import parser

    built = build_lark()
    monkeypatch.setattr(parser, "_lark", lambda: built)
    assert [parse(text) for text in texts] == by_tables
