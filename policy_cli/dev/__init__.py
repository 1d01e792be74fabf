"""The service on one machine: same template, same handlers, moto instead of AWS. Imported by `dev` and `demo` only."""

from policy_cli.dev.clocks import VirtualClock, wall_clock
from policy_cli.dev.signals import stop_on_signals
from policy_cli.dev.stack import LocalStack
from policy_cli.dev.template import TemplateError
from policy_cli.dev.tenants import LocalTenant

__all__ = ["LocalStack", "LocalTenant", "TemplateError", "VirtualClock", "stop_on_signals", "wall_clock"]
