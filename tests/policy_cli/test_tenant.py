"""Enrolling tenants in a stack: what the command writes is what the functions read."""

import json

import moto
import pytest
from botocore.session import Session
from click.testing import CliRunner

from functions.stores.registry import Registry
from policy_cli.main import cli
from policy_engine.limits import Limits

TABLE = {
    "Type": "AWS::DynamoDB::Table",
    "Properties": {
        "BillingMode": "PAY_PER_REQUEST",
        "AttributeDefinitions": [{"AttributeName": key, "AttributeType": "S"} for key in ("pk", "sk")],
        "KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
    },
}


@pytest.fixture
def tenant(monkeypatch):
    """Run the command against a stack that has the one table it needs."""
    for name, value in (("AWS_REGION", "us-east-1"), ("AWS_ACCESS_KEY_ID", "x"), ("AWS_SECRET_ACCESS_KEY", "x")):
        monkeypatch.setenv(name, value)
    with moto.mock_aws():
        cloudformation = Session().create_client("cloudformation", region_name="us-east-1")
        cloudformation.create_stack(
            StackName="pointsman", TemplateBody=json.dumps({"Resources": {"StateTable": TABLE}})
        )
        yield lambda *arguments: CliRunner().invoke(cli, ["tenant", *arguments])


@pytest.fixture
def registry(tenant):
    dynamodb = Session().create_client("dynamodb", region_name="us-east-1")
    (table,) = dynamodb.list_tables()["TableNames"]
    return Registry(dynamodb, table)


ROLE = "arn:aws:iam::111111111111:role/acme-app"


def secret_of(result):
    found = dict(line.split("=") for line in result.output.splitlines() if "=" in line)
    return found["POINTSMAN_KEY"], bytes.fromhex(found["POINTSMAN_SECRET"])


def test_a_tenant_gets_its_credentials_and_limits(tenant, registry):
    result = tenant("add", "acme", "--principal", ROLE, "--key-id", "acme-1", "--requests-per-minute", "600")
    assert result.exit_code == 0, result.output
    assert registry.credential("iam", ROLE).tenant == "acme"
    key_id, secret = secret_of(result)
    assert registry.credential("hmac", key_id).secret == secret
    assert len(secret) == 32
    assert registry.limits("acme") == Limits(requests_per_minute=600)
    assert tenant("list").output.splitlines() == [
        "acme: requests_per_minute 600, policies 100, cells 5000",
        "  key acme-1",
        f"  principal {ROLE}",
    ]


def test_the_list_is_there_for_programs_and_tells_no_secret(tenant):
    assert tenant("list", "--format", "json").output == "[]\n"
    secret = secret_of(tenant("add", "acme", "--key-id", "acme-1"))[1]
    tenant("retire", "acme", "--key-id", "acme-1")
    printed = tenant("list", "--format", "json").output
    assert json.loads(printed) == [
        {
            "tenant": "acme",
            "limits": {"policies": 100, "cells": 5000},
            "shares_priors": False,
            "credentials": [{"kind": "hmac", "name": "acme-1", "active": False}],
        }
    ]
    assert secret.hex() not in printed
    assert "  key acme-1, retired" in tenant("list").output.splitlines()


def test_a_tenant_that_nobody_can_sign_for_is_told_of(tenant):
    assert "add `--key-id ID` or `--principal ARN`" in tenant("add", "acme").stderr
    tenant("add", "acme", "--key-id", "acme-1")
    assert tenant("add", "acme", "--cells", "10").stderr == ""
    tenant("retire", "acme", "--key-id", "acme-1")
    assert "add `--key-id ID`" in tenant("add", "acme").stderr


def test_an_empty_stack_says_how_to_enrol(tenant):
    assert "`pointsman tenant add NAME --key-id ID` enrols one" in tenant("list").stderr


def test_two_keys_are_good_at_once_until_the_old_one_is_retired(tenant, registry):
    old, _ = secret_of(tenant("add", "acme", "--key-id", "acme-1"))
    new, secret = secret_of(tenant("rotate", "acme", "--key-id", "acme-2"))
    assert [registry.credential("hmac", key).active for key in (old, new)] == [True, True]
    assert tenant("retire", "acme", "--key-id", old).exit_code == 0
    assert [registry.credential("hmac", key).active for key in (old, new)] == [False, True]
    assert registry.credential("hmac", new).secret == secret


def test_new_credentials_leave_limits_alone_and_new_limits_the_credentials(tenant, registry):
    tenant("add", "acme", "--key-id", "acme-1", "--policies", "7")
    tenant("add", "acme", "--principal", ROLE)
    assert registry.limits("acme") == Limits(policies=7)
    tenant("add", "acme", "--cells", "9")
    assert registry.limits("acme") == Limits(cells=9)
    assert registry.credential("hmac", "acme-1").active


def test_a_tenant_opts_into_the_shared_priors_and_out_again(tenant, registry):
    tenant("add", "acme", "--policies", "7")
    tenant("add", "globex")
    told, shares = [], []
    for arguments in (("share", "acme"), ("add", "acme", "--key-id", "acme-1"), ("share", "acme", "--no")):
        result = tenant(*arguments)
        assert result.exit_code == 0, result.output
        told.append(result.output.splitlines()[0])
        shares.append([member.tenant for member in registry.members() if member.shares_priors])
        assert ("shares priors" in tenant("list").output) == bool(shares[-1])
    assert told[0] == "acme takes part in the shared priors of pointsman"
    assert told[2] == "acme takes no part in the shared priors of pointsman"
    assert shares == [["acme"], ["acme"], []]
    assert registry.limits("acme") == Limits(policies=7)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("add", "Acme Corp"), "lower-case letters"),
        (("add", "acme", "--cells", "0"), "0 is not in the range"),
        (("rotate", "globex", "--key-id", "g-1"), "no tenant `globex` is enrolled"),
        (("add", "globex", "--key-id", "acme-1"), "`acme-1` is taken"),
        (("add", "acme", "--key-id", "acme-1"), "`acme-1` is taken"),
        (("add", "acme", "--key-id", "two words"), "must be letters, digits, `_.:-`"),
        (("rotate", "acme", "--key-id", "two words"), "must be letters, digits, `_.:-`"),
        (("add", "acme", "--principal", "role/acme-app"), "no ARN such as arn:aws:iam::"),
        (("share", "globex"), "no tenant `globex` is enrolled"),
        (("rotate", "acme", "--key-id", "acme-1"), "`acme-1` is taken"),
        (("retire", "acme"), "name one credential"),
        (("retire", "acme", "--key-id", "other"), "no such credential of `acme`"),
        (("retire", "globex", "--key-id", "acme-1"), "no such credential of `globex`"),
        (("list", "--stack", "elsewhere"), "elsewhere"),
    ],
)
def test_what_cannot_be_done_is_said_and_changes_nothing(tenant, registry, arguments, says):
    tenant("add", "acme", "--key-id", "acme-1")
    before = registry.credential("hmac", "acme-1")
    result = tenant(*arguments)
    assert result.exit_code == 2
    assert says in result.output
    assert registry.credential("hmac", "acme-1") == before
