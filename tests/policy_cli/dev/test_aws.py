"""The local stack's AWS, as another process's SDK sees it."""

from __future__ import annotations

import json
import urllib.error
import urllib.request

import pytest
from botocore.session import Session

from policy_cli.dev import LocalStack, VirtualClock


@pytest.fixture
def stack():
    with LocalStack(clock=VirtualClock(1_800_000_000_000), seed=1, aws_port=0) as running:
        yield running


@pytest.fixture
def client(stack):
    def build(service):
        return Session().create_client(
            service, "us-east-1", endpoint_url=stack.aws_url, aws_access_key_id="any", aws_secret_access_key="any"
        )

    return build


def test_an_sdk_reaches_the_tables_queues_and_buckets_by_their_logical_names(stack, client):
    pages = client("cloudformation").get_paginator("list_stack_resources").paginate(StackName="pointsman")
    found = {
        each["LogicalResourceId"]: each["PhysicalResourceId"] for p in pages for each in p["StackResourceSummaries"]
    }
    assert found["StateTable"] == stack.resources.name("StateTable")
    stack.enrol("acme")
    items = client("dynamodb").scan(TableName=found["StateTable"])["Items"]
    assert {"S": "acme"} in [item["sk"] for item in items]
    sqs = client("sqs")
    sqs.send_message(QueueUrl=found["RecordsQueue"], MessageBody="a\n\u00fc")
    assert sqs.receive_message(QueueUrl=found["RecordsQueue"])["Messages"][0]["Body"] == "a\n\u00fc"
    s3, bucket = client("s3"), found["StateBucket"]
    s3.put_object(Bucket=bucket, Key="a key/with=signs", Body=b"\x00\xff")
    assert s3.get_object(Bucket=bucket, Key="a key/with=signs")["Body"].read() == b"\x00\xff"


def test_what_functions_say_is_in_their_log_groups(stack, client):
    request = urllib.request.Request(f"{stack.url}/v1/route", b"{}", method="POST")
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request)
    refused.value.close()
    events = client("logs").filter_log_events(logGroupName=stack.resources.name("RouteLogs"))["events"]
    line = json.loads(events[0]["message"])
    assert (line["service"], line["status"], line["code"]) == ("route", 401, "missing_credentials")


def test_what_no_sdk_signed_is_refused_with_what_to_do(stack):
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(f"{stack.aws_url}/")
    with refused.value as answer:
        assert (answer.code, answer.read()[:9]) == (400, b"sign as a")


def test_without_a_port_there_is_no_such_address():
    with LocalStack(clock=VirtualClock(1_800_000_000_000), seed=1) as stack:
        assert stack.aws_url is None
