"""Kinds of field that cross the network. Each says what it accepts twice: as code, and as the JSON Schema of that.

A test holds the two together, so the published description of the API admits what the service admits, and no more.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from policy_lang.envelope import TASK_NAME, Envelope, EnvelopeError, envelope_from_wire
from policy_lang.frozen import frozen
from policy_lang.ir import PPM
from policy_lang.vocabulary import CONTEXT_BUCKETS, STRUCTURES, TOKEN_BUCKETS, TOOL_BUCKETS

__all__ = [
    "Choice",
    "Each",
    "Field",
    "Form",
    "Names",
    "Object",
    "Prose",
    "RequestError",
    "Shape",
    "Share",
    "Shares",
    "Slugs",
    "Text",
    "Truth",
    "Whole",
    "Yes",
]

Schema = dict[str, Any]
_SHOWN = 40
_NAME = re.compile(r"[a-z][a-z0-9_-]{0,47}")


class RequestError(ValueError):
    """A request that is refused; `code` is stable, the message says what would be accepted."""

    def __init__(self, status: int, code: str, message: str, **details: Any) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.details = details


class Field(Protocol):
    """`read` gives the value as it is used inside, or RequestError 400."""

    def read(self, name: str, value: object) -> Any: ...

    def schema(self) -> Schema: ...


@frozen
class Form:
    """A JSON object and its fields; others are refused.

    one_of: exactly one is given; any_of: at least one; apart: not both; needs: pairs, the first only with the second.
    """

    what: str
    fields: Mapping[str, Field]
    required: tuple[str, ...] = ()
    one_of: tuple[str, ...] = ()
    any_of: tuple[str, ...] = ()
    apart: tuple[str, str] | None = None
    needs: tuple[tuple[str, str], ...] = ()

    def read(self, document: object) -> dict[str, Any]:
        """The values of the fields that are present. RequestError names the first that is wrong or missing."""
        if not isinstance(document, dict):
            raise RequestError(400, "invalid_field", f"{self.what} must be a JSON object")
        found = {}
        for name, value in document.items():
            kind = self.fields.get(name)
            if kind is None:
                accepted = ", ".join(sorted(self.fields))
                message = f"unknown field `{name[:_SHOWN]}` in {self.what}; the fields are {accepted}"
                raise RequestError(400, "unknown_field", message)
            found[name] = kind.read(name, value)
        self._check_presence(found)
        return found

    def schema(self) -> Schema:
        schema: Schema = {
            "type": "object",
            "properties": {name: kind.schema() for name, kind in self.fields.items()},
            "additionalProperties": False,
        }
        if self.required:
            schema["required"] = list(self.required)
        for keyword, names in (("oneOf", self.one_of), ("anyOf", self.any_of)):
            if names:
                schema[keyword] = [{"required": [name]} for name in names]
        if self.apart:
            schema["not"] = {"required": list(self.apart)}
        if self.needs:
            schema["dependentRequired"] = {name: [other] for name, other in self.needs}
        return schema

    def _check_presence(self, found: Mapping[str, Any]) -> None:
        for name in self.required:
            if name not in found:
                raise RequestError(400, "missing_field", f"`{name}` must be given")
        if self.one_of and sum(name in found for name in self.one_of) != 1:
            names = " and ".join(f"`{name}`" for name in self.one_of)
            raise RequestError(400, "missing_field", f"exactly one of {names} must be given")
        if self.any_of and not any(name in found for name in self.any_of):
            names = " or ".join(f"`{name}`" for name in self.any_of)
            raise RequestError(400, "missing_field", f"{names} must be given")
        if self.apart and all(name in found for name in self.apart):
            raise RequestError(400, "invalid_field", f"`{self.apart[0]}` and `{self.apart[1]}` must not both be given")
        for name, other in self.needs:
            if name in found and other not in found:
                raise RequestError(400, "missing_field", f"`{other}` must be given where `{name}` is")


@dataclass(frozen=True, slots=True)
class Text:
    """A string that `pattern` matches as a whole; `accepted` completes `must be ...`."""

    pattern: str
    longest: int
    accepted: str
    _regex: re.Pattern[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_regex", re.compile(self.pattern))

    def matches(self, value: str) -> bool:
        return len(value) <= self.longest and self._regex.fullmatch(value) is not None

    def read(self, name: str, value: object) -> str:
        if not isinstance(value, str) or not self.matches(value):
            raise _invalid(name, f"{self.accepted}, at most {self.longest} long")
        return value

    def schema(self) -> Schema:
        return {"type": "string", "pattern": f"^(?:{self.pattern})$", "maxLength": self.longest}


@frozen
class Prose:
    """Any text, as long as the body may be; what reads it on says what belongs in it."""

    def read(self, name: str, value: object) -> str:
        if not isinstance(value, str):
            raise _invalid(name, "text")
        return value

    def schema(self) -> Schema:
        return {"type": "string"}


@frozen
class Choice:
    """One of a closed list of words."""

    values: tuple[str, ...]

    def read(self, name: str, value: object) -> str:
        if not isinstance(value, str) or value not in self.values:
            raise _invalid(name, f"one of {', '.join(self.values)}")
        return value

    def schema(self) -> Schema:
        return {"type": "string", "enum": list(self.values)}


@frozen
class Whole:
    """An integer from 0; written without a decimal point."""

    most: int

    def read(self, name: str, value: object) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= self.most:
            raise _invalid(name, f"an integer between 0 and {self.most}")
        return value

    def schema(self) -> Schema:
        return {"type": "integer", "minimum": 0, "maximum": self.most}


@frozen
class Share:
    """A decimal from 0 to 1, read in parts per million."""

    def read(self, name: str, value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1:
            raise _invalid(name, "a number between 0 and 1")
        return round(value * PPM)

    def schema(self) -> Schema:
        return {"type": "number", "minimum": 0, "maximum": 1}


@frozen
class Truth:
    def read(self, name: str, value: object) -> bool:
        if not isinstance(value, bool):
            raise _invalid(name, "true or false")
        return value

    def schema(self) -> Schema:
        return {"type": "boolean"}


@frozen
class Yes:
    """True, or not given at all."""

    def read(self, name: str, value: object) -> bool:
        if value is not True:
            raise _invalid(name, "true, or not given")
        return True

    def schema(self) -> Schema:
        return {"const": True}


@frozen
class Shares:
    """Pairs of a fingerprint and its share; what they must add up to is asked later."""

    def read(self, name: str, value: object) -> list[list[Any]]:
        if isinstance(value, list) and all(map(self._is_pair, value)):
            return value
        raise _invalid(name, 'pairs such as [["<fingerprint>", 950000], ["<fingerprint>", 50000]]')

    def schema(self) -> Schema:
        pair = [{"type": "string"}, {"type": "integer"}]
        return {
            "type": "array",
            "items": {"type": "array", "prefixItems": pair, "items": False, "minItems": 2},
        }

    @staticmethod
    def _is_pair(pair: object) -> bool:
        match pair:
            case [str(), int(share)]:
                return isinstance(pair, list) and not isinstance(share, bool)
        return False


@frozen
class Object:
    """Any JSON object; what reads it on says what belongs in it."""

    def read(self, name: str, value: object) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise _invalid(name, "a JSON object")
        return value

    def schema(self) -> Schema:
        return {"type": "object"}


@frozen
class Slugs:
    """`least` to `most` strings of one kind, in the order given; `accepted` names them."""

    item: Text
    least: int
    most: int
    accepted: str

    def read(self, name: str, value: object) -> tuple[str, ...]:
        if not isinstance(value, list) or not self.least <= len(value) <= self.most:
            raise _invalid(name, f"an array of {self.least} to {self.most} {self.accepted}")
        return tuple([self.item.read(f"{name}[{position}]", item) for position, item in enumerate(value)])

    def schema(self) -> Schema:
        return {"type": "array", "items": self.item.schema(), "minItems": self.least, "maxItems": self.most}


@frozen
class Names:
    """Names with names as values, read as pairs in name order."""

    most: int

    def read(self, name: str, value: object) -> tuple[tuple[str, str], ...]:
        if isinstance(value, dict) and len(value) <= self.most:
            pairs = [(each, word) for each, word in value.items() if isinstance(word, str) and _NAME.fullmatch(word)]
            if len(pairs) == len(value) and all(_NAME.fullmatch(each) for each in value):
                return tuple(sorted(pairs))
        raise _invalid(name, f"an object of at most {self.most} names with names as values")

    def schema(self) -> Schema:
        word = {"type": "string", "pattern": f"^(?:{_NAME.pattern})$"}
        return {
            "type": "object",
            "propertyNames": {"pattern": word["pattern"]},
            "additionalProperties": word,
            "maxProperties": self.most,
        }


@frozen
class Shape:
    """The envelope: six fields, all required."""

    def read(self, _name: str, value: object) -> Envelope:
        try:
            return envelope_from_wire(value)
        except EnvelopeError as problem:
            raise RequestError(400, "invalid_envelope", str(problem)) from None

    def schema(self) -> Schema:
        sizes = {"context_length": CONTEXT_BUCKETS, "tools_used": TOOL_BUCKETS, "estimated_tokens": TOKEN_BUCKETS}
        properties: dict[str, Schema] = {
            "task_type": {"type": "string", "pattern": f"^(?:{TASK_NAME.pattern})$"},
            "structure_type": Choice(STRUCTURES).schema(),
            **{name: Choice(tuple(bucket.name for bucket in buckets)).schema() for name, buckets in sizes.items()},
            "time_sensitive": Truth().schema(),
        }
        order = Envelope.__match_args__
        return {
            "type": "object",
            "properties": {name: properties[name] for name in order},
            "required": list(order),
            "additionalProperties": False,
        }


@frozen
class Each:
    """1 to `most` objects of one form; one bad one refuses them all, and the message says which."""

    form: Form
    most: int

    def read(self, name: str, value: object) -> list[dict[str, Any]]:
        if not isinstance(value, list) or not 1 <= len(value) <= self.most:
            raise _invalid(name, f"an array of 1 to {self.most} {name}")
        found = []
        for position, item in enumerate(value):
            try:
                found.append(self.form.read(item))
            except RequestError as problem:
                raise RequestError(problem.status, problem.code, f"{name}[{position}]: {problem}") from None
        return found

    def schema(self) -> Schema:
        return {"type": "array", "items": self.form.schema(), "minItems": 1, "maxItems": self.most}


def _invalid(name: str, accepted: str) -> RequestError:
    return RequestError(400, "invalid_field", f"`{name}` must be {accepted}")
