"""The template's tables, buckets, queues and secrets, made in moto; and what its environment blocks come to."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from botocore.session import Session

from policy_cli.dev.events import function_arn
from policy_cli.dev.template import REGION, Template, TemplateError

__all__ = ["Resources"]

# What holds data. Code, roles, rules and logs mean nothing to a process that calls the handlers itself.
_STACKED = ("AWS::DynamoDB::Table", "AWS::KMS::Key", "AWS::Logs::LogGroup", "AWS::S3::Bucket", "AWS::SQS::Queue")
_SECRET = "AWS::SecretsManager::Secret"  # noqa: S105 - a type's name
_PARAMETER = re.compile(r"\$\{(\w+)\}")


class Resources:
    """Resources by the names that the template gives them. Make it while moto is active."""

    def __init__(self, template: Template) -> None:
        self._session = Session()
        self._clients: dict[str, Any] = {}
        declared = template.document["Resources"]
        self._names: dict[str, str] = self._stacked(template) | {
            name: self._secret(name, resource["Properties"])
            for name, resource in declared.items()
            if resource["Type"] == _SECRET
        }
        self._names |= {name: function_arn(function) for name, function in template.aliases.items()}
        self._defaults = {name: str(p.get("Default", "")) for name, p in template.document["Parameters"].items()}
        self._variables = self._resolved(template)

    def client(self, service: str) -> Any:
        """A low-level client of the local AWS."""
        if service not in self._clients:
            self._clients[service] = self._session.create_client(service, region_name=REGION)
        return self._clients[service]

    def name(self, logical: str) -> str:
        """What `!Ref` gives: a table's or bucket's name, a queue's URL, the ARN of a secret or an alias."""
        return self._names[logical]

    @property
    def variables(self) -> Mapping[str, str]:
        """The environment of all functions together."""
        return self._variables

    def _stacked(self, template: Template) -> dict[str, str]:
        kept = {name: r for name, r in template.document["Resources"].items() if r["Type"] in _STACKED}
        body = {"Parameters": template.document.get("Parameters", {}), "Resources": kept}
        cloudformation = self.client("cloudformation")
        cloudformation.create_stack(StackName="pointsman", TemplateBody=json.dumps(body))
        made = cloudformation.describe_stack_resources(StackName="pointsman")["StackResources"]
        return {each["LogicalResourceId"]: each["PhysicalResourceId"] for each in made}

    def _secret(self, name: str, properties: Mapping[str, Any]) -> str:
        secrets = self.client("secretsmanager")
        text = secrets.get_random_password(**properties["GenerateSecretString"])["RandomPassword"]
        return str(secrets.create_secret(Name=name, SecretString=text)["ARN"])

    def _resolved(self, template: Template) -> dict[str, str]:
        """One environment serves all functions here, which holds as long as a name means the same in each."""
        variables: dict[str, str] = {}
        for function in template.functions:
            for name, value in function.environment.items():
                text = self._text(value, f"{function.name}, {name}")
                if variables.setdefault(name, text) != text:
                    raise TemplateError(f"{function.name}: {name} means something else in another function")
        return variables

    def _text(self, value: Any, where: str) -> str:
        match value:
            case str():
                return value
            case {"Ref": str(logical)} if logical in self._names:
                return self._names[logical]
            case {"Fn::Sub": str(pattern)} if _PARAMETER.sub("", pattern).isdecimal():
                return _PARAMETER.sub(lambda found: self._defaults[found[1]], pattern)
        accepted = "text, `!Ref` of a table, bucket, queue, secret or alias, and `!Sub` of a number with parameters"
        raise TemplateError(f"{where}: only {accepted} are resolved here")
