"""What the fields of the IR may hold: bounds that pydantic and the bounded walker both read, and the named kinds."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, get_args, get_type_hints

from policy_lang.canonical import MAX_SAFE_INTEGER
from policy_lang.frozen import frozen

__all__ = [
    "IR_VERSION",
    "MAX_BUDGETS",
    "MAX_DEPTH",
    "MAX_IR_BYTES",
    "MAX_NODES",
    "MAX_RULES",
    "PPM",
    "Amount",
    "Arm",
    "Closed",
    "Day",
    "Duration",
    "FieldName",
    "Limits",
    "Name",
    "OutcomeName",
    "PolicyName",
    "Ppm",
    "Ratio",
    "Reason",
    "Sentence",
    "Tagged",
    "Text",
    "Truth",
    "Whole",
    "Word",
]

IR_VERSION = 1
PPM = 1_000_000
# Limits belong to the language version: raising one is a new version.
MAX_IR_BYTES = 64 * 1024
MAX_DEPTH = 64
MAX_NODES = 4_096
MAX_BUDGETS = 64
MAX_RULES = 200


@frozen
class Whole:
    """Range of an integer field; understood by pydantic (through the schema hook) and by the bounded walker."""

    low: int
    high: int

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        return {**handler(source), "ge": self.low, "le": self.high, "strict": True}


@frozen
class Text:
    """Pattern and length of a string field; `pattern` uses the common subset of Python, ECMA and Rust syntax."""

    pattern: str
    longest: int

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        return {**handler(source), "pattern": self.pattern, "max_length": self.longest, "strict": True}


@frozen
class Truth:
    """A boolean field: true or false and nothing that merely reads like one."""

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        return {**handler(source), "strict": True}


@frozen
class Limits:
    """Least and greatest number of items of a tuple field."""

    least: int
    most: int

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        return {**handler(source), "min_length": self.least, "max_length": self.most}


@frozen
class Tagged:
    """A union told apart by the literal in the field `tag`, which must be present."""

    tag: str

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        nodes = {get_type_hints(node)[self.tag].__args__[0]: node for node in get_args(source)}
        members = {name: handler.generate_schema(node) for name, node in nodes.items()}
        return {"type": "tagged-union", "discriminator": self.tag, "choices": members}


class Closed:
    """Unknown fields are refused; pydantic reads this attribute of the nodes below."""

    __slots__ = ()
    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}


Ppm = Annotated[int, Whole(0, PPM)]
Ratio = Annotated[int, Whole(1, 1000 * PPM)]
Amount = Annotated[int, Whole(0, MAX_SAFE_INTEGER)]
Arm = Annotated[str, Text(r"^[a-z0-9][a-z0-9_-]*/[A-Za-z0-9][A-Za-z0-9._:/@-]*$", 120)]
Name = Annotated[str, Text(r"^[a-z][a-z0-9_-]*$", 48)]
FieldName = Annotated[str, Text(r"^[a-z][a-z0-9_.-]*$", 64)]
Word = Annotated[str, Text(r"^[A-Za-z0-9+][A-Za-z0-9._:/+-]*$", 120)]
Reason = Annotated[str, Text(r"^[^\x00-\x1f\x7f]+$", 200)]
PolicyName = Annotated[str, Text(r"^[a-z0-9][a-z0-9_-]*(/[a-z0-9][a-z0-9_-]*)*$", 96)]

Duration = Annotated[int, Whole(0, 366 * 86_400_000)]
Day = Annotated[int, Whole(0, 100_000)]
Sentence = Reason

OutcomeName = Literal[
    "wrong", "invalid_output", "refused", "truncated", "empty",
    "rate_limited", "timeout", "unavailable", "context_window", "auth",
]  # fmt: skip
