"""`pointsman inspect`: a policy at a glance, figures from the analysis."""

import json


def test_routes_models_costs_and_findings_are_told(run, policy_file):
    done = run("inspect", policy_file)
    assert done.exit_code == 0
    told = done.stdout
    assert "policy     acme/support, mode live" in told
    assert "route      labelling (line 6) when task == label, 50.0% of shapes" in told
    assert "3 models may serve: anthropic/claude-haiku-4-5, bedrock/eu.amazon.nova-lite-v1:0, " in told
    assert "a call costs typically $" in told
    assert "floor success >= 95% proven 90%" in told


def test_json_holds_the_same(run, policy_file):
    found = json.loads(run("inspect", policy_file, "--format", "json").stdout)
    labelling, general = found["routes"]
    assert (labelling["name"], labelling["line"], labelling["share"]) == ("labelling", 6, 0.5)
    assert set(general["may"]) <= set(labelling["may"])
    for route in found["routes"]:
        cost = route["cost_nanodollars"]
        assert 0 < cost["typical"] <= cost["once"] <= cost["worst"]


def test_a_policy_with_an_error_is_not_summarised(run, write):
    done = run("inspect", write("policy"))
    assert done.exit_code == 1
    assert "P101" in done.stderr
