"""`pointsman lint`: findings of all kinds in one list, and what --fix does to the file."""

import json

from policy_lang.catalog import default_catalog
from policy_lang.compiler import compile_policy


def test_errors_proofs_and_style_come_in_one_list(run, write, policy_text):
    path = write(policy_text.replace("tasks label", "tasks label\ntier spare = [gpt-5.4]").replace("95%", "0.95"))
    done = run("lint", path, "--format", "json")
    assert done.exit_code == 1
    codes = [json.loads(line)["code"] for line in done.stdout.splitlines()]
    assert {"P601", "P701", "P705"} <= set(codes)


def test_fix_mends_the_file_and_says_what_it_mended(run, write, policy_text):
    spoilt = policy_text.replace("tasks label", "tasks label\ntier spare = [gpt-5.4]").replace("default", "DEFAULT")
    path = write(spoilt.replace("95%", "0.95").replace("use small pick", "use smalll pick"))
    done = run("lint", "--fix", path)
    mended = compile_policy(path.read_bytes(), default_catalog())
    assert mended.ok
    assert mended.fingerprint == compile_policy(policy_text, default_catalog()).fingerprint
    assert [line[:11] for line in done.stderr.splitlines() if line.startswith("mended")] == [
        "mended P102",
        "mended P307",
        "mended P601",
        "mended P705",
        "mended P701",
    ]
    again = run("lint", "--fix", path)
    assert "mended" not in again.stderr


def test_standard_input_is_mended_to_standard_output(run, policy_text):
    done = run("lint", "--fix", "-", input=policy_text.replace("95%", "0.95"))
    assert "floor   success >= 95% proven 90%" in done.stdout


def test_what_cannot_be_read_is_not_written(run, tmp_path):
    path = tmp_path / "a.policy"
    path.write_bytes(b'policy "a" language 1\x00\n\xff')
    assert run("lint", "--fix", path).exit_code == 1
    assert path.read_bytes() == b'policy "a" language 1\x00\n\xff'


def test_notes_alone_are_no_findings(run, write):
    preset = run("new", "eu-only").stdout
    done = run("lint", write(preset))
    assert done.exit_code == 0
    assert "note P521" in done.stdout


def test_a_floor_that_the_stated_traffic_can_never_prove_is_found(run, tmp_path):
    policy = tmp_path / "p.policy"
    policy.write_text(
        'policy "a/b" language 1\n'
        "tier t = [claude-haiku-4-5, gpt-5.4-mini]\n"
        "default route general {\n"
        "  use t\n"
        "  floor success >= 99.9% proven 99.9%\n"
        "  until proven serve claude-haiku-4-5\n"
        "  pick cheapest\n"
        "  explore at most 5%\n"
        "}\n"
        "fallback claude-haiku-4-5\n"
    )
    assert "P562" not in run("lint", str(policy), "--format", "concise").output
    assert "P562" in run("lint", str(policy), "--daily", "1", "--format", "concise").output
