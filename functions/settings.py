"""The environment, read once and checked: one frozen dataclass per function, nothing it does not use.

SettingsError names every variable that is missing or ill-formed at once.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import MISSING, fields
from typing import TypeVar

from policy_lang.frozen import frozen

__all__ = [
    "IngestSettings",
    "LearnSettings",
    "PublishSettings",
    "RecordSettings",
    "RouteSettings",
    "SettingsError",
    "WatchSettings",
    "load",
    "running_in_lambda",
]


class SettingsError(RuntimeError):
    """The function is deployed without something it needs."""


@frozen
class RouteSettings:
    """`state_copy_limit_ms`: age at which the signed copy of a route state serves no more."""

    state_table: str
    ledger_table: str
    state_bucket: str
    records_queue_url: str
    signing_secret_arn: str
    state_max_age_ms: int
    state_copy_limit_ms: int


@frozen
class IngestSettings:
    state_table: str
    ledger_table: str
    telemetry_queue_url: str


@frozen
class LearnSettings:
    statistics_table: str
    records_queue_url: str
    telemetry_dead_letter_queue_url: str
    signing_secret_arn: str
    watch_function_arn: str


@frozen
class RecordSettings:
    records_bucket: str
    records_dead_letter_queue_url: str


@frozen
class PublishSettings:
    state_table: str
    state_bucket: str
    signing_secret_arn: str


@frozen
class WatchSettings:
    """`watch_workers`: tenants looked at side by side. The SDK keeps ten connections to a service: at most so many.
    `snapshot_period_ms`: least age of a snapshot that a busy tenant gets another one for.
    """

    state_table: str
    ledger_table: str
    statistics_table: str
    state_bucket: str
    records_queue_url: str
    signing_secret_arn: str
    watch_workers: int
    snapshot_period_ms: int


Settings = TypeVar(
    "Settings", RouteSettings, IngestSettings, LearnSettings, RecordSettings, PublishSettings, WatchSettings
)


def load(kind: type[Settings], environ: Mapping[str, str] | None = None) -> Settings:
    """Settings of one function; a field `state_table` is the variable `STATE_TABLE`."""
    environ = os.environ if environ is None else environ
    found: dict[str, str | int] = {}
    problems = []
    for field in fields(kind):
        name = field.name.upper()
        value = environ.get(name, "")
        whole = field.type == "int"
        if value and (not whole or value.isdecimal()):
            found[field.name] = int(value) if whole else value
        elif value:
            problems.append(f"{name} must be a whole number")
        elif field.default is MISSING:
            problems.append(f"{name} must be set")
    if problems:
        raise SettingsError("; ".join(problems))
    return kind(**found)  # type: ignore[arg-type]  # the loop above gives each field its own type


def running_in_lambda() -> bool:
    """Whether this process is a Lambda environment, where building clients at import makes them part of a snapshot."""
    return "AWS_LAMBDA_FUNCTION_NAME" in os.environ
