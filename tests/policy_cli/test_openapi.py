"""docs/openapi.json is what the service does: made from its own tables, and held to its code and its replies."""

import ast
import json
from pathlib import Path

import pytest
from openapi_spec_validator import validate

from policy_cli.dev import stack
from policy_cli.openapi import build
from policy_cli.openapi.doors import DOORS
from policy_cli.openapi.errors import ERRORS, INTERNAL

ROOT = Path(__file__).parents[2]
PUBLISHED = json.loads((ROOT / "docs/openapi.json").read_text())
RAISING = {"RequestError": (1, 0), "refusal": (1, 0), "SignatureError": (0, None), "StrictJsonError": (0, None)}


def test_the_published_description_is_of_this_version():
    assert build() == PUBLISHED, "run python -m policy_cli.openapi"


def test_it_is_sound_openapi():
    validate(PUBLISHED)


def test_every_door_of_the_local_server_is_described_and_no_other():
    prefixes = {door.path.partition("{")[0] for door in DOORS}
    assert prefixes == set(stack.DOORS)


def codes_in_code():
    """(code, status or None) of every refusal that is spelled out where requests are answered."""
    folders = [ROOT / "functions", ROOT / "policy_engine", ROOT / "policy_lang/canonical.py"]
    paths = [path for folder in folders for path in (folder.rglob("*.py") if folder.is_dir() else [folder])]
    for path in paths:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in RAISING:
                code, status = RAISING[node.func.id]
                found = _constant(node, code)
                if isinstance(found, str):
                    yield found, None if status is None else _constant(node, status)
            elif isinstance(node, ast.Constant) and str(node.value).endswith("_unavailable"):
                yield node.value, 503


def _constant(call, position):
    found = call.args[position] if position < len(call.args) else None
    return found.value if isinstance(found, ast.Constant) else None


def test_every_code_that_is_raised_is_described_with_its_status():
    raised = list(codes_in_code())
    assert len(raised) > 30
    for code, status in raised:
        assert code in ERRORS or code in INTERNAL, code
        assert status in (None, ERRORS[code].status if code in ERRORS else 503), code


def test_every_code_that_is_described_is_raised_somewhere():
    chosen_by_an_expression = {"no_candidates", "budget_denied"}
    assert {code for code, _ in codes_in_code()} | chosen_by_an_expression == {*ERRORS, *INTERNAL}
    assert {code for door in DOORS for code in door.errors} == set(ERRORS)


@pytest.mark.parametrize("door", DOORS, ids=lambda door: door.operation)
def test_an_error_is_listed_once_a_door(door):
    assert len(set(door.errors)) == len(door.errors)
