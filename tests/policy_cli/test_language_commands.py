"""The commands of the language on files, each in process through click; exit codes as `main` documents them."""

import datetime
import json
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from policy_cli.commands.new import PRESETS, preset
from policy_cli.main import cli
from policy_lang.catalog import default_catalog
from policy_lang.compiler import compile_policy
from policy_lang.fingerprint import policy_fingerprint
from policy_lang.formatter import format_policy
from policy_lang.validation import validate

SAMPLES = Path(__file__).parents[2] / "samples"
ACME = str(SAMPLES / "acme/support.policy")
UNTIDY = (
    'policy "a/b" language 1 # name\ntier t=[gpt-5.4-mini]\ndefault route r{use t pick cheapest}fallback gpt-5.4-mini'
)
TIDY = """policy "a/b" language 1  # name
tier t = [gpt-5.4-mini]
default route r {
  use  t
  pick cheapest
}
fallback gpt-5.4-mini
"""


def run(*arguments, stdin=None):
    return CliRunner().invoke(cli, [str(argument) for argument in arguments], input=stdin)


@pytest.fixture
def write(tmp_path):
    def writing(text, name="a.policy"):
        path = tmp_path / name
        path.write_bytes(text.encode())
        return path

    return writing


class TestCheck:
    @pytest.mark.parametrize("form", ["full", "concise", "json", "github", "sarif", "junit"])
    def test_a_finding_is_told_in_every_format_with_exit_code_1(self, form, write):
        done = run("check", write(TIDY.replace("use  t", "use  u")), "--format", form)
        assert done.exit_code == 1
        assert "P307" in done.stdout

    def test_machine_formats_print_nothing_else(self, write):
        path = write(TIDY)
        assert run("check", path, "--format", "json").output == ""
        assert json.loads(run("check", path, "--format", "sarif").output)["runs"][0]["results"] == []
        assert ElementTree.fromstring(run("check", path, "--format", "junit").output.encode()).get("failures") == "0"


class TestFmt:
    def test_a_file_is_laid_out_in_place_once(self, write):
        path = write(UNTIDY)
        assert run("fmt", path).exit_code == 0
        assert path.read_text() == TIDY
        assert "1 as they should be" in run("fmt", path).output

    def test_check_and_diff_write_nothing_and_exit_with_1(self, write):
        path = write(UNTIDY)
        checked, compared = run("fmt", "--check", path), run("fmt", "--diff", path)
        assert (checked.exit_code, compared.exit_code) == (1, 1)
        assert f"would change {path}" in checked.output
        assert "+tier t = [gpt-5.4-mini]" in compared.output
        assert path.read_text() == UNTIDY
        assert run("fmt", "--check", write(TIDY)).exit_code == 0

    def test_standard_input_goes_to_standard_output(self):
        assert run("fmt", "-", stdin=UNTIDY).stdout == TIDY

    def test_what_cannot_be_read_is_left_as_it_is(self, write):
        path = write("tier t = [")
        done = run("fmt", path)
        assert done.exit_code == 1
        assert "P101" in done.output
        assert path.read_text() == "tier t = ["

    def test_line_ends_of_the_file_are_kept(self, write):
        path = write(UNTIDY.replace("\n", "\r\n"))
        run("fmt", path)
        assert path.read_bytes() == TIDY.replace("\n", "\r\n").encode()


