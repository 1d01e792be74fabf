"""The caller's side of Pointsman: bucket a call into an envelope, ask for a decision, report what became of it."""

from policy_client.client import Client
from policy_client.credentials import Credentials, HmacCredentials, SigV4Credentials
from policy_client.errors import ClientError, NoCandidates, RouteError, RouteUnavailable
from policy_client.orders import AfterOutcome, Cascade, Check, Parameter
from policy_client.reply import PlanStep, RouteReply
from policy_client.spans import span_attributes, span_name
from policy_client.telemetry import TelemetryStats
from policy_lang.envelope import Envelope, EnvelopeError, build_envelope

__all__ = [
    "AfterOutcome",
    "Cascade",
    "Check",
    "Client",
    "ClientError",
    "Credentials",
    "Envelope",
    "EnvelopeError",
    "HmacCredentials",
    "NoCandidates",
    "Parameter",
    "PlanStep",
    "RouteError",
    "RouteReply",
    "RouteUnavailable",
    "SigV4Credentials",
    "TelemetryStats",
    "build_envelope",
    "span_attributes",
    "span_name",
]
