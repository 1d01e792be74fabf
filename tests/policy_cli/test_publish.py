from __future__ import annotations

import json

import pytest


def test_a_policy_is_published_under_the_name_in_its_header(pointsman, policy_file):
    done = pointsman("publish", policy_file)
    assert (done.returncode, done.stderr) == (0, "decisions follow within 15 seconds\n")
    assert done.stdout.startswith("acme/support is ")
    routed = pointsman("route", "--policy", "acme/support", "--task", "label", "--format", "json")
    assert json.loads(routed.stdout)["fingerprints"]["policy"] == done.stdout.split()[-1]


def test_a_dry_run_stores_nothing(pointsman, policy_file):
    done = pointsman("publish", policy_file, "--dry-run")
    assert (done.returncode, done.stdout[:22]) == (0, "acme/support would be ")
    assert pointsman("route", "--policy", "acme/support", "--task", "label").returncode == 2


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_bad_policy_comes_back_with_all_its_findings(pointsman, policy_file, form):
    policy_file.write_text(policy_file.read_text().replace("use small, large", "use smal"))
    done = pointsman("publish", policy_file, "--format", form)
    assert done.returncode == 1
    if form == "text":
        assert f"{policy_file}:7:7" in done.stdout
        assert "did you mean `small`?" in done.stdout
    else:
        assert json.loads(done.stdout)["error"]["code"] == "invalid_policy"


@pytest.mark.parametrize(
    ("arguments", "environment", "says"),
    [
        ([], {}, "say where the service is"),
        (["--url", "http://127.0.0.1:9"], {}, "say who calls"),
        (["--url", "http://127.0.0.1:9", "--key", "k"], {}, "set POINTSMAN_SECRET"),
        (["--url", "http://127.0.0.1:9", "--key", "k"], {"POINTSMAN_SECRET": "no hex"}, "hexadecimal"),
        (
            ["--url", "http://127.0.0.1:9", "--key", "k"],
            {"POINTSMAN_SECRET": "00"},
            "no answer from http://127.0.0.1:9",
        ),
        (["--url", "localhost", "--key", "k"], {"POINTSMAN_SECRET": "00"}, "must be an http(s) address"),
    ],
)
def test_what_cannot_be_sent_is_a_tool_error(run, policy_file, arguments, environment, says):
    done = run("publish", policy_file, *arguments, env=environment)
    assert done.exit_code == 2
    assert says in done.stderr


def test_a_wrong_secret_is_refused_by_the_service(pointsman, policy_file):
    done = pointsman("publish", policy_file, POINTSMAN_SECRET="00" * 24)
    assert done.returncode == 2
    assert "bad_signature" in done.stderr


def test_a_text_without_a_header_is_not_sent(run):
    done = run("publish", "-", "--url", "http://127.0.0.1:9", input="tasks label", env={})
    assert done.exit_code == 2
    assert "has no header" in done.stderr
