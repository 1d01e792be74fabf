"""`python -m policy_cli.openapi` writes docs/openapi.json."""

import json
from pathlib import Path

from policy_cli.openapi.document import build

text = json.dumps(build(), indent=1, sort_keys=True) + "\n"
(Path(__file__).parents[2] / "docs/openapi.json").write_text(text, encoding="utf-8")
