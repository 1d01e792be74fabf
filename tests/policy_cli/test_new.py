"""`pointsman new`: presets that compile and pass their own tests."""

import datetime

import pytest

from policy_cli.commands.new import PRESETS, preset
from policy_lang.catalog import default_catalog
from policy_lang.compiler import compile_policy
from policy_lang.lint import lint
from policy_lang.text.formatter import format_policy


@pytest.mark.parametrize("which", PRESETS)
def test_a_preset_compiles_without_a_warning_is_laid_out_and_passes_its_tests(run, which, write):
    text = preset(which, "team/mine", datetime.date(2027, 1, 31))
    compiled = compile_policy(text, default_catalog())
    assert compiled.diagnostics == ()
    assert {finding.severity for finding in lint(compiled, default_catalog())} <= {"note"}
    assert compiled.policy.name == "team/mine"
    assert "example" not in text
    assert format_policy(text).text == text
    done = run("test", write(text))
    assert done.exit_code == 0, done.output


def test_it_prints_or_writes_but_never_over_a_file(run, tmp_path):
    out = tmp_path / "mine.policy"
    printed = run("new", "canary", "--name", "team/mine").stdout
    assert run("new", "canary", "--name", "team/mine", "--out", out).exit_code == 0
    assert out.read_text() == printed
    assert 'canary "team/mine-next"' in printed
    assert run("new", "canary", "--out", out).exit_code == 2


def test_a_name_that_cannot_be_is_refused(run):
    done = run("new", "cascade", "--name", 'a" language 1')
    assert done.exit_code == 2
    assert run("new", "something").exit_code == 2