class TestTest:
    PASSING = TIDY + 'test "served" { given task = label expect status == served }\n'
    FAILING = TIDY + 'test "not served" { given task = label expect status == no_candidates }\n'

    def test_passing_tests_exit_with_0_and_failing_ones_with_1(self, write):
        assert run("test", write(self.PASSING)).exit_code == 0
        done = run("test", write(self.FAILING))
        assert done.exit_code == 1
        assert '"not served" expects status `no_candidates`, and it is `served`' in done.stdout
        assert "a.policy:8:" in done.stdout

    def test_no_test_at_all_is_an_error_of_its_own(self, write):
        done = run("test", write(TIDY))
        assert done.exit_code == 2
        assert "no test in" in done.output

    def test_a_policy_that_does_not_compile_has_failed(self, write):
        done = run("test", write(self.PASSING.replace("use  t", "use  u")))
        assert done.exit_code == 1
        assert "P307" in done.output

    def test_json_and_junit_tell_the_same(self, write):
        paths = write(self.PASSING, "a.policy"), write(self.FAILING, "b.policy")
        (passed, failed) = json.loads(run("test", *paths, "--format", "json").stdout)
        assert [row["passed"] for row in (*passed["tests"], *failed["tests"])] == [True, False]
        assert failed["tests"][0]["failures"][0]["code"] == "P801"
        root = ElementTree.fromstring(run("test", *paths, "--format", "junit").stdout.encode())
        assert (root.get("tests"), root.get("failures")) == ("2", "1")
        assert [case.get("name") for case in root.iter("testcase")] == ["served", "not served"]

    def test_a_test_sees_the_times_and_outcomes_its_statistics_state(self, write):
        text = """policy "a/b" language 1
tier t = [gpt-5.4-mini, claude-haiku-5-5]
default route r { use t pick fastest latency_p95 within 1% then cheapest }
fallback gpt-5.4-mini
statistics "mini" { gpt-5.4-mini on label 50 ok, latency_p95 300ms  claude-haiku-5-5 on label 50 ok, latency_p95 310ms }
statistics "haiku" { gpt-5.4-mini on label 50 ok, latency_p95 310ms claude-haiku-5-5 on label 50 ok, latency_p95 300ms }
test "mini" { given task = label, statistics "mini" expect model == gpt-5.4-mini }
test "haiku" { given task = label, statistics "haiku" expect model == claude-haiku-5-5 }
"""
        assert run("test", write(text)).exit_code == 0


class TestEval:
    def test_the_call_comes_by_options_json_or_file(self, write):
        envelope = '{"task_type": "label", "structure_type": "list"}'
        by_option = run("eval", ACME, "--task", "label", "--structure", "list", "--format", "json")
        by_json = run("eval", ACME, envelope, "--format", "json")
        by_file = run("eval", ACME, write(envelope, "e.json"), "--format", "json")
        by_pipe = run("eval", ACME, "-", "--format", "json", stdin=envelope)
        assert by_option.exit_code == 0
        assert by_option.stdout == by_json.stdout == by_file.stdout == by_pipe.stdout
        reply = json.loads(by_option.stdout)
        assert (reply["route"], reply["explored"], reply["propensity_ppm"]) == ("labelling", False, 1_000_000)

    def test_a_whole_request_may_stand_for_the_envelope(self):
        row = json.loads((SAMPLES / "acme/envelopes.json").read_text())[4]["request"]
        reply = json.loads(run("eval", ACME, json.dumps(row), "--format", "json").stdout)
        assert "no previews" not in json.dumps(reply["candidates"])

    def test_every_candidate_has_its_verdict(self):
        done = run("eval", ACME, "--task", "pii-extract")
        assert '"PII stays in the EU" (line 10) cannot be evaluated' in done.stdout
        assert "plan     1. " in done.stdout

    def test_what_was_learned_comes_from_a_history_or_from_the_policy(self, write):
        history = SAMPLES / "acme/history.json"
        tell = ("--task", "label", "--structure", "list", "--tokens", 300, "--format", "json")
        learned = json.loads(run("eval", ACME, "--history", history, *tell).stdout)
        assert (learned["arm"], learned["floor"]) == ("anthropic/claude-haiku-4-5", "cleared")
        text = Path(ACME).read_text() + 'statistics "s" { claude-haiku-4-5 on label 600 ok, 12 wrong }\n'
        named = json.loads(run("eval", write(text), "--statistics", "s", *tell).stdout)
        assert (named["arm"], named["floor"]) == ("anthropic/claude-haiku-4-5", "cleared")
        unknown = run("eval", write(text), "--statistics", "t", *tell)
        assert unknown.exit_code == 2
        assert 'it has "s"' in unknown.output

    def test_a_snapshot_of_the_service_is_read(self, write):
        from policy_cli.history import snapshot_of_history
        from policy_cli.local import NOW_MS
        from policy_engine.snapshot import snapshot_document

        made = snapshot_of_history(json.loads((SAMPLES / "acme/history.json").read_text()), NOW_MS)
        path = write(json.dumps(snapshot_document(made)), "s.json")
        tell = ("--task", "label", "--structure", "list", "--tokens", 300, "--format", "json")
        reply = json.loads(run("eval", ACME, "--snapshot", path, *tell).stdout)
        assert reply["fingerprints"]["snapshot"] == made.fingerprint
        assert run("eval", ACME, "--snapshot", write("{}", "t.json"), *tell).exit_code == 2

    def test_no_candidate_is_exit_code_3_and_bad_calls_are_2(self):
        nobody = ("eval", ACME, "--task", "pii-extract", "--candidate", "anthropic/claude-haiku-4-5")
        assert run(*nobody).exit_code == 3
        for wrong in ((), ("[1]",), ("{",), ('{"task_type": "Label"}',), ("{}", "--task", "label")):
            assert run("eval", ACME, *wrong).exit_code == 2, wrong
        assert run("eval", ACME, "--task", "label", "--attribute", "plan").exit_code == 2


