import json
import os
from pathlib import Path

import pytest

from policy_lang.catalog import Catalog, model_from_document

CONFORMANCE = Path(__file__).parents[1] / "conformance"


@pytest.fixture(scope="session")
def conformance() -> Path:
    return CONFORMANCE


@pytest.fixture(scope="session")
def catalog() -> Catalog:
    document = json.loads((CONFORMANCE / "catalog.json").read_text())
    return Catalog.build(map(model_from_document, document["models"]), document["aliases"])


@pytest.fixture(scope="session")
def golden():
    """Compares text with a golden file; POINTSMAN_REGENERATE=1 writes the file instead."""

    def compare(path: Path, text: str) -> None:
        if os.environ.get("POINTSMAN_REGENERATE"):
            path.write_bytes(text.encode())
        assert path.read_bytes().decode() == text

    return compare
