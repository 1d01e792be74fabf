"""The service models of botocore that a cold start reads, without their prose: `python -m functions.stores.models`.

Creating clients parses megabytes of JSON, most of it documentation and the endpoints of services that are not ours.
What is left in `models/` is what botocore itself would have read, so requests are the same to the byte (a test holds
that); paginators, rule sets and whatever is not there still come from botocore.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from botocore.loaders import Loader

__all__ = ["SERVICES", "OwnModels", "trimmed"]

SERVICES = ("dynamodb", "lambda", "s3", "secretsmanager", "sqs")
_FOLDER = Path(__file__).parent / "models"
_ENDPOINTS = "endpoints"


class OwnModels(Loader):
    """Reads our services' models from `models/`, and does not list the folders of all of AWS to find them."""

    def list_available_services(self, type_name: str) -> list[str]:  # noqa: ARG002
        return list(SERVICES)

    def load_service_model(self, service_name: str, type_name: str, api_version: str | None = None) -> Any:
        if type_name == "service-2" and api_version is None and service_name in SERVICES:
            return _read(service_name)
        return super().load_service_model(service_name, type_name, api_version)

    def load_data_with_path(self, name: str) -> tuple[Any, str]:
        if name == _ENDPOINTS:
            # Under the name of botocore's own: it takes any other for a customer's, and then ignores its rule sets.
            return _read(name), f"{self.BUILTIN_DATA_PATH}/{name}.json"
        found: tuple[Any, str] = super().load_data_with_path(name)
        return found


def trimmed(loader: Loader) -> dict[str, Any]:
    """What `models/` holds, by file name, made from the botocore that is installed."""
    models: dict[str, Any] = {name: loader.load_service_model(name, "service-2") for name in SERVICES}
    for model in models.values():
        model |= {part: _without_prose(model[part]) for part in ("operations", "shapes")}
    endpoints = loader.load_data(_ENDPOINTS)
    for partition in endpoints["partitions"]:
        partition["services"] = {name: found for name, found in partition["services"].items() if name in SERVICES}
    return models | {_ENDPOINTS: endpoints}


def _read(name: str) -> Any:
    return json.loads(gzip.decompress((_FOLDER / f"{name}.json.gz").read_bytes()))


def _without_prose(part: Any) -> Any:
    match part:
        case dict():
            prose = isinstance(part.get("documentation"), str)
            return {key: _without_prose(value) for key, value in part.items() if not (prose and key == "documentation")}
        case list():
            return [_without_prose(each) for each in part]
    return part


def _write(models: Mapping[str, Any]) -> None:
    _FOLDER.mkdir(exist_ok=True)
    for name, model in models.items():
        text = json.dumps(model, separators=(",", ":"))
        (_FOLDER / f"{name}.json.gz").write_bytes(gzip.compress(text.encode(), mtime=0))


if __name__ == "__main__":
    _write(trimmed(Loader()))
