"""Where the cluster is and who we are there: kubeconfigs, the pod's account, certificates, tokens and plugins."""

from __future__ import annotations

import asyncio
import base64
import json
import shutil
import ssl
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from kube import api_status, haste

from bot.errors import (
    BackendErrorKind,
    PermanentBackendError,
    StartError,
    TemporaryBackendError,
)
from integrations._http import Answer
from integrations._kubernetes import open_kubernetes
from integrations._kubernetes_cluster import (
    FileToken,
    find_cluster,
    kubeconfig_cluster,
    parse_exec_credential,
    pod_cluster,
)
from integrations._kubernetes_errors import ExpiredError, refusal

NOW = datetime(2026, 11, 21, 3, tzinfo=UTC)


class Authority:
    """A certificate authority of its own, made by openssl, and what it signed for a server and for a client."""

    def __init__(self, folder: Path) -> None:
        if shutil.which("openssl") is None:
            pytest.skip("needs openssl")
        self.folder = folder
        self._run("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "ca.key", "-out", "ca.crt",
                  "-subj", "/CN=test-ca", "-days", "2")  # fmt: skip
        for name in ("server", "client"):
            self._run("req", "-newkey", "rsa:2048", "-nodes", "-keyout", f"{name}.key", "-out", f"{name}.csr",
                      "-subj", f"/CN={name}")  # fmt: skip
            (folder / "names").write_text("subjectAltName=IP:127.0.0.1")
            self._run("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial",
                      "-out", f"{name}.crt", "-days", "2", "-extfile", "names")  # fmt: skip

    def _run(self, *words: str) -> None:
        subprocess.run(["openssl", *words], cwd=self.folder, check=True, capture_output=True)

    def data(self, name: str) -> str:
        return base64.b64encode((self.folder / name).read_bytes()).decode()

    def server_side(self) -> ssl.SSLContext:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(self.folder / "ca.crt"))
        context.load_cert_chain(self.folder / "server.crt", self.folder / "server.key")
        context.verify_mode = ssl.CERT_REQUIRED
        return context


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


def write_kubeconfig(
    folder: Path, *, user: Mapping[str, Any] | None = None, cluster: Mapping[str, Any] | None = None
) -> Path:
    file = folder / "config"
    server = {"server": "https://127.0.0.1:6443", **(cluster or {})}
    file.write_text(
        yaml.safe_dump(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "clusters": [{"name": "here", "cluster": server}],
                "users": [
                    {"name": "bot", "user": dict(user or {"token": "abc"})},
                    {"name": "eve", "user": {}},
                ],
                "contexts": [
                    {"name": "main", "context": {"cluster": "here", "user": "bot"}},
                    {"name": "other", "context": {"cluster": "here", "user": "eve"}},
                ],
                "current-context": "main",
            }
        )
    )
    return file


# ---------------------------------------------------------------- which cluster


async def test_the_current_context_is_used_unless_another_is_named(tmp_path: Path) -> None:
    file = write_kubeconfig(tmp_path)
    current = kubeconfig_cluster(file, context=None)
    assert (current.server, await current.tokens.token(renew=False)) == ("https://127.0.0.1:6443", "abc")
    assert current.origin == f"{file}, context main"
    assert await kubeconfig_cluster(file, context="other").tokens.token(renew=False) is None


def test_in_a_pod_the_service_account_is_used_unless_a_kubeconfig_is_named(
    tmp_path: Path, authority: Authority
) -> None:
    environment = {"KUBERNETES_SERVICE_HOST": "fd00::1", "KUBERNETES_SERVICE_PORT": "443"}
    shutil.copy(authority.folder / "ca.crt", tmp_path / "ca.crt")
    (tmp_path / "token").write_text("abc")
    assert pod_cluster(environment, tmp_path).server == "https://[fd00::1]:443"
    file = write_kubeconfig(tmp_path)
    found = find_cluster(kubeconfig=file, context=None, environment=environment)
    assert found.origin == f"{file}, context main"
    found = find_cluster(kubeconfig=None, context=None, environment={"KUBECONFIG": str(file)})
    assert found.origin == f"{file}, context main"


