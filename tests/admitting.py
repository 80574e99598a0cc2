"""Admission played by a test: a real webhook that the API server calls over TLS, and says what a test tells it to.

It stands for Kyverno and Gatekeeper, which are such webhooks. One configuration for each test namespace, removed afterwards.
"""

from __future__ import annotations

import asyncio
import base64
import datetime as dt
import ipaddress
import ssl
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from kube import Admin

from integrations._http import Call
from integrations._kubernetes import Object

HOOKS = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations"


@dataclass(frozen=True)
class Says:
    """One answer. `denies`: the webhook's own words, empty where it lets in."""

    denies: str = ""
    code: int = 400
    warnings: tuple[str, ...] = ()


@dataclass
class Admitting:
    """`judge` sees each object that is to be written; `reviewed` keeps the whole reviews."""

    name: str
    judge: Callable[[Object], Says] = lambda _: Says()
    reviewed: list[Object] = field(default_factory=list)

    async def review(self, asked: web.Request) -> web.Response:
        request = (await asked.json())["request"]
        self.reviewed.append(request)
        says = self.judge(request["object"])
        answer: dict[str, Any] = {"uid": request["uid"], "allowed": not says.denies}
        if says.denies:
            answer["status"] = {"code": says.code, "message": says.denies}
        if says.warnings:
            answer["warnings"] = list(says.warnings)
        return web.json_response(
            {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": answer}
        )


def certificate(folder: Path) -> tuple[ssl.SSLContext, bytes]:
    """A server's side of TLS for 127.0.0.1, and the certificate that proves it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(hours=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    authority = made.public_bytes(serialization.Encoding.PEM)
    pair = folder / "webhook.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    pair.write_bytes(authority + private)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(pair)
    return context, authority


@asynccontextmanager
async def admitting(
    admin: Admin,
    namespace: str,
    folder: Path,
    *,
    name: str = "validate.kyverno.svc-fail",
) -> AsyncIterator[Admitting]:
    """From its first review to the end of the block."""
    hook = Admitting(name)
    tls, authority = certificate(folder)
    app = web.Application()
    app.router.add_post("/", hook.review)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
    await site.start()
    port = runner.addresses[0][1]
    configured = f"test-{uuid.uuid4().hex[:8]}"
    await admin.apply(
        {
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {"name": namespace, "labels": {"test": namespace}},
        }
    )
    await admin.apply(_configuration(configured, name, namespace, f"https://127.0.0.1:{port}/", authority))
    try:
        await _until_asked(admin, namespace, hook)
        yield hook
    finally:
        await admin.call("DELETE", f"{HOOKS}/{configured}")
        await runner.cleanup()


def _configuration(configured: str, name: str, namespace: str, url: str, authority: bytes) -> Object:
    rule = {
        "apiGroups": ["*"],
        "apiVersions": ["*"],
        "operations": ["CREATE", "UPDATE"],
        "resources": ["*"],
        # A namespaceSelector matches everything that is in no namespace.
        "scope": "Namespaced",
    }
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": configured},
        "webhooks": [
            {
                "name": name,
                "clientConfig": {"url": url, "caBundle": base64.b64encode(authority).decode()},
                "rules": [rule],
                "namespaceSelector": {"matchLabels": {"test": namespace}},
                "failurePolicy": "Fail",
                "sideEffects": "None",
                "admissionReviewVersions": ["v1"],
                "timeoutSeconds": 5,
            }
        ],
    }


async def _until_asked(admin: Admin, namespace: str, hook: Admitting) -> None:
    """The API server learns of webhooks, and of a namespace's labels, by watches of its own."""
    probe = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "probe"}}
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    async with asyncio.timeout(20):
        while True:
            answer = await admin.kubernetes.dry_run(Call("POST", path, body=probe))
            if hook.reviewed or answer.status == 400:
                hook.reviewed.clear()
                return
            await asyncio.sleep(0.05)
