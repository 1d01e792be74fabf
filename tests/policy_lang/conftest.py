import json
import os
import re
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


REST = {
    "policy": 'policy "example" language 1\n',
    "tier small": "tier small = [claude-haiku-4-5, gpt-5-mini]\n",
    "tier flagship": "tier flagship = [claude-sonnet-4-5, gpt-5]\n",
    "default route": "default route general { use small, flagship pick cheapest }\n",
    "fallback": "fallback claude-haiku-4-5, gpt-5-mini\n",
}


@pytest.fixture(scope="session")
def completed():
    """An example of the documentation as a whole policy: what it lacks is added, unless it is marked `file`."""

    def complete(text: str, marks: str) -> str:
        if "file" in marks.split():
            return text
        if "route" in marks.split():
            text = f"route example when time_sensitive {{\n{text}}}\n"
        missing = {start: rest for start, rest in REST.items() if not re.search(f"^{start} ", text, re.MULTILINE)}
        header, rest = missing.pop("policy", ""), "".join(missing.values())
        return header + rest + text if header else text + rest

    return complete
