"""`pointsman diff`: exact shares, a call for each change, weights of past traffic."""

import json
from fractions import Fraction

import pytest

from policy_lang.envelope import build_envelope, cluster_id, envelope_to_wire


@pytest.fixture
def pair(policy_file, policy_text, write):
    return policy_file, write(policy_text.replace("general { use small", "general { use large"), "new.policy")


def test_what_means_the_same_is_equal_whatever_it_looks_like(run, policy_file, write, policy_text):
    done = run("diff", policy_file, write(policy_text.replace("\n", "\n\n")))
    assert (done.exit_code, done.stdout) == (0, "they mean the same for every call\n")


def test_a_change_is_told_with_its_share_and_a_call(run, pair):
    done = run("diff", *pair)
    assert done.exit_code == 1
    assert "50% of shapes change" in done.stdout
    assert "the first tier with a candidate: 50% of shapes" in done.stdout
    assert "  for a call with `task = other`\n  - small\n  + large\n" in done.stdout


def test_json_is_exact_and_its_witness_is_a_request_that_shows_the_change(run, pair):
    found = json.loads(run("diff", *pair, "--format", "json").stdout)
    assert found["verdict"] == "different"
    (tier,) = (change for change in found["changes"] if change["aspect"] == "tier")
    assert Fraction(tier["share"]["exact"]) == Fraction(1, 2)
    replies = [json.loads(run("eval", path, json.dumps(tier["witness"]), "--format", "json").stdout) for path in pair]
    assert [reply["tier"] for reply in replies] == [tier["before"], tier["after"]] == ["small", "large"]


@pytest.mark.parametrize("by_cluster", [True, False])
def test_a_histogram_weighs_the_changes(run, pair, write, by_cluster):
    counts = {"label": 30, "other": 10}
    envelopes = {build_envelope(task_type=task): count for task, count in counts.items()}
    if by_cluster:
        document = {cluster_id(envelope): count for envelope, count in envelopes.items()}
    else:
        document = [{"envelope": envelope_to_wire(envelope), "count": n} for envelope, n in envelopes.items()]
    done = run("diff", *pair, "--histogram", write(json.dumps(document), "h.json"))
    assert "50% of shapes, 25% of the traffic change" in done.stdout


@pytest.mark.parametrize("text", ["{}", "[]", '{"x": 1}', "[1]", '[{"envelope": {}, "count": 1}]', '{"a": 1.5}'])
def test_a_histogram_that_is_none_is_refused(run, pair, write, text):
    assert run("diff", *pair, "--histogram", write(text, "h.json")).exit_code == 2


def test_a_policy_that_does_not_compile_cannot_be_compared(run, policy_file, write):
    done = run("diff", policy_file, write("tier"))
    assert done.exit_code == 1
    assert "P101" in done.stderr
