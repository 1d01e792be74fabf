"""Low-level clients of one shared botocore session. Not boto3: its resource layer would double a cold start."""

from __future__ import annotations

from functools import cache
from typing import Any

from botocore.config import Config
from botocore.session import Session, get_session

from functions.stores.models import OwnModels

__all__ = ["impatient", "patient"]

# A caller waits for `route`: two attempts and give up, so that a slow dependency costs no more than the fallback.
_IMPATIENT = Config(connect_timeout=0.5, read_timeout=1.0, retries={"total_max_attempts": 2, "mode": "standard"})
_PATIENT = Config(connect_timeout=2.0, read_timeout=10.0, retries={"total_max_attempts": 4, "mode": "standard"})


def impatient(service: str) -> Any:
    """A client for the request path."""
    return _session().create_client(service, config=_IMPATIENT)


def patient(service: str) -> Any:
    """A client for work that nobody waits for."""
    return _session().create_client(service, config=_PATIENT)


@cache
def _session() -> Session:
    session = get_session()
    session.register_component("data_loader", OwnModels())
    return session