def test_a_pod_without_an_account_is_told_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(StartError, match=str(tmp_path)) as missing:
        pod_cluster({"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, tmp_path)
    assert "automountServiceAccountToken" in missing.value.sentence


@pytest.mark.parametrize(
    ("user", "cluster", "says"),
    [
        ({"auth-provider": {"name": "gcp"}}, {}, "auth-provider is not supported"),
        ({"token": "abc", "as": "admin"}, {}, "as is not supported"),
        ({"token": "abc"}, {"proxy-url": "http://proxy:3128"}, "proxy-url is not supported"),
        ({"exec": {"apiVersion": "client.authentication.k8s.io/v1alpha1", "command": "x"}}, {}, "v1beta1"),
        ({"client-certificate-data": "not base64!"}, {}, "not a kubeconfig"),
        ({"token": "abc"}, {"certificate-authority": "nowhere.crt"}, "cannot be read"),
    ],
)
def test_what_would_change_who_we_are_is_refused_and_not_left_out(
    tmp_path: Path, user: dict[str, Any], cluster: dict[str, Any], says: str
) -> None:
    with pytest.raises(StartError) as refused:
        kubeconfig_cluster(write_kubeconfig(tmp_path, user=user, cluster=cluster), context=None)
    assert says in refused.value.sentence


@pytest.mark.parametrize("text", ["", "[]", "a: [", "contexts: 7\ncurrent-context: x", "current-context: x"])
def test_a_file_that_is_no_kubeconfig_is_named(tmp_path: Path, text: str) -> None:
    file = tmp_path / "config"
    file.write_text(text)
    with pytest.raises(StartError, match="config is not a kubeconfig"):
        kubeconfig_cluster(file, context=None)
    with pytest.raises(StartError, match="cannot be read"):
        kubeconfig_cluster(tmp_path / "nothing", context=None)


def test_a_context_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(StartError, match="staging is not among its contexts"):
        kubeconfig_cluster(write_kubeconfig(tmp_path), context="staging")


# ---------------------------------------------------------------- who we are


@pytest.mark.parametrize("in_files", [True, False], ids=["files", "data"])
async def test_a_client_certificate_is_shown_to_the_server_and_the_servers_is_checked(
    tmp_path: Path, authority: Authority, in_files: bool
) -> None:
    shown = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        shown.append(dict(one[0] for one in writer.get_extra_info("peercert")["subject"]))
        body = b'{"gitVersion": "v1.34.2"}'
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % len(body) + body)
        await writer.drain()
        writer.close()

    def either(key: str, name: str) -> dict[str, str]:
        return {key: str(authority.folder / name)} if in_files else {f"{key}-data": authority.data(name)}

    user = {**either("client-certificate", "client.crt"), **either("client-key", "client.key")}
    async with await asyncio.start_server(serve, "127.0.0.1", 0, ssl=authority.server_side()) as listening:
        address = f"https://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
        trusting = either("certificate-authority", "ca.crt")
        file = write_kubeconfig(tmp_path, user=user, cluster={"server": address, **trusting})
        async with open_kubernetes(kubeconfig_cluster(file, context=None), timing=haste()) as kubernetes:
            assert await kubernetes.version() == "v1.34.2"
        file = write_kubeconfig(tmp_path, user=user, cluster={"server": address})
        async with open_kubernetes(kubeconfig_cluster(file, context=None), timing=haste()) as kubernetes:
            with pytest.raises(TemporaryBackendError, match=r"(?i)certificate"):
                await kubernetes.version()
    assert shown == [{"commonName": "client"}]


async def test_a_token_file_is_read_again_after_a_minute_and_at_once_when_refused(tmp_path: Path) -> None:
    now = 0.0
    file = tmp_path / "token"
    tokens = FileToken(file, monotonic=lambda: now)
    with pytest.raises(TemporaryBackendError, match="token file"):
        await tokens.token(renew=False)
    file.write_text("first\n")
    assert await tokens.token(renew=False) == "first"
    file.write_text("second\n")
    assert await tokens.token(renew=False) == "first"
    now = 60.0
    assert await tokens.token(renew=False) == "second"
    file.write_text("third\n")
    assert await tokens.token(renew=True) == "third"


def plugin(folder: Path, script: str, **more: Any) -> Path:
    program = folder / "login"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o700)
    run = {"apiVersion": "client.authentication.k8s.io/v1", "command": "./login", **more}
    return write_kubeconfig(folder, user={"exec": run})


async def test_a_plugin_gives_the_token_until_it_expires_or_is_refused(tmp_path: Path) -> None:
    expiry = (datetime.now(UTC) + timedelta(hours=1)).isoformat().replace("+00:00", "Z")
    answer = {"kind": "ExecCredential", "status": {"token": "TOKEN", "expirationTimestamp": expiry}}
    script = f"""echo run >> runs; echo "$KUBERNETES_EXEC_INFO" > info
        echo '{json.dumps(answer)}' | sed "s/TOKEN/$1-$REGION-$(wc -l < runs | tr -d ' ')/" """
    script = f'cd "{tmp_path}"\n{script}'
    file = plugin(tmp_path, script, args=["eks"], env=[{"name": "REGION", "value": "eu"}])
    tokens = kubeconfig_cluster(file, context=None).tokens
    assert await tokens.token(renew=False) == "eks-eu-1"
    assert await tokens.token(renew=False) == "eks-eu-1"
    assert await tokens.token(renew=True) == "eks-eu-2"
    assert json.loads((tmp_path / "info").read_text())["kind"] == "ExecCredential"


@pytest.mark.parametrize(
    ("script", "says"),
    [
        ("echo password=hunter2 >&2; exit 3", "exit code 3"),
        ("echo hunter2", "printed no token"),
        ("echo '{\"status\": null}'", "printed no token"),
    ],
)
async def test_a_plugin_that_fails_is_told_without_what_it_said(
    tmp_path: Path, script: str, says: str
) -> None:
    tokens = kubeconfig_cluster(plugin(tmp_path, script), context=None).tokens
    with pytest.raises(PermanentBackendError, match=says) as failed:
        await tokens.token(renew=False)
    assert "hunter2" not in failed.value.sentence


