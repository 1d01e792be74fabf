"""The deployed stack, from the first refusal to the last count: what AWS would do with it, without an account."""

import json, os
from pathlib import Path

import pytest

from policy_client import build_envelope
from policy_lang.envelope import envelope_to_wire

POLICY = (Path(__file__).parents[2] / "samples/acme/support.policy").read_text()
ENVELOPE = envelope_to_wire(build_envelope(task_type="label", context_tokens=900, estimated_tokens=300))
ASKED = {"policy": "acme/support", "envelope": ENVELOPE}


@pytest.fixture(scope="module")
def caller(stack):
    return stack.user("caller", "CallerPolicyArn")


@pytest.fixture(scope="module")
def acme(stack):
    return stack.enrol("acme")


@pytest.fixture(scope="module")
def published(stack, acme):
    publisher = stack.user("publisher", "PublisherPolicyArn")
    return stack.post("PublishUrl", "/v1/policies/acme/support", {"source": POLICY}, user=publisher, tenant=acme)


def test_a_policy_is_published(stack,published):
    print(published)
    print(*stack.logs("PublishLogs"), sep="\n")
    assert published[0] == 200


def test_x(stack, acme, caller, published):
    print(stack.post("RouteUrl", "/v1/route", ASKED))
    print(stack.post("RouteUrl", "/v1/route", ASKED, user=caller))
    print(stack.post("RouteUrl", "/v1/route", ASKED, user=stack.user("nobody"), tenant=acme))
    print(stack.post("PublishUrl", "/v1/policies/acme/support", {"source": POLICY}, user=caller, tenant=acme))
    print(str(stack.post("RouteUrl", "/v1/route", ASKED, user=caller, tenant=acme))[:300])
    assert 0


def test_y(stack, acme, caller, published):
    print(str(stack.post("RouteUrl", "/v1/route", ASKED, user=caller, tenant=acme))[:300])
    print(*stack.logs("RouteLogs"), sep="\n")
    print(stack.aws("secretsmanager").get_secret_value(SecretId=stack.ids["SigningSecret"]))
    print(stack.aws("iam").list_role_policies(RoleName=stack.ids["RouteRole"]))
    print(stack.aws("iam").get_role_policy(RoleName=stack.ids["RouteRole"], PolicyName="route")["PolicyDocument"])
    import time
    time.sleep(1)
    print(os.popen("ps -eo pid,ppid,pgid,sid,args | grep -a ministack | cut -c1-150").read())
    assert 0
