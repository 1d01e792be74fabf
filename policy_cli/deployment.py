"""A stack as its operator sees it: the physical names behind the template's logical ones, and clients to reach them.

Goes by AWS's own settings (profile, region, `AWS_ENDPOINT_URL`), so that the stack of `pointsman dev` is one like any
other.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import click

from policy_cli.exits import ToolError

__all__ = ["Deployment", "stack_options"]


class Deployment:
    """One stack. Every failure of AWS on the way is a ToolError."""

    def __init__(self, stack: str, region: str | None = None, profile: str | None = None) -> None:
        from botocore.session import Session

        self.stack = stack
        self._region = region
        self._session = Session(profile=profile)
        self._clients: dict[str, Any] = {}
        self._names = self._resources()

    def client(self, service: str) -> Any:
        """A low-level client, made once."""
        from botocore.exceptions import BotoCoreError, NoRegionError

        if service not in self._clients:
            try:
                self._clients[service] = self._session.create_client(service, region_name=self._region)
            except NoRegionError:
                raise ToolError("no region is named: give --region, AWS_REGION or a profile that has one") from None
            except BotoCoreError as problem:
                raise ToolError(str(problem)) from None
        return self._clients[service]

    def name(self, logical: str) -> str:
        """What `!Ref` gives in the template: a table's or bucket's name, a queue's URL, a log group's name."""
        if logical not in self._names:
            raise ToolError(f"the stack `{self.stack}` has no `{logical}`; was it deployed from this template?")
        return self._names[logical]

    def tenants(self, named: Sequence[str] = ()) -> list[str]:
        """Those of `named`, or all that are enrolled where none is; ToolError for a stranger."""
        from functions.stores.registry import Registry

        with self.reaching("the tenants of"):
            enrolled = Registry(self.client("dynamodb"), self.name("StateTable")).tenants()
        if strangers := [tenant for tenant in named if tenant not in enrolled]:
            known = f"it has {', '.join(enrolled)}" if enrolled else "it has none"
            raise ToolError(f"no tenant `{strangers[0]}` is enrolled in {self.stack}; {known}")
        return list(dict.fromkeys(named)) or enrolled

    def _resources(self) -> dict[str, str]:
        with self.reaching("the stack"):
            pages = self.client("cloudformation").get_paginator("list_stack_resources").paginate(StackName=self.stack)
            found = [each for page in pages for each in page["StackResourceSummaries"]]
        return {each["LogicalResourceId"]: each["PhysicalResourceId"] for each in found if "PhysicalResourceId" in each}

    @contextmanager
    def reaching(self, what: str) -> Iterator[None]:
        """Turn what AWS answers, or fails to, into a ToolError."""
        from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError

        from functions.stores.errors import StoreError

        try:
            yield
        except StoreError as problem:
            raise ToolError(f"{problem} ({problem.cause})") from None
        except ClientError as problem:
            raise ToolError(f"{what} `{self.stack}`: {problem.response['Error']['Message']}") from None
        except NoCredentialsError:
            keys = "AWS_ACCESS_KEY_ID with AWS_SECRET_ACCESS_KEY"
            raise ToolError(f"no AWS credentials: give --profile or AWS_PROFILE, or set {keys}") from None
        except BotoCoreError as problem:
            raise ToolError(f"{what} `{self.stack}`: {problem}") from None


def stack_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options and hand the command `deployment`, which asks CloudFormation when it is called."""

    @click.option("--stack", envvar="POINTSMAN_STACK", default="pointsman", show_default=True)
    @click.option("--region", envvar="AWS_REGION", help="Its region. [AWS_REGION, or the profile's]")
    @click.option("--profile", help="AWS profile to act as.")
    @functools.wraps(command)
    def with_stack(stack: str, region: str | None, profile: str | None, **rest: Any) -> None:
        command(deployment=lambda: Deployment(stack, region, profile), **rest)

    return with_stack
