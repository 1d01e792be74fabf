"""What the deployed stack promises, read off the template as SAM transforms it (emulators drop half of these)."""

import json
import re
import tomllib
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest
from samtranslator.yaml_helper import yaml_parse

import functions
from policy_cli.dev.template import TEMPLATE, Template, read_template
from policy_engine.settlement import Settlement, Telemetry, outcome_record
from policy_engine.token import TokenArm, TokenClaims
from policy_engine.wire import TelemetryRecord
from policy_lang.canonical import parse_strict

Nested = dict[str, dict[str, Any]]


DATA_KEY = {"Fn::GetAtt": ["DataKey", "Arn"]}


@pytest.fixture(scope="module")
def template() -> Template:
    return read_template()


@pytest.fixture(scope="module")
def nested() -> Nested:
    """The templates of infra/ by name."""
    return {path.stem: yaml_parse(path.read_text()) for path in (TEMPLATE.parent / "infra").glob("*.yaml")}


def resources(nested: Nested, name: str, kind: str) -> dict[str, dict[str, Any]]:
    found = {logical: r for logical, r in nested[name]["Resources"].items() if r["Type"] == f"AWS::{kind}"}
    assert found, f"{name} has no {kind}"
    return found


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


def test_one_foreign_principal_may_ask_and_report_by_url_and_do_nothing_else(template: Template) -> None:
    foreign = {
        name: each["Properties"]
        for name, each in of(template, "Lambda::Permission").items()
        if each.get("Condition") == "ForeignCallers"
    }
    found = {(each["FunctionName"]["Ref"], each["Action"]) for each in foreign.values()}
    aliases = {f"{name}FunctionAliaslive" for name in ("Route", "Ingest")}
    assert found == {(a, action) for a in aliases for action in ("lambda:InvokeFunctionUrl", "lambda:InvokeFunction")}
    for each in foreign.values():
        assert each["Principal"] == {"Ref": "CallerPrincipal"}
        by_url = each.get("FunctionUrlAuthType") == "AWS_IAM" or each.get("InvokedViaFunctionUrl") is True
        assert by_url, each
    parameter = template.document["Parameters"]["CallerPrincipal"]
    assert parameter["Default"] == ""
    assert template.document["Conditions"]["ForeignCallers"] == {
        "Fn::And": [
            {"Fn::Equals": [{"Ref": "AuthType"}, "AWS_IAM"]},
            {"Fn::Not": [{"Fn::Equals": [{"Ref": "CallerPrincipal"}, ""]}]},
        ]
    }
    accepted = ("", "222222222222", "arn:aws:iam::222222222222:role/app/caller")
    assert all(re.fullmatch(parameter["AllowedPattern"], each) for each in accepted)
    assert not any(re.fullmatch(parameter["AllowedPattern"], each) for each in ("*", "acme", "arn:aws:s3:::bucket"))


def test_the_request_path_writes_the_ledger_and_nothing_that_decides(template: Template) -> None:
    """Neither policies nor statistics: no bug that strangers can reach changes what was published or learned."""
    for role in ("RouteRole", "IngestRole"):
        writes = {
            resource
            for action, resource in grants(template, role)
            if action in ("dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:DeleteItem")
        }
        assert {each for each in writes if "Ledger" in each} == writes, role


def test_callers_get_both_permissions_that_a_function_url_wants(template: Template) -> None:
    for policy in properties(template, "IAM::ManagedPolicy").values():
        granted = policy["PolicyDocument"]["Statement"]
        assert [each["Action"] for each in granted] == ["lambda:InvokeFunctionUrl", "lambda:InvokeFunction"]
        assert granted[0]["Resource"] == granted[1]["Resource"]
        assert granted[1]["Condition"] == {"Bool": {"lambda:InvokedViaFunctionUrl": "true"}}


def test_a_deployment_is_offered_every_capability_that_it_needs(template: Template) -> None:
    settings = tomllib.loads((TEMPLATE.parent / "samconfig.toml").read_text())["default"]["deploy"]["parameters"]
    offered = set(settings["capabilities"].split())
    named = {name for name, role in properties(template, "IAM::Role").items() if "RoleName" in role}
    assert of(template, "CloudFormation::Stack")
    assert not named
    assert offered == {"CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"}


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
    assert all(queue["KmsMasterKeyId"] == DATA_KEY for queue in queues.values())


