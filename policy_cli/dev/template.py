"""template.yaml as data: what SAM makes of it, and which functions, event sources and schedules that declares."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from samtranslator.metrics.metrics import DummyMetricsPublisher, Metrics
from samtranslator.parser.parser import Parser
from samtranslator.sdk.resource import SamResourceType
from samtranslator.translator.translator import Translator
from samtranslator.yaml_helper import yaml_parse

from policy_lang.frozen import frozen

__all__ = ["REGION", "TEMPLATE", "Function", "Schedule", "Source", "Template", "TemplateError", "read_template"]

TEMPLATE = Path(__file__).resolve().parents[2] / "template.yaml"
#: The region of everything local. Nothing is ever sent there.
REGION = "us-east-1"
_RATE = re.compile(r"rate\((\d+) (minute|hour|day)s?\)")
_SECONDS = {"minute": 60, "hour": 3600, "day": 86400}


class TemplateError(ValueError):
    """The template is absent, or uses something that the local server does not imitate."""


@frozen
class Function:
    """`environment` is as in the template: strings and intrinsic functions."""

    name: str
    module: str
    entry: str
    environment: Mapping[str, Any]
    has_url: bool


@frozen
class Source:
    """An SQS event source mapping; `window_s` is how long messages may wait for a fuller batch."""

    function: str
    queue: str
    batch_size: int
    window_s: float
    reports_failures: bool


@frozen
class Schedule:
    rule: str
    function: str
    period_s: int


@frozen
class Template:
    """`document` is plain CloudFormation. `aliases`: the function that each leads to."""

    document: Mapping[str, Any]
    aliases: Mapping[str, str]
    functions: tuple[Function, ...]
    sources: tuple[Source, ...]
    schedules: tuple[Schedule, ...]


@cache
def read_template(path: Path = TEMPLATE) -> Template:
    """Transform the template as AWS would and read what the local server needs. TemplateError where it cannot."""
    document = _transformed(path)
    resources = document["Resources"]
    aliases = {name: r["Properties"]["FunctionName"]["Ref"] for name, r in _of(resources, "AWS::Lambda::Alias")}
    with_url = {aliases[r["Properties"]["TargetFunctionArn"]["Ref"]] for _, r in _of(resources, "AWS::Lambda::Url")}
    functions = [
        _function(name, r["Properties"], name in with_url) for name, r in _of(resources, "AWS::Lambda::Function")
    ]
    mappings = _of(resources, "AWS::Lambda::EventSourceMapping")
    rules = _of(resources, "AWS::Events::Rule")
    return Template(
        document=document,
        aliases=aliases,
        functions=tuple(functions),
        sources=tuple(_source(r["Properties"], aliases) for _, r in mappings),
        schedules=tuple(_schedule(name, r["Properties"], aliases) for name, r in rules),
    )


def _transformed(path: Path) -> dict[str, Any]:
    try:
        document = yaml_parse(path.read_text())
    except FileNotFoundError:
        raise TemplateError(f"{path} does not exist; run from a checkout of the repository") from None
    for resource in document["Resources"].values():
        if resource["Type"] == SamResourceType.Function.value:
            # samtranslator wants what `sam package` would have put here.
            resource["Properties"]["CodeUri"] = "s3://local/code"
    metrics = Metrics("local", DummyMetricsPublisher())
    # All that is asked of a session is its region, and a real one would read the user's AWS settings.
    translator = Translator({}, Parser(), boto_session=SimpleNamespace(region_name=REGION), metrics=metrics)
    transformed: dict[str, Any] = translator.translate(document, {})
    metrics.publish()
    return transformed


def _of(resources: Mapping[str, Any], kind: str) -> list[tuple[str, Any]]:
    return [(name, resource) for name, resource in resources.items() if resource["Type"] == kind]


def _function(name: str, properties: Mapping[str, Any], has_url: bool) -> Function:
    module, _, entry = properties["Handler"].rpartition(".")
    return Function(name, module, entry, properties.get("Environment", {}).get("Variables", {}), has_url)


def _source(properties: Mapping[str, Any], aliases: Mapping[str, str]) -> Source:
    return Source(
        function=aliases[properties["FunctionName"]["Ref"]],
        queue=properties["EventSourceArn"]["Fn::GetAtt"][0],
        batch_size=properties.get("BatchSize", 10),
        window_s=properties.get("MaximumBatchingWindowInSeconds", 0),
        reports_failures="ReportBatchItemFailures" in properties.get("FunctionResponseTypes", ()),
    )


def _schedule(name: str, properties: Mapping[str, Any], aliases: Mapping[str, str]) -> Schedule:
    expression = properties["ScheduleExpression"]
    rate = _RATE.fullmatch(expression)
    if rate is None:
        raise TemplateError(f"{name}: `{expression}` is not imitated here, `rate(N minutes)` is")
    target = aliases[properties["Targets"][0]["Arn"]["Ref"]]
    return Schedule(name, target, int(rate[1]) * _SECONDS[rate[2]])
