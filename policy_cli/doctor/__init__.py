"""Examines a deployed stack, or the local server, from outside: reads its books back and says what does not balance."""

from policy_cli.doctor.examination import Ailment, Examination, Patient, examine
from policy_cli.doctor.reading import Asked

__all__ = ["Ailment", "Asked", "Examination", "Patient", "examine"]