def test_markers_outlive_a_redriven_message(template: Template) -> None:
    from policy_engine.settlement import _REDELIVERY_MS, REDRIVE_LIMIT_MS

    kept_ms = properties(template, "SQS::Queue")["TelemetryQueue"]["MessageRetentionPeriod"] * 1000
    assert REDRIVE_LIMIT_MS + kept_ms <= _REDELIVERY_MS


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


def test_watch_runs_every_minute_and_knows_its_hourly_rule(template: Template) -> None:
    from functions.watch.app import _HOURLY_RULE

    assert {(each.rule, each.function, each.period_s) for each in template.schedules} == {
        ("WatchFunctionEveryMinute", "WatchFunction", 60),
        (_HOURLY_RULE, "WatchFunction", 3600),
    }


def test_decisions_know_of_a_snapshot_as_soon_as_a_busy_tenant_may_have_the_next(template: Template) -> None:
    parameter = template.document["Parameters"]["SnapshotSeconds"]
    assert (parameter["Default"], parameter["MaxValue"]) == (15, 60)
    given = {function.name: function.environment for function in template.functions}
    milliseconds = {"Fn::Sub": "${SnapshotSeconds}000"}
    assert given["WatchFunction"]["SNAPSHOT_PERIOD_MS"] == given["RouteFunction"]["STATE_MAX_AGE_MS"] == milliseconds


def test_only_learn_invokes_a_function_and_only_watch(template: Template) -> None:
    callers = {
        (role, resource)
        for role in properties(template, "IAM::Role")
        for action, resource in grants(template, role)
        if action.startswith("lambda:")
    }
    assert callers == {("LearnRole", "{'Ref': 'WatchFunctionAliaslive'}")}
    given = {function.name: function.environment for function in template.functions}
    assert given["LearnFunction"]["WATCH_FUNCTION_ARN"] == {"Ref": "WatchFunctionAliaslive"}


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


@pytest.mark.parametrize("role", ["PublishRole", "WatchRole"])
def test_no_function_can_register_anybody(template: Template, role: str) -> None:
    from functions.stores.keys import alias_key, credential_key, pointer_key, policy_key, signature_key, tenant_key

    (writing,) = [
        statement
        for name, statement in statements(template)
        if name == role and "dynamodb:PutItem" in as_list(statement["Action"])
    ]
    (allowed,) = writing["Condition"]["ForAllValues:StringLike"]["dynamodb:LeadingKeys"]
    own = [pointer_key("a"), policy_key("a", "f"), alias_key("a", "n"), signature_key("a", "m")]
    assert all(fnmatchcase(str(key["pk"]), allowed) for key in own)
    registry = [credential_key("iam", "arn"), credential_key("hmac", "id"), tenant_key("a")]
    assert not any(fnmatchcase(str(key["pk"]), allowed) for key in registry)


def test_only_publish_and_watch_write_the_state_table(template: Template) -> None:
    roles = properties(template, "IAM::Role")
    writes = ("dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:DeleteItem", "dynamodb:BatchWriteItem")
    found = {
        (role, a)
        for role in roles
        for a, resource in grants(template, role)
        if a in writes and "StateTable" in resource
    }
    assert found == {("PublishRole", "dynamodb:PutItem"), ("WatchRole", "dynamodb:PutItem")}


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
    assert deletions == {("WatchRole", "{'Fn::Sub': '${StateBucket.Arn}/_passing/*'}")}
    assert not [each for role in roles for each in grants(template, role) if "Bypass" in each[0]]


