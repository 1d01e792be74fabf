"""What the deployed stack promises, read off the template as SAM transforms it (emulators drop half of these)."""

from collections.abc import Iterator
from typing import Any

import pytest

from policy_cli.dev.template import Template, read_template


@pytest.fixture(scope="module")
def template() -> Template:
    return read_template()


def of(template: Template, kind: str) -> dict[str, dict[str, Any]]:
    found = {name: r for name, r in template.document["Resources"].items() if r["Type"] == f"AWS::{kind}"}
    assert found, f"the template has no {kind}"
    return found


def properties(template: Template, kind: str) -> dict[str, dict[str, Any]]:
    return {name: resource["Properties"] for name, resource in of(template, kind).items()}


def statements(template: Template) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every statement that grants something to a function or a caller."""
    for name, role in properties(template, "IAM::Role").items():
        for policy in role["Policies"]:
            yield from ((name, statement) for statement in policy["PolicyDocument"]["Statement"])
    for name, policy in properties(template, "IAM::ManagedPolicy").items():
        yield from ((name, statement) for statement in policy["PolicyDocument"]["Statement"])


def as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def grants(template: Template, role: str) -> set[tuple[str, str]]:
    return {
        (action, str(resource))
        for name, statement in statements(template)
        if name == role
        for action in as_list(statement["Action"])
        for resource in as_list(statement["Resource"])
    }


def test_the_functions_are_those_of_the_design(template: Template) -> None:
    names = {"IngestFunction", "LearnFunction", "PublishFunction", "RecordFunction", "RouteFunction", "WatchFunction"}
    assert {function.name for function in template.functions} == names
    assert {function.name for function in template.functions if function.has_url} == {
        "IngestFunction",
        "PublishFunction",
        "RouteFunction",
    }


def test_every_function_runs_a_published_version_on_arm_with_snapstart(template: Template) -> None:
    for function in properties(template, "Lambda::Function").values():
        assert function["Runtime"] == "python3.13"
        assert function["Architectures"] == ["arm64"]
        assert function["SnapStart"] == {"ApplyOn": "PublishedVersions"}
    assert len(of(template, "Lambda::Alias")) == len(of(template, "Lambda::Function"))


def test_no_function_url_is_open(template: Template) -> None:
    """AWS_IAM unless the deployer says NONE, which the handlers then make up for with HMAC."""
    urls = properties(template, "Lambda::Url")
    assert all(url["AuthType"] == {"Ref": "AuthType"} for url in urls.values())
    assert template.document["Parameters"]["AuthType"]["Default"] == "AWS_IAM"
    assert template.document["Conditions"]["HmacOnly"] == {"Fn::Equals": [{"Ref": "AuthType"}, "NONE"]}


def test_the_public_may_call_only_through_the_urls_and_only_in_hmac_mode(template: Template) -> None:
    public = [each for each in of(template, "Lambda::Permission").values() if each["Properties"]["Principal"] == "*"]
    assert len(public) == 2 * len(of(template, "Lambda::Url"))
    for permission in public:
        assert permission["Condition"] == "HmacOnly"
        granted = permission["Properties"]
        by_url = granted.get("FunctionUrlAuthType") == "NONE" or granted.get("InvokedViaFunctionUrl") is True
        assert by_url, permission


def test_callers_get_both_permissions_that_a_function_url_wants(template: Template) -> None:
    for policy in properties(template, "IAM::ManagedPolicy").values():
        granted = policy["PolicyDocument"]["Statement"]
        assert [each["Action"] for each in granted] == ["lambda:InvokeFunctionUrl", "lambda:InvokeFunction"]
        assert granted[0]["Resource"] == granted[1]["Resource"]
        assert granted[1]["Condition"] == {"Bool": {"lambda:InvokedViaFunctionUrl": "true"}}


def test_every_queue_has_a_dead_letter_queue_that_keeps_longer(template: Template) -> None:
    queues = properties(template, "SQS::Queue")
    redrives = {name: queue["RedrivePolicy"] for name, queue in queues.items() if "RedrivePolicy" in queue}
    targets = {redrive["deadLetterTargetArn"]["Fn::GetAtt"][0] for redrive in redrives.values()}
    assert redrives.keys() | targets == queues.keys()
    assert not redrives.keys() & targets
    for name, redrive in redrives.items():
        target = queues[redrive["deadLetterTargetArn"]["Fn::GetAtt"][0]]
        assert target["MessageRetentionPeriod"] >= queues[name]["MessageRetentionPeriod"]
        assert redrive["maxReceiveCount"] >= 3
    assert all(queue["SqsManagedSseEnabled"] for queue in queues.values())


def test_a_batch_in_work_is_not_delivered_again(template: Template) -> None:
    queues, functions = properties(template, "SQS::Queue"), properties(template, "Lambda::Function")
    assert len(template.sources) == 2
    for source in template.sources:
        least = 6 * functions[source.function]["Timeout"] + source.window_s
        assert queues[source.queue]["VisibilityTimeout"] >= least


def test_event_sources_report_single_failures_and_bound_their_concurrency(template: Template) -> None:
    for mapping in properties(template, "Lambda::EventSourceMapping").values():
        assert mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
        assert mapping["ScalingConfig"]["MaximumConcurrency"] >= 2


def test_watch_runs_every_minute(template: Template) -> None:
    assert [(each.function, each.period_s) for each in template.schedules] == [("WatchFunction", 60)]


def test_nothing_is_granted_on_everything(template: Template) -> None:
    for name, statement in statements(template):
        assert statement["Effect"] == "Allow"
        for action in as_list(statement["Action"]):
            assert "*" not in action, (name, action)
        for resource in as_list(statement["Resource"]):
            # Objects have no names yet when a role is written; a bucket does.
            text = resource.get("Fn::Sub", "") if isinstance(resource, dict) else resource
            assert "*" not in text or text.startswith(("${StateBucket.Arn}/", "${RecordsBucket.Arn}/")), (name, text)


def test_roles_are_written_out_and_only_lambda_assumes_them(template: Template) -> None:
    roles = properties(template, "IAM::Role")
    assert len(roles) == len(of(template, "Lambda::Function"))
    for role in roles.values():
        assert "ManagedPolicyArns" not in role
        (statement,) = role["AssumeRolePolicyDocument"]["Statement"]
        assert statement["Principal"] == {"Service": "lambda.amazonaws.com"}


def test_only_learn_writes_statistics_and_nobody_deletes_records(template: Template) -> None:
    writes = {"dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:DeleteItem", "dynamodb:BatchWriteItem"}
    roles = properties(template, "IAM::Role")
    writers = {
        role
        for role in roles
        for action, resource in grants(template, role)
        if action in writes and "StatisticsTable" in resource
    }
    assert writers == {"LearnRole"}
    deletions = {
        (role, resource)
        for role in roles
        for action, resource in grants(template, role)
        if "Delete" in action and "s3" in action
    }
    assert deletions == {("WatchRole", "{'Fn::Sub': '${RecordsBucket.Arn}/*/spool/*'}")}
    assert not [each for role in roles for each in grants(template, role) if "Bypass" in each[0]]


def test_tables_expire_restore_and_encrypt(template: Template) -> None:
    for name, table in of(template, "DynamoDB::Table").items():
        declared = table["Properties"]
        assert declared["BillingMode"] == "PAY_PER_REQUEST", name
        assert declared["TimeToLiveSpecification"] == {"AttributeName": "expires_at", "Enabled": True}
        assert declared["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}
        assert declared["SSESpecification"] == {"SSEEnabled": True}
        assert table["DeletionPolicy"] == table["UpdateReplacePolicy"] == "Retain"


def test_buckets_are_private_encrypted_and_versioned(template: Template) -> None:
    guarded = {policy["Bucket"]["Ref"]: policy for policy in properties(template, "S3::BucketPolicy").values()}
    for name, bucket in of(template, "S3::Bucket").items():
        declared = bucket["Properties"]
        assert len(declared["PublicAccessBlockConfiguration"]) == 4
        assert all(declared["PublicAccessBlockConfiguration"].values())
        assert declared["BucketEncryption"]["ServerSideEncryptionConfiguration"]
        assert declared["VersioningConfiguration"] == {"Status": "Enabled"}
        assert bucket["DeletionPolicy"] == bucket["UpdateReplacePolicy"] == "Retain"
        (statement,) = guarded[name]["PolicyDocument"]["Statement"]
        assert (statement["Effect"], statement["Condition"]) == ("Deny", {"Bool": {"aws:SecureTransport": "false"}})


def test_records_are_locked_from_the_moment_they_are_written(template: Template) -> None:
    records = properties(template, "S3::Bucket")["RecordsBucket"]
    assert records["ObjectLockEnabled"] is True
    assert records["ObjectLockConfiguration"]["Rule"]["DefaultRetention"] == {
        "Mode": "GOVERNANCE",
        "Days": {"Ref": "RecordRetentionDays"},
    }


def test_every_function_logs_to_a_group_of_its_own_that_forgets(template: Template) -> None:
    functions = properties(template, "Lambda::Function")
    groups = {function["LoggingConfig"]["LogGroup"]["Ref"] for function in functions.values()}
    assert groups == of(template, "Logs::LogGroup").keys()
    assert len(groups) == len(functions)
    assert all(group["RetentionInDays"] for group in properties(template, "Logs::LogGroup").values())


def test_functions_get_the_settings_they_read(template: Template) -> None:
    from functions import settings

    for function in template.functions:
        kind = function.module.split(".")[1].capitalize()
        needed = {name.upper() for name in getattr(settings, f"{kind}Settings").__dataclass_fields__}
        given = {name for name in function.environment if not name.startswith("POWERTOOLS_")}
        assert given == needed, function.name
