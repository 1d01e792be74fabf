"""Names and versions from the command line: weights, and the way back."""

from __future__ import annotations

import json

import pytest


@pytest.fixture
def versions(pointsman, policy_file):
    """Fingerprints of two published versions."""
    first = pointsman("publish", policy_file).stdout.split()[-1]
    policy_file.write_text(policy_file.read_text().replace("explore at most 5%", "explore at most 4%"))
    second = pointsman("publish", policy_file).stdout.split()[-1]
    assert first != second
    return first, second


def test_one_command_rolls_back_and_the_next_decision_follows(pointsman, versions):
    done = pointsman("rollback", "acme/support")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"acme/support leads to {versions[0]} since ")
    routed = pointsman("route", "--policy", "acme/support", "--task", "label", "--format", "json")
    assert json.loads(routed.stdout)["fingerprints"]["policy"] == versions[0]
    again = pointsman("rollback", "acme/support")
    assert again.returncode == 2
    assert "no_history" in again.stderr


def test_a_name_tells_where_it_leads_and_led(pointsman, versions):
    lines = pointsman("alias", "acme/support").stdout.splitlines()
    assert [line.split(" since ")[0] for line in lines] == [
        f"acme/support leads to {versions[1]}",
        f"  before  {versions[0]}",
    ]


def test_a_name_is_shared_out_by_weight_and_the_first_digits_do(pointsman, versions):
    done = pointsman("alias", "acme/support", f"{versions[0][:8]}=99.5%", f"{versions[1]}=0.5%", "--format", "json")
    assert json.loads(done.stdout)["alias"] == [[versions[0], 995_000], [versions[1], 5_000]]
    text = pointsman("alias", "acme/support").stdout
    assert f"{versions[0]} (99.5%), {versions[1]} (0.5%)" in text
    back = pointsman("rollback", "acme/support", "--to", versions[1][:12])
    assert back.stdout.startswith(f"acme/support leads to {versions[1]} since ")


@pytest.mark.parametrize(
    "share", ["0870e724", "0870e724=95", "=5%", "0870e724=%", "0870e724=many%", "a=0.00001%", "a=NaN%"]
)
def test_what_is_no_share_is_a_tool_error(run, share):
    done = run(
        "alias", "acme/support", share, "--url", "http://127.0.0.1:9", "--key", "k", env={"POINTSMAN_SECRET": "00"}
    )
    assert done.exit_code == 2
    assert "write FINGERPRINT=SHARE%" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["alias", "acme/nothing"], "no policy `acme/nothing` is published; `pointsman publish FILE` publishes one"),
        (["rollback", "acme/nothing"], "no policy `acme/nothing` is published; `pointsman publish FILE` publishes one"),
        (["rollback", "acme/support"], "`--to FINGERPRINT` leads it to any version ever published"),
        (["alias", "acme support"], "`acme support` is no policy's name: lower-case letters"),
        (["alias", "acme/support", "0870e724=100%"], "`0870e724` is no fingerprint: 64 hexadecimal digits"),
        (["rollback", "acme/support", "--to", "f" * 64], "unknown_fingerprint"),
        (["rollback", "acme/support", "--to", "f" * 8], "the first eight do for one that the alias's history lists"),
        (
            ["alias", "acme/support", f"{'f' * 64}=90%"],
            "shares add up to 100 % (1000000 parts per million), not to 90 %",
        ),
    ],
)
def test_what_the_service_refuses_is_said_in_its_words(pointsman, policy_file, arguments, says):
    pointsman("publish", policy_file)
    done = pointsman(*arguments)
    assert done.returncode == 2
    assert says in done.stderr
