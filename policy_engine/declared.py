"""What a policy asks to be told, and what a call tells: attributes and values that were never declared are refused."""

from __future__ import annotations

from policy_engine.wire import RequestError, RouteRequest
from policy_lang.ir import Policy

__all__ = ["check_attributes"]


def check_attributes(request: RouteRequest, policy: Policy) -> None:
    """RequestError 400 for an attribute, or a value of one, that `policy` does not declare."""
    declared = {attribute.name: attribute.values for attribute in policy.attributes}
    for name, value in request.attributes:
        if name not in declared:
            known = ", ".join(f"{each} in [{', '.join(values)}]" for each, values in declared.items())
            message = f"the policy declares no attribute `{name}`; it declares {known or 'none'}"
        elif value not in declared[name]:
            message = f"`{value}` is no value of the attribute `{name}`; it is one of {', '.join(declared[name])}"
        else:
            continue
        raise RequestError(400, "invalid_attribute", message)