def test_tables_expire_restore_and_encrypt(template: Template) -> None:
    for name, table in of(template, "DynamoDB::Table").items():
        declared = table["Properties"]
        assert declared["BillingMode"] == "PAY_PER_REQUEST", name
        assert declared["TimeToLiveSpecification"] == {"AttributeName": "expires_at", "Enabled": True}
        assert declared["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}
        assert declared["SSESpecification"] == {"SSEEnabled": True, "SSEType": "KMS", "KMSMasterKeyId": DATA_KEY}
        assert table["DeletionPolicy"] == table["UpdateReplacePolicy"] == "Retain"


def test_buckets_are_private_encrypted_and_versioned(template: Template) -> None:
    guarded = {policy["Bucket"]["Ref"]: policy for policy in properties(template, "S3::BucketPolicy").values()}
    for name, bucket in of(template, "S3::Bucket").items():
        declared = bucket["Properties"]
        assert len(declared["PublicAccessBlockConfiguration"]) == 4
        assert all(declared["PublicAccessBlockConfiguration"].values())
        (encryption,) = declared["BucketEncryption"]["ServerSideEncryptionConfiguration"]
        assert encryption["ServerSideEncryptionByDefault"] == {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": DATA_KEY}
        assert encryption["BucketKeyEnabled"] is True
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


def test_what_passes_leaves_no_versions_behind_and_what_was_published_keeps_them(template: Template) -> None:
    from functions.stores import keys

    rules = properties(template, "S3::Bucket")["StateBucket"]["LifecycleConfiguration"]["Rules"]
    by_prefix = {rule.get("Prefix", ""): rule for rule in rules if "NoncurrentVersionExpiration" in rule}
    assert by_prefix["_passing/"]["NoncurrentVersionExpiration"] == {"NoncurrentDays": 1}
    # A rule that expired current objects would take a state that has not changed for long.
    assert not [rule for rule in rules if "ExpirationInDays" in rule or "Expiration" in rule]
    passing = [keys.state_object("acme", "0"), keys.spool_object("acme", "0"), keys.bundle_object("acme")]
    passing += [keys.credentials_object(0), keys.shared_priors_object()]
    assert all(key.startswith("_passing/") for key in passing)
    assert not keys.policy_object("acme", "0").startswith("_passing/")


def test_every_function_logs_to_a_group_of_its_own_that_forgets(template: Template) -> None:
    functions = properties(template, "Lambda::Function")
    groups = {function["LoggingConfig"]["LogGroup"]["Ref"] for function in functions.values()}
    assert groups == of(template, "Logs::LogGroup").keys()
    assert len(groups) == len(functions)
    for group in properties(template, "Logs::LogGroup").values():
        assert group["RetentionInDays"] == {"Ref": "LogRetentionDays"}
        assert group["KmsKeyId"] == DATA_KEY


def test_functions_get_the_settings_they_read(template: Template) -> None:
    from functions import settings

    for function in template.functions:
        kind = function.module.split(".")[1].capitalize()
        needed = {name.upper() for name in getattr(settings, f"{kind}Settings").__dataclass_fields__}
        given = {name for name in function.environment if not name.startswith("POWERTOOLS_")}
        assert given == needed, function.name


def test_the_environment_of_functions_names_things_and_holds_no_secret(template: Template) -> None:
    """It is readable to whoever may list functions. A reference gives a name, an address or an ARN, never a value."""
    parameters = template.document["Parameters"]
    for function in template.functions:
        for name, value in function.environment.items():
            if isinstance(value, dict) and "Fn::Sub" in value:
                (parameter,) = re.fullmatch(r"\$\{(\w+)\}0*", value["Fn::Sub"]).groups()
                assert parameters[parameter]["Type"] == "Number", (function.name, name)
            elif isinstance(value, dict):
                assert list(value) == ["Ref"], (function.name, name)
                assert value["Ref"] not in parameters, (function.name, name)
            else:
                assert name.startswith("POWERTOOLS_") or value.isdecimal(), (function.name, name)


def test_the_key_rotates_and_serves_only_this_account_through_the_services_that_store(template: Template) -> None:
    key = properties(template, "KMS::Key")["DataKey"]
    assert key["EnableKeyRotation"] is True
    assert of(template, "KMS::Key")["DataKey"]["DeletionPolicy"] == "Retain"
    anybody = [each for each in key["KeyPolicy"]["Statement"] if each["Principal"] == {"AWS": "*"}]
    for statement in anybody:
        condition = statement["Condition"]["StringEquals"]
        assert condition["kms:CallerAccount"] == {"Ref": "AWS::AccountId"}
        services = [service["Fn::Sub"].partition(".")[0] for service in condition["kms:ViaService"]]
        assert services == ["dynamodb", "s3", "secretsmanager", "sqs"]
        assert not [action for action in statement["Action"] if "*" in action or "Delete" in action]
    assert len(anybody) == 1


def test_every_parameter_has_a_default_and_reserved_concurrency_is_off(template: Template) -> None:
    parameters = template.document["Parameters"]
    assert [name for name, parameter in parameters.items() if "Default" not in parameter] == []
    route = properties(template, "Lambda::Function")["RouteFunction"]
    reserved = {"Fn::If": ["RouteReserves", {"Ref": "RouteReservedConcurrency"}, {"Ref": "AWS::NoValue"}]}
    assert route["ReservedConcurrentExecutions"] == reserved
    assert parameters["RouteReservedConcurrency"]["Default"] == -1


def test_nested_templates_get_every_parameter_they_declare_and_no_other(template: Template, nested: Nested) -> None:
    stacks = properties(template, "CloudFormation::Stack")
    assert {stack["TemplateURL"] for stack in stacks.values()} == {f"infra/{name}.yaml" for name in nested}
    for stack in stacks.values():
        declared = nested[stack["TemplateURL"].removeprefix("infra/").removesuffix(".yaml")]
        assert stack["Parameters"].keys() == declared["Parameters"].keys()


def test_partitions_are_projected_where_record_files_them(nested: Nested) -> None:
    from functions.stores.keys import object_key

    tables = {name: r["Properties"]["TableInput"] for name, r in resources(nested, "analysis", "Glue::Table").items()}
    for name, table in tables.items():
        settings = table["Parameters"]
        assert settings["projection.enabled"] == "true"
        assert settings["projection.tenant.type"] == "injected"
        place = settings["storage.location.template"]["Fn::Sub"].replace("${!", "${")
        for field, value in {"tenant": "acme", "dt": "2026-09-21", "hh": "14"}.items():
            place = place.replace(f"${{{field}}}", value)
        assert (
            place + "x.jsonl.gz"
            == f"s3://${{RecordsBucket}}/{object_key('acme', name.lower(), 1_790_000_000_000, 'x')}"
        )
        assert [key["Name"] for key in table["PartitionKeys"]] == ["tenant", "dt", "hh"]


def fields_of(kind: str) -> dict[str, Any]:
    """The fields of a Hive `struct<...>`, structs within as their fields, other types by name."""
    as_json = re.sub(r"(\w+):", r'"\1":', kind.replace("struct<", "{").replace(">", "}"))
    found: dict[str, Any] = json.loads(re.sub(r":(\w+)", r':"\1"', as_json))
    return found


def columns(nested: Nested, table: str) -> dict[str, str]:
    declared = resources(nested, "analysis", "Glue::Table")[table]["Properties"]["TableInput"]["StorageDescriptor"]
    return {column["Name"]: column["Type"] for column in declared["Columns"]}


PYTHON = {"string": str, "bigint": int, "int": int, "boolean": bool}


def strays(declared: dict[str, Any], document: dict[str, Any]) -> Iterator[str]:
    """What a table says of a document and is not so. The serde would read it as NULL, without a word."""
    for name, kind in declared.items():
        if isinstance(kind, dict):
            yield from strays(kind, document.get(name) or {})
        elif type(document.get(name)) is not PYTHON[kind]:
            yield name


def test_tables_name_what_receipts_hold(nested: Nested) -> None:
    lines = (Path(__file__).parent / "conformance/receipts/format-1/desk.jsonl").read_text().splitlines()
    served = [found for found in map(json.loads, lines) if found["receipt"]["decision"]["status"] == "served"]
    declared = {name: kind if name == "hash" else fields_of(kind) for name, kind in columns(nested, "Receipts").items()}
    assert declared["receipt"]["decision"]["baseline"] == {"arm": "string", "cost_nanodollars": "bigint"}
    assert len(served) > 20
    assert {name for found in served for name in strays(declared, found)} <= {"tier"}


def test_tables_name_what_outcome_records_hold(nested: Nested) -> None:
    counts = dict.fromkeys(("input_tokens", "output_tokens", "latency_ms", "ttft_ms"), 7)
    record = TelemetryRecord("token", 0, "a/b", "ok", quality_ppm=1, **counts)
    claims = TokenClaims("acme", "d", "c", "label", "r", (TokenArm("a/b", 0, 1, 1, 1, 1),), 1, False, 0)
    settled = Settlement(Telemetry("acme", "r:0", 1, record), claims, 5, reason="late")
    document = outcome_record(settled, {"outcome": "applied", "quality": "late"})
    declared = {name: fields_of(kind) if "<" in kind else kind for name, kind in columns(nested, "Outcomes").items()}
    assert list(strays(declared, document)) == []


def test_queries_are_bounded_encrypted_and_forgotten(nested: Nested) -> None:
    (group,) = resources(nested, "analysis", "Athena::WorkGroup").values()
    bounds = group["Properties"]["WorkGroupConfiguration"]
    assert bounds["EnforceWorkGroupConfiguration"] is True
    assert bounds["BytesScannedCutoffPerQuery"] > 0
    assert bounds["ResultConfiguration"]["EncryptionConfiguration"]["EncryptionOption"] == "SSE_KMS"
    (bucket,) = resources(nested, "analysis", "S3::Bucket").values()
    assert all(bucket["Properties"]["PublicAccessBlockConfiguration"].values())
    assert bucket["Properties"]["LifecycleConfiguration"]["Rules"][0]["ExpirationInDays"] == 7


def test_saved_queries_name_a_tenant_and_a_day(nested: Nested) -> None:
    """`injected` partitions can be read in no other way."""
    for query in resources(nested, "analysis", "Athena::NamedQuery").values():
        assert query["Condition"] == "WithQueries"
        assert "WHERE tenant = 'acme' AND dt >= " in query["Properties"]["QueryString"]


def test_every_queue_and_every_way_to_fail_has_an_alarm(template: Template, nested: Nested) -> None:
    alarms = [alarm["Properties"] for alarm in resources(nested, "monitoring", "CloudWatch::Alarm").values()]
    watched = {
        (each["MetricName"], each["Dimensions"][0]["Value"].get("Ref"))
        for each in alarms
        if "AWS/" in each["Namespace"]
    }
    for name, queue in properties(template, "SQS::Queue").items():
        metric = "ApproximateAgeOfOldestMessage" if "RedrivePolicy" in queue else "ApproximateNumberOfMessagesVisible"
        assert (metric, name) in watched
    doors = {(metric, f"{door}Function") for metric in ("Errors", "Throttles") for door in ("Route", "Ingest")}
    assert doors | {("Errors", "WatchFunction")} <= watched
    unavailable = {each["Dimensions"][0]["Value"] for each in alarms if each["MetricName"] == "Unavailable"}
    assert unavailable == {"route", "ingest"}
    for alarm in alarms:
        assert alarm["AlarmActions"] == {"Fn::If": ["Notifies", [{"Ref": "AlarmTopicArn"}], {"Ref": "AWS::NoValue"}]}
        assert alarm["TreatMissingData"] in ("notBreaching", "breaching")


def test_dashboard_and_alarms_read_only_metrics_that_functions_emit(nested: Nested) -> None:
    """The names are looked for where they are emitted: a misspelt metric would stay silent for ever."""
    emitted = "".join(path.read_text() for path in Path(functions.__path__[0]).rglob("*.py"))
    emitted += "".join(f'"Telemetry{state}"' for state in ("Applied", "Duplicate", "Late", "Rejected"))
    ours = {
        alarm["Properties"]["MetricName"]
        for alarm in resources(nested, "monitoring", "CloudWatch::Alarm").values()
        if alarm["Properties"]["Namespace"] == "Pointsman"
    }
    (board,) = resources(nested, "monitoring", "CloudWatch::Dashboard").values()
    widgets = parse_strict(board["Properties"]["DashboardBody"]["Fn::Sub"], max_bytes=1 << 20)["widgets"]
    for widget in widgets:
        assert widget["x"] + widget["width"] <= 24
        ours |= {metric[1] for metric in widget["properties"]["metrics"] if metric[0] == "Pointsman"}
    assert [name for name in sorted(ours) if f'"{name}"' not in emitted] == []
    assert len(ours) >= 15
