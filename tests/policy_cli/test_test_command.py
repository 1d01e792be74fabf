"""`pointsman test`: the verdicts of policies on themselves."""

import json
import signal
import subprocess
import sys
import xml.etree.ElementTree as ElementTree

TIDY = """policy "a/b" language 1 # name
tier t=[gpt-5.4-mini]
default route r{use t pick cheapest}fallback gpt-5.4-mini"""
TIDY = """policy "a/b" language 1  # name
tier t = [gpt-5.4-mini]
default route r {
  use  t
  pick cheapest
}
fallback gpt-5.4-mini
"""
PASSING = TIDY + 'test "served" { given task = label expect status == served }\n'
FAILING = TIDY + 'test "not served" { given task = label expect status == no_candidates }\n'


def test_passing_tests_exit_with_0_and_failing_ones_with_1(run, write):
    assert run("test", write(PASSING)).exit_code == 0
    done = run("test", write(FAILING))
    assert done.exit_code == 1
    assert '"not served" expects status `no_candidates`, and it is `served`' in done.stdout
    assert "a.policy:8:" in done.stdout


def test_no_test_at_all_is_an_error_of_its_own(run, write):
    done = run("test", write(TIDY))
    assert done.exit_code == 2
    assert "no test in" in done.output


def test_a_policy_that_does_not_compile_has_failed(run, write):
    done = run("test", write(PASSING.replace("use  t", "use  u")))
    assert done.exit_code == 1
    assert "P307" in done.output


def test_json_and_junit_tell_the_same(run, write):
    paths = write(PASSING, "a.policy"), write(FAILING, "b.policy")
    (passed, failed) = json.loads(run("test", *paths, "--format", "json").stdout)
    assert [row["passed"] for row in (*passed["tests"], *failed["tests"])] == [True, False]
    assert failed["tests"][0]["failures"][0]["code"] == "P801"
    root = ElementTree.fromstring(run("test", *paths, "--format", "junit").stdout.encode())
    assert (root.get("tests"), root.get("failures")) == ("2", "1")
    assert [case.get("name") for case in root.iter("testcase")] == ["served", "not served"]


def test_a_test_sees_the_times_and_outcomes_its_statistics_state(run, write):
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


def test_coverage_names_what_no_test_shows_and_a_call_that_would(run, write, policy_text):
    text = policy_text + 'test "labels" { given task = label, org = us expect route == labelling }\n'
    done = run("test", "--coverage", write(text))
    assert done.exit_code == 0
    assert "coverage 50% of what rules can do" in done.stdout
    assert '"PII stays in the EU" (line 5): no test where it removes a model; try a call with `org = eu`' in done.stdout
    assert "route `general` (line 13): no test where it takes a call; try a call with `task = other`" in done.stdout


def test_whole_coverage_has_nothing_to_add(run, write, policy_text):
    text = policy_text + 'test "labels" { given task = label, org = us expect route == labelling }\n'
    text += 'test "others" { given task = other, org = eu expect route == general }\n'
    (found,) = json.loads(run("test", "--coverage", "--format", "json", write(text)).stdout)
    assert found["coverage"]["share"] == 1
    assert {row["rule"] for row in found["coverage"]["rules"]} == {
        "PII stays in the EU",
        "route:labelling",
        "route:general",
    }


def test_watch_runs_again_when_a_file_changes_and_ends_on_an_interrupt(write):
    path = write(PASSING)
    command = [sys.executable, "-u", "-m", "policy_cli.main", "test", "--watch", str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr.readline() == "watching; Ctrl-C ends\n"
        write(FAILING, "b.policy").replace(path)
        assert process.stderr.readline() == "watching; Ctrl-C ends\n"
        process.send_signal(signal.SIGINT)
        printed, _ = process.communicate(timeout=20)
    assert "1 passed, 0 failed" in printed
    assert "0 passed, 1 failed" in printed
    assert process.returncode == 130


def test_programs_read_failures_as_they_read_the_findings_of_check(run, write):
    path = write(FAILING)
    github = run("test", path, "--format", "github")
    assert (github.exit_code, github.stdout.count("\n")) == (1, 1)
    assert github.stdout.startswith(f"::error title=pointsman (P801),file={path},line=8,")
    (found,) = json.loads(run("test", path, "--format", "sarif").stdout)["runs"]
    assert [(row["ruleId"], row["level"]) for row in found["results"]] == [("P801", "error")]
    passed = run("test", write(PASSING), "--format", "github")
    assert (passed.exit_code, passed.stdout) == (0, "")
