"""How long tests of jobs wait."""

CANCELLED_WITHIN_S = 10.0
"""The program allows itself `CANCEL_WITHIN_S`; the rest is for a busy machine. The jobs would go on for a minute."""
