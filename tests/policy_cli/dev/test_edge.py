import http.client
import json
from importlib import import_module
from urllib.parse import urlsplit

import pytest

from policy_cli.dev.events import HttpRequest, schedule_event, url_event
from policy_cli.dev.server import MAX_BODY

ROUTE = "/v1/route"


def test_a_request_signed_with_sigv4_is_its_tenants(caller, asking):
    status, reply = caller.post(ROUTE, asking, caller.sigv4(ROUTE, asking))
    assert (status, reply["status"]) == (200, "served")


def test_a_request_signed_with_hmac_is_its_tenants(caller):
    status, reply = caller.decide()
    assert (status, reply["status"]) == (200, "served")


REFUSED = {
    "secret": (lambda sign, body: (body, sign(body, secret_key="guessed")), "does not match"),
    "body": (lambda sign, body: (body + b" ", sign(body)), "does not match"),
    "path": (lambda sign, body: (body, sign(body, path="/v1/telemetry")), "does not match"),
    "key": (lambda sign, body: (body, sign(body, access_key="AKIANOBODY")), "none of the local ones"),
    "region": (lambda sign, body: (body, sign(body, region="eu-west-1")), "not for eu-west-1"),
    "old": (lambda sign, body: (body, sign(body) | {"X-Amz-Date": "20200101T000000Z"}), "expired"),
    "date": (lambda sign, body: (body, sign(body) | {"X-Amz-Date": "noon"}), "must look like"),
    "hash": (lambda sign, body: (body, sign(body) | {"X-Amz-Content-SHA256": "0" * 64}), "hash of the body"),
    "scheme": (
        lambda sign, body: (body, sign(body) | {"Authorization": "Bearer abc"}),
        "not of AWS Signature Version 4",
    ),
    "host": (
        lambda sign, body: (body, {name: value.replace(";host;", ";") for name, value in sign(body).items()}),
        "must be sent and signed: host",
    ),
}


@pytest.mark.parametrize("wrong", REFUSED)
def test_a_signature_that_does_not_hold_is_refused_before_any_function(caller, asking, wrong):
    change, message = REFUSED[wrong]
    body, headers = change(lambda body, path=ROUTE, **changed: caller.sigv4(path, body, **changed), asking)
    status, reply = caller.post(ROUTE, body, headers)
    assert status == 403
    assert message in reply["Message"]


def test_a_request_that_nobody_signed_reaches_the_function_as_nobodys(caller, asking):
    forged = {
        "X-Amzn-Iam-User-Arn": caller.tenant.identity.arn,
        "X-Pointsman-Tenant": "acme",
        "X-Pointsman-Key": caller.tenant.key_id,
    }
    status, reply = caller.post(ROUTE, asking, forged)
    assert (status, reply["error"]["code"]) == (401, "missing_credentials")


def test_an_identity_that_no_tenant_has_registered_is_refused_by_the_function(caller, asking, now_ms):
    stranger = {"userArn": "arn:aws:iam::123456789012:user/stranger"}
    event = url_event(HttpRequest("POST", ROUTE, "", {}, asking, iam=stranger), now_ms, "r")
    answer = import_module("functions.route.app").handler(event, None)
    assert (answer["statusCode"], json.loads(answer["body"])["error"]["code"]) == (403, "unknown_tenant")


def test_a_function_url_event_has_the_shape_of_payload_format_2(now_ms):
    request = HttpRequest(
        "POST", "/v1/route%20", "a=1&a=2", {"host": "abc.example", "user-agent": "t"}, b"{}", iam=None
    )
    assert url_event(request, now_ms, "id") == {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": "/v1/route%20",
        "rawQueryString": "a=1&a=2",
        "queryStringParameters": {"a": "1,2"},
        "headers": {"host": "abc.example", "user-agent": "t"},
        "requestContext": {
            "accountId": "anonymous",
            "apiId": "abc",
            "domainName": "abc.example",
            "domainPrefix": "abc",
            "http": {
                "method": "POST",
                "path": "/v1/route%20",
                "protocol": "HTTP/1.1",
                "sourceIp": "127.0.0.1",
                "userAgent": "t",
            },
            "requestId": "id",
            "routeKey": "$default",
            "stage": "$default",
            "time": "15/Jan/2027:08:00:00 +0000",
            "timeEpoch": now_ms,
        },
        "body": "{}",
        "isBase64Encoded": False,
    }


def test_a_schedule_tells_the_whole_second_of_the_clock(now_ms):
    event = schedule_event("Every", now_ms + 999, "id")
    assert (event["time"], event["detail-type"]) == ("2027-01-15T08:00:00Z", "Scheduled Event")


def test_a_body_that_is_no_text_reaches_the_function_whole(caller):
    body = b"\xff\xfe{}"
    status, reply = caller.post(ROUTE, body, caller.sigv4(ROUTE, body))
    assert (status, "error" in reply) == (400, True)


def test_a_path_that_no_function_serves_is_answered_with_those_that_are(caller):
    status, reply = caller.post("/v2/route", b"{}", {})
    assert status == 404
    assert "/v1/route" in reply["Message"]


def test_a_body_larger_than_lambda_takes_is_refused_unread(stack):
    connection = http.client.HTTPConnection(urlsplit(stack.url).netloc, timeout=30)
    connection.putrequest("POST", ROUTE)
    connection.putheader("Content-Length", str(MAX_BODY + 1))
    connection.endheaders()
    reply = connection.getresponse()
    assert reply.status == 413
    assert "Message" in json.loads(reply.read())
    connection.close()
