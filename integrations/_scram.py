"""SCRAM-SHA-256 verifiers as PostgreSQL stores them (RFC 5803, RFC 7677). Pure.

A verifier is sent in the place of the password, so that no statement, log or `pg_stat_activity` row ever holds one.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from typing import Final

ITERATIONS: Final = 4096


def scram_verifier(password: str, *, salt: bytes, iterations: int = ITERATIONS) -> str:
    """`password` is ASCII: other text would have to pass SASLprep first."""
    salted = hashlib.pbkdf2_hmac("sha256", password.encode("ascii"), salt, iterations)
    client_key = hmac.digest(salted, b"Client Key", "sha256")
    stored_key = hashlib.sha256(client_key).digest()
    server_key = hmac.digest(salted, b"Server Key", "sha256")
    keys = f"{_encode(stored_key)}:{_encode(server_key)}"
    return f"SCRAM-SHA-256${iterations}:{_encode(salt)}${keys}"


def scram_matches(verifier: str | None, password: str) -> bool:
    """Whether `verifier` was made from `password`; anything that is no verifier matches nothing."""
    try:
        scheme, parameters, _ = (verifier or "").split("$")
        iterations, salt = parameters.split(":")
        expected = scram_verifier(password, salt=base64.b64decode(salt), iterations=int(iterations))
    except (ValueError, binascii.Error):
        return False
    return scheme == "SCRAM-SHA-256" and hmac.compare_digest(expected, verifier or "")


def _encode(value: bytes) -> str:
    return base64.b64encode(value).decode("ascii")
