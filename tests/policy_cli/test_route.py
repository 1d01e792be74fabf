from __future__ import annotations

import json

import pytest

from policy_client import Client, HmacCredentials, NoCandidates, build_envelope


def test_the_service_answers_with_its_reasons(pointsman, policy_file):
    assert pointsman("publish", policy_file).returncode == 0
    done = pointsman("route", "--policy", "acme/support", "--task", "label", "--org", "eu")
    assert done.returncode == 0
    assert "served    bedrock/eu." in done.stdout
    assert '- "PII stays in the EU" (line 5) cannot be evaluated, so it fails: model.region is unknown' in done.stdout


def test_an_ir_travels_with_the_call(pointsman, policy_file, tmp_path):
    ir = tmp_path / "ir.json"
    assert pointsman("compile", policy_file, "--out", ir).returncode == 0
    done = pointsman("route", "--ir", ir, "--task", "label", "--format", "json")
    assert json.loads(done.stdout)["route"] == "labelling"


def test_no_candidates_ends_with_3(pointsman, policy_file):
    pointsman("publish", policy_file)
    asked = ("--task", "label", "--org", "eu", "--candidate", "anthropic/claude-haiku-4-5")
    done = pointsman("route", "--policy", "acme/support", *asked)
    assert done.returncode == 3
    assert "no_candidates" in done.stdout


def test_an_unknown_policy_is_a_tool_error_with_the_services_code(pointsman):
    done = pointsman("route", "--policy", "acme/nothing", "--task", "label")
    assert done.returncode == 2
    assert "unknown_policy" in done.stderr


def test_the_client_library_reads_what_the_service_really_says(pointsman, service, policy_file):
    pointsman("publish", policy_file)
    credentials = HmacCredentials("acme-1", bytes.fromhex("5ec2e7" * 8))
    with Client(service, credentials, read_timeout=10) as client:
        reply = client.route(policy="acme/support", envelope=build_envelope(task_type="label"), org="us")
        assert (reply.route, reply.floor, reply.plan[0].arm) == ("labelling", "unproven", reply.arm)
        assert reply.baseline_cost_nanodollars >= reply.expected_cost_nanodollars > 0
        with pytest.raises(NoCandidates) as nobody:
            client.route(
                policy="acme/support",
                envelope=build_envelope(task_type="label"),
                org="eu",
                candidates=["anthropic/claude-haiku-4-5"],
            )
        assert nobody.value.candidates[0]["reasons"][0]["rule"] == "PII stays in the EU"


def test_a_file_decides_without_a_service_and_always_alike(run, policy_file):
    first = run("route", "--file", policy_file, "--task", "label", "--format", "json")
    again = run("route", "--file", policy_file, "--task", "label", "--format", "json")
    assert first.exit_code == 0
    assert first.stdout == again.stdout
    assert json.loads(first.stdout)["floor"] == "unproven"


def test_a_history_is_what_the_decision_has_learned_from(run, policy_file, tmp_path):
    envelope = {
        "task_type": "label",
        "structure_type": "prose",
        "context_length": "short",
        "tools_used": "0",
        "time_sensitive": False,
        "estimated_tokens": "tiny",
    }
    history = tmp_path / "history.json"
    history.write_text(
        json.dumps([{"envelope": envelope, "arms": {"bedrock/eu.amazon.nova-lite-v1:0": {"calls": 500, "ok": 498}}}])
    )
    asked = ("route", "--file", policy_file, "--history", history, "--task", "label", "--format", "json")
    found = json.loads(run(*asked).stdout)
    rows = {row["arm"]: row.get("floor") for row in found["candidates"]}
    assert rows["bedrock/eu.amazon.nova-lite-v1:0"] == "cleared"
    history.write_text('[{"envelope": {}, "arms": {}}]')
    done = run(*asked)
    assert done.exit_code == 2
    assert "row 0: `envelope` lacks `task_type`" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--task", "label"], "exactly one of"),
        (["--policy", "a", "--file", "{file}", "--task", "label"], "exactly one of"),
        (["--file", "{file}", "--task", "No Good"], "`task_type` must be a lower-case name"),
        (["--file", "{file}", "--task", "label", "--tools", "129"], "tools must be between 0 and 128"),
        (["--file", "{file}", "--task", "label", "--org", "a b"], "`org` must be a slug"),
        (["--file", "{file}"], "Missing option '--task'"),
    ],
)
def test_a_call_that_cannot_be_asked_ends_with_2(run, policy_file, arguments, says):
    done = run("route", *(argument.format(file=policy_file) for argument in arguments))
    assert done.exit_code == 2
    assert says in done.stderr


def test_a_file_with_errors_ends_with_1(run, policy_file):
    policy_file.write_text("policy")
    done = run("route", "--file", policy_file, "--task", "label")
    assert (done.exit_code, done.stdout) == (1, "")
    assert "error P" in done.stderr