class TestNormalize:
    def test_it_prints_an_ir_that_is_valid_and_named_by_its_fingerprint(self):
        found = json.loads(run("normalize", ACME).stdout)
        assert policy_fingerprint(validate(found["ir"])) == found["fingerprint"]
        assert run("normalize", ACME, "--fingerprint").stdout.strip() == found["fingerprint"]

    def test_layout_and_order_of_gates_do_not_matter_and_an_ir_is_normal_already(self, write):
        whole = run("normalize", write(UNTIDY)).stdout
        assert run("normalize", write(TIDY)).stdout == whole
        assert run("normalize", write(whole, "a.json")).stdout == whole

    def test_what_is_no_policy_is_refused(self, write):
        assert run("normalize", write("tier")).exit_code == 1
        for text in ("{", "[]", '{"name": "a", "name": "b"}', '{"ir": {"name": "a"}}'):
            assert run("normalize", write(text, "a.json")).exit_code == 2, text


class TestNew:
    @pytest.mark.parametrize("which", PRESETS)
    def test_a_preset_compiles_without_a_warning_is_laid_out_and_passes_its_tests(self, which, write):
        text = preset(which, "team/mine", datetime.date(2027, 1, 31))
        compiled = compile_policy(text, default_catalog())
        assert compiled.diagnostics == ()
        assert compiled.policy.name == "team/mine"
        assert "example" not in text
        assert format_policy(text).text == text
        done = run("test", write(text))
        assert done.exit_code == 0, done.output

    def test_it_prints_or_writes_but_never_over_a_file(self, tmp_path):
        out = tmp_path / "mine.policy"
        printed = run("new", "canary", "--name", "team/mine").stdout
        assert run("new", "canary", "--name", "team/mine", "--out", out).exit_code == 0
        assert out.read_text() == printed
        assert 'canary "team/mine-next"' in printed
        assert run("new", "canary", "--out", out).exit_code == 2

    def test_a_name_that_cannot_be_is_refused(self):
        done = run("new", "cascade", "--name", 'a" language 1')
        assert done.exit_code == 2
        assert run("new", "something").exit_code == 2


def test_every_command_has_help_that_needs_nothing_else():
    with click.Context(cli) as context:
        for name in cli.list_commands(context):
            assert run(name, "--help").exit_code == 0
