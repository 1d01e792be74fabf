"""The rules no source states: which ids become arms, where they run, what stage they are in, what people call them.

`docs/catalog.md` gives the reason and the reference for every line of these tables.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import date, timedelta

from policy_lang.frozen import frozen

__all__ = [
    "HOSTS",
    "Host",
    "aliases",
    "geography",
    "region",
    "served_family",
    "stage",
]


@frozen
class Host:
    """One provider as each source names it: `prices` in genai-prices, `table` and key `prefix` in LiteLLM's table."""

    provider: str
    prices: str
    table: str
    prefix: str = ""
    region: str | None = None
    families: tuple[str, ...] = ()


# The order settles an ambiguous alias: the model's own maker first, then hosts.
# A region here is that of the default endpoint; a tenant on another endpoint overlays an arm with its region and price.
HOSTS = (
    Host("anthropic", "anthropic", "anthropic"),
    Host("openai", "openai", "openai"),
    Host("google", "google", "gemini", "gemini/"),
    Host(
        "mistral",
        "mistral",
        "mistral",
        "mistral/",
        region="global",
        families=("codestral", "devstral", "magistral", "ministral", "mistral"),
    ),
    Host("deepseek", "deepseek", "deepseek", "deepseek/"),
    Host("cohere", "cohere", "cohere_chat"),
    Host("xai", "x-ai", "xai", "xai/", region="global"),
    Host(
        "bedrock",
        "aws",
        "bedrock_converse",
        families=("amazon.", "anthropic.", "deepseek.", "meta.", "mistral.", "openai.gpt-oss"),
    ),
    Host("groq", "groq", "groq", "groq/"),
)

# Bedrock names an inference profile `<geography>.<vendor>.<model>` and keeps its requests inside that geography.
# `apac` reaches Australia and `au`, `in`, `us-gov` are no region of the vocabulary: their arms are left out.
_GEOGRAPHIES = {"us": "us", "eu": "eu", "jp": "asia", "global": "global"}
_UNMAPPED_GEOGRAPHIES = frozenset({"apac", "au", "ca", "in", "us-gov"})

# Words of an id that mark something other than a general text model under a name that stays.
_OTHER_MEDIA = {"audio", "image", "live", "ocr", "omni", "robotics", "tts", "voxtral"}
_NARROW_USE = {"computer", "customtools", "cyber", "ft", "guard", "research", "rosalind", "safeguard", "search"}
_FLOATING = {"latest"}
_SKIPPED_WORDS = frozenset(_OTHER_MEDIA | _NARROW_USE | _FLOATING)
# Past AWS's own end-of-life date while LiteLLM's table states none.
_ENDED = re.compile(r"anthropic\.claude-(3-7-sonnet|opus-4)-\d{8}")
_PREVIEW_WORDS = frozenset({"preview", "exp", "experimental", "beta"})
_NOTICE = timedelta(days=90)
_SNAPSHOT = re.compile(r"(-\d{8})?(-v\d+(:\d+)?|-\d+:\d+)?$")


def served_family(host: Host, name: str) -> bool:
    """Whether an id of `host` is a general text model of a family the catalog follows."""
    if _SKIPPED_WORDS.intersection(_words(name)) or _ENDED.search(name):
        return False
    if name.partition(".")[0] in _UNMAPPED_GEOGRAPHIES:
        return False
    core = name.removeprefix(f"{geography(name)}.") if host.provider == "bedrock" else name
    return not host.families or core.startswith(host.families)


def _words(name: str) -> list[str]:
    """The words of a model id, lower case."""
    return re.split(r"[-_.:/@]", name.lower())


def geography(name: str) -> str | None:
    """`eu` of `eu.amazon.nova-lite-v1:0`; None for an id that is no geographic or global inference profile."""
    head, dot, _ = name.partition(".")
    return head if dot and head in _GEOGRAPHIES else None


def region(host: Host, name: str) -> str | None:
    """Where requests are processed, None where nobody promises it."""
    if host.provider != "bedrock":
        return host.region
    profile = geography(name)
    return None if profile is None else _GEOGRAPHIES[profile]


def stage(name: str, retires: date | None, as_of: date, *, marked_deprecated: bool = False) -> str:
    """`deprecated` beats `preview`: a model on notice must not be chosen for being new."""
    if marked_deprecated or (retires is not None and retires <= as_of + _NOTICE):
        return "deprecated"
    return "preview" if _PREVIEW_WORDS.intersection(_words(name)) else "stable"


def aliases(arms: Iterable[str]) -> dict[str, str]:
    """Every short name -> its arm. The first arm by host order, then geography order, takes a contested name."""
    table: dict[str, str] = {}
    known = sorted(arms, key=_preference)
    for arm in known:
        for name in _short_names(arm):
            table.setdefault(name, arm)
    return {name: table[name] for name in sorted(table.keys() - set(known))}


def _preference(arm: str) -> tuple[int, int, str]:
    provider, _, name = arm.partition("/")
    order = [host.provider for host in HOSTS]
    places = list(_GEOGRAPHIES)
    profile = geography(name) if provider == "bedrock" else None
    return order.index(provider), places.index(profile) if profile else -1, arm


def _short_names(arm: str) -> list[str]:
    """`gpt-5-mini`; on Bedrock `nova-lite` and `nova-lite-eu` for `eu.amazon.nova-lite-v1:0`."""
    provider, _, name = arm.partition("/")
    if provider != "bedrock":
        return [name.rpartition("/")[2]]
    profile = geography(name)
    vendor, _, model = name.removeprefix(f"{profile}.").partition(".")
    short = _SNAPSHOT.sub("", model)
    if vendor == "deepseek":
        short = f"deepseek-{short}"
    return [short] if profile is None else [short, f"{short}-{profile}"]