async def test_a_plugin_that_is_not_installed_is_named(tmp_path: Path) -> None:
    tokens = kubeconfig_cluster(plugin(tmp_path, "", command="no-such-plugin"), context=None).tokens
    with pytest.raises(PermanentBackendError, match="no-such-plugin cannot be run"):
        await tokens.token(renew=False)


def test_a_credential_without_an_expiry_holds_until_it_is_refused() -> None:
    assert parse_exec_credential(b'{"status": {"token": "abc"}}') == ("abc", float("inf"))


# ---------------------------------------------------------------- what refusals mean


def answered(response: httpx.Response) -> Answer:
    return Answer(response.status_code, response.headers, response.content)


PROTECTED = 'admission webhook "nousages.protection.crossplane.io" denied the request: in-use by 1 usage'
NO_WEBHOOK = 'failed calling webhook "validate.kyverno.svc": context deadline exceeded'
RBAC = 'pods is forbidden: User "bot" cannot list resource "pods" in API group ""'
QUOTA = 'things "x" is forbidden: exceeded quota: compute, requested: 1, used: 5, limited: 5'
MODIFIED = 'Operation cannot be fulfilled on x "y": the object has been modified'


@pytest.mark.parametrize(
    ("response", "temporary", "kind"),
    [
        (api_status(401, "Unauthorized", "Unauthorized"), False, BackendErrorKind.DENIED),
        (api_status(403, "Forbidden", RBAC), False, BackendErrorKind.DENIED),
        (api_status(403, "Forbidden", QUOTA), False, BackendErrorKind.POLICY_DENIED),
        (api_status(400, "BadRequest", PROTECTED), False, BackendErrorKind.POLICY_DENIED),
        (api_status(409, "Conflict", PROTECTED), False, BackendErrorKind.POLICY_DENIED),
        (api_status(409, "Conflict", MODIFIED), True, BackendErrorKind.CONFLICT),
        (api_status(409, "AlreadyExists", "x exists"), False, BackendErrorKind.ALREADY_EXISTS),
        (api_status(404, "NotFound", "x not found"), False, BackendErrorKind.NOT_FOUND),
        (httpx.Response(404, content=b"404 page not found"), False, BackendErrorKind.NOT_FOUND),
        (api_status(422, "Invalid", "spec.size is wrong"), False, BackendErrorKind.INVALID),
        (api_status(429, "TooManyRequests", "slow down"), True, BackendErrorKind.RATE_LIMITED),
        (api_status(500, "InternalError", NO_WEBHOOK), True, BackendErrorKind.UNAVAILABLE),
        (api_status(504, "Timeout", "timeout"), True, BackendErrorKind.UNAVAILABLE),
        (httpx.Response(502, content=b"<html>Bad gateway</html>"), True, BackendErrorKind.UNAVAILABLE),
    ],
)
def test_a_refusal_has_one_meaning(response: httpx.Response, temporary: bool, kind: BackendErrorKind) -> None:
    error = refusal(answered(response), NOW)
    assert (error.temporary, error.kind) == (temporary, kind)


def test_a_position_that_was_forgotten_is_told_apart() -> None:
    assert isinstance(refusal(answered(api_status(410, "Expired", "too old")), NOW), ExpiredError)


def test_a_delay_is_taken_from_the_header_or_else_from_the_details() -> None:
    limited = api_status(429, "TooManyRequests", "slow down", retryAfterSeconds=9)
    for response, seconds in ((limited, 9.0), (httpx.Response(429, headers={"Retry-After": "4"}), 4.0)):
        error = refusal(answered(response), NOW)
        assert isinstance(error, TemporaryBackendError)
        assert error.retry_after_seconds == seconds
    nonsense = refusal(answered(api_status(429, "TooManyRequests", "", retryAfterSeconds="soon")), NOW)
    assert isinstance(nonsense, TemporaryBackendError)
    assert nonsense.retry_after_seconds is None


def test_the_address_of_a_cluster_may_have_a_path(tmp_path: Path) -> None:
    file = write_kubeconfig(tmp_path, cluster={"server": "https://rancher.example.com/k8s/clusters/c-1/"})
    assert kubeconfig_cluster(file, context=None).server == "https://rancher.example.com/k8s/clusters/c-1"


async def test_calls_and_watches_stay_below_the_path_of_the_cluster(tmp_path: Path) -> None:
    file = write_kubeconfig(tmp_path, cluster={"server": "https://rancher.example.com/k8s/clusters/c-1"})
    seen = []

    def answer(asked: httpx.Request) -> httpx.Response:
        seen.append(asked.url.path)
        return httpx.Response(200, json={"gitVersion": "v1"})

    wire = httpx.MockTransport(answer)
    async with open_kubernetes(kubeconfig_cluster(file, context=None), transport=wire) as kubernetes:
        await kubernetes.version()
        async with kubernetes.stream("/api/v1/pods", {"timeoutSeconds": "1"}) as events:
            async for _ in events:
                pass
    assert seen == ["/k8s/clusters/c-1/version", "/k8s/clusters/c-1/api/v1/pods"]
