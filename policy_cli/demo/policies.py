"""Policy texts from files: the sample tenants', or those that somebody names."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from policy_cli.demo.calls import PolicyText, ScenarioError
from policy_lang.text.parser import parse
from policy_lang.text.syntax import Header

__all__ = ["SAMPLES", "policy_texts", "sample_texts"]

SAMPLES = Path(__file__).resolve().parents[2] / "samples"


def sample_texts() -> list[PolicyText]:
    """The policies of `samples/`, one folder a tenant."""
    found = policy_texts(sorted(SAMPLES.glob("*/*.policy")))
    if not found:
        raise ScenarioError(f"there are no samples in {SAMPLES}; run from a checkout, or name a --policy")
    return found


def policy_texts(paths: Sequence[Path]) -> list[PolicyText]:
    """Each under the name in its header; what stands before the `/` there is the tenant."""
    texts = [_text(path) for path in paths]
    first: dict[str, str] = {}
    for text in texts:
        if (other := first.setdefault(text.name, text.origin)) != text.origin or texts.count(text) > 1:
            raise ScenarioError(f"`{other}` and `{text.origin}` both hold the policy `{text.name}`; name one of them")
    return texts


def _text(path: Path) -> PolicyText:
    source = path.read_text(errors="replace")
    header = next((each for each in parse(source).statements if isinstance(each, Header)), None)
    if header is None:
        raise ScenarioError(f'`{path}` has no header such as `policy "team/name" language 1`; run `pointsman check`')
    name = header.name.text
    return PolicyText(name.partition("/")[0], name, source, str(path))
