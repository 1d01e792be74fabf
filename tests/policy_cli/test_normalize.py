"""`pointsman normalize`: one form and one name for what a policy means."""

import json
from pathlib import Path

from policy_lang.fingerprint import policy_fingerprint
from policy_lang.validation import validate

UNTIDY = """policy "a/b" language 1 # name
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
SAMPLES = Path(__file__).parents[2] / "samples"
ACME = SAMPLES / "acme/support.policy"


def test_it_prints_an_ir_that_is_valid_and_named_by_its_fingerprint(run):
    found = json.loads(run("normalize", ACME).stdout)
    assert policy_fingerprint(validate(found["ir"])) == found["fingerprint"]
    assert run("normalize", ACME, "--fingerprint").stdout.strip() == found["fingerprint"]


def test_layout_and_order_of_gates_do_not_matter_and_an_ir_is_normal_already(run, write):
    whole = run("normalize", write(UNTIDY)).stdout
    assert run("normalize", write(TIDY)).stdout == whole
    assert run("normalize", write(whole, "a.json")).stdout == whole


def test_what_is_no_policy_is_refused(run, write):
    assert run("normalize", write("tier")).exit_code == 1
    for text in ("{", "[]", '{"name": "a", "name": "b"}', '{"ir": {"name": "a"}}'):
        assert run("normalize", write(text, "a.json")).exit_code == 2, text
