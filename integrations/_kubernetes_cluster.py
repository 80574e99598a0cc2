"""Where a Kubernetes API server is and how we prove who we are: inside a pod, or by a kubeconfig.

Reads files and, for an exec plugin, runs the program that the kubeconfig names. Tokens rotate: a token from a file or a plugin
is never kept for the life of the process. Must not call the API server.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import ssl
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Protocol

import yaml

from bot.errors import BackendErrorKind, PermanentBackendError, StartError, TemporaryBackendError

BACKEND: Final = "Kubernetes"
SERVICE_ACCOUNT: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")
TOKEN_AGE_SECONDS: Final = 60.0
"""The kubelet replaces a projected token at 80 % of its life; a minute is well inside the rest."""
EXEC_DEADLINE_SECONDS: Final = 20.0
EXPIRY_MARGIN_SECONDS: Final = 60.0
_EXEC_VERSIONS: Final = ("client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1")
_NOT_SUPPORTED: Final = {
    "user": ("auth-provider", "username", "as", "as-groups", "as-user-extra"),
    "cluster": ("proxy-url", "tls-server-name"),
}
"""What would change who we are or where we go: refused by name, because leaving it out silently would be wrong."""


class Tokens(Protocol):
    async def token(self, *, renew: bool) -> str | None:
        """None: a client certificate says who we are. `renew`: the last one was refused. Raises BackendError."""
        ...


@dataclass(frozen=True)
class Cluster:
    """`origin` says where this comes from: a file and a context, or the pod."""

    server: str
    tls: ssl.SSLContext
    tokens: Tokens
    origin: str


# ---------------------------------------------------------------- tokens


@dataclass(frozen=True)
class FixedToken:
    value: str | None

    async def token(self, *, renew: bool) -> str | None:  # noqa: ARG002 - the same on every call is what fixed means
        return self.value


class FileToken:
    """Read again once it is a minute old, and at once when it was refused."""

    def __init__(self, file: Path, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._file = file
        self._monotonic = monotonic
        self._read_at = float("-inf")
        self._value = ""

    async def token(self, *, renew: bool) -> str:
        now = self._monotonic()
        if renew or now - self._read_at >= TOKEN_AGE_SECONDS:
            try:
                self._value = self._file.read_text().strip()
            except OSError as error:
                raise TemporaryBackendError(
                    f"The token file cannot be read: {error}", backend=BACKEND
                ) from error
            self._read_at = now
        return self._value


class ExecToken:
    """What `aws eks get-token`, `gke-gcloud-auth-plugin`, `kubelogin` and their like print."""

    def __init__(
        self, plugin: Mapping[str, Any], *, folder: Path, now: Callable[[], float] = time.time
    ) -> None:
        self._plugin = plugin
        self._folder = folder
        self._now = now
        self._value = ""
        self._expires_at = float("-inf")
        self._running = asyncio.Lock()

    async def token(self, *, renew: bool) -> str:
        async with self._running:
            if renew or self._now() >= self._expires_at - EXPIRY_MARGIN_SECONDS:
                self._value, self._expires_at = parse_exec_credential(await self._run())
            return self._value

    async def _run(self) -> bytes:
        about = {
            "apiVersion": self._plugin["apiVersion"],
            "kind": "ExecCredential",
            "spec": {"interactive": False},
        }
        added = {each["name"]: each["value"] for each in self._plugin.get("env") or []}
        command = str(self._plugin["command"])
        try:
            process = await asyncio.create_subprocess_exec(
                str(self._folder / command) if "/" in command else command,
                *(self._plugin.get("args") or []),
                env={**os.environ, **added, "KUBERNETES_EXEC_INFO": json.dumps(about)},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                # What a plugin says when it fails may hold a credential; its exit code is all that is passed on.
                stderr=asyncio.subprocess.DEVNULL,
            )
        except OSError as error:
            raise _refused(f"The credential plugin {command} cannot be run: {error.strerror}") from error
        try:
            async with asyncio.timeout(EXEC_DEADLINE_SECONDS):
                output, _ = await process.communicate()
        except TimeoutError as error:
            raise TemporaryBackendError(
                f"The credential plugin {command} did not end.", backend=BACKEND
            ) from error
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        if process.returncode:
            raise _refused(f"The credential plugin {command} ended with exit code {process.returncode}.")
        return output


def parse_exec_credential(output: bytes) -> tuple[str, float]:
    """Token, and when it expires in seconds since the epoch; without an expiry it holds until it is refused."""
    try:
        status = json.loads(output)["status"]
        expiry = status.get("expirationTimestamp")
        return str(status["token"]), datetime.fromisoformat(expiry).timestamp() if expiry else float("inf")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise _refused("The credential plugin printed no token.") from error


def _refused(message: str) -> PermanentBackendError:
    return PermanentBackendError(
        message,
        backend=BACKEND,
        kind=BackendErrorKind.DENIED,
        fix="Run `kubectl get namespaces` as the bot's user with the same kubeconfig.",
    )


# ---------------------------------------------------------------- finding the cluster


def find_cluster(*, kubeconfig: Path | None, context: str | None, environment: Mapping[str, str]) -> Cluster:
    """The kubeconfig that is named; else the pod we run in; else $KUBECONFIG, else ~/.kube/config. Raises StartError."""
    if kubeconfig is None and context is None and "KUBERNETES_SERVICE_HOST" in environment:
        return pod_cluster(environment, SERVICE_ACCOUNT)
    if kubeconfig is None:
        named = environment.get("KUBECONFIG", "")
        kubeconfig = Path(named) if named else Path.home() / ".kube" / "config"
    return kubeconfig_cluster(kubeconfig, context=context)


def pod_cluster(environment: Mapping[str, str], account: Path) -> Cluster:
    """Raises StartError where no service account is mounted."""
    host, port = environment["KUBERNETES_SERVICE_HOST"], environment.get("KUBERNETES_SERVICE_PORT", "443")
    try:
        tls = ssl.create_default_context(cafile=str(account / "ca.crt"))
    except OSError as error:
        raise StartError(
            f"No service account is mounted at {account}.",
            fix="Remove automountServiceAccountToken: false from the bot's pod, or name a kubeconfig.",
        ) from error
    address = f"[{host}]" if ":" in host else host
    return Cluster(
        f"https://{address}:{port}", tls, FileToken(account / "token"), "the pod's service account"
    )


def kubeconfig_cluster(file: Path, *, context: str | None) -> Cluster:
    """Raises StartError naming the file and what is wrong in it."""
    try:
        config = yaml.safe_load(file.read_text())
        chosen = context or str(_part(config, "current-context"))
        bound = _named(config, "contexts", chosen)["context"]
        cluster = _named(config, "clusters", bound["cluster"])["cluster"]
        user = _named(config, "users", bound["user"]).get("user") or {}
        _refuse_unsupported(cluster=cluster, user=user)
        tls = _tls(cluster, user, file.parent)
        tokens = _tokens(user, file.parent)
        server = str(cluster["server"]).rstrip("/")
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        raise StartError(
            f"{error.filename or file} cannot be read: {why}.",
            fix="Set `kubeconfig` to the file of the cluster, or KUBECONFIG.",
        ) from error
    except (yaml.YAMLError, KeyError, TypeError, AttributeError, ValueError) as error:
        wrong = f"{file} is not a kubeconfig the bot can use: {type(error).__name__}: {error}"
        raise StartError(wrong, fix="Check `kubeconfig` and `context`.") from error
    return Cluster(server, tls, tokens, f"{file}, context {chosen}")


def _part(config: object, key: str) -> Any:
    value = config.get(key) if isinstance(config, Mapping) else None
    if not value:
        raise ValueError(f"it has no {key}")
    return value


def _named(config: Mapping[str, Any], section: str, name: str) -> Mapping[str, Any]:
    for each in _part(config, section):
        if each["name"] == name:
            return dict(each)
    raise ValueError(f"{name} is not among its {section}")


def _refuse_unsupported(**parts: Mapping[str, Any]) -> None:
    for part, names in _NOT_SUPPORTED.items():
        found = [name for name in names if parts[part].get(name)]
        if found:
            raise ValueError(f"{', '.join(found)} is not supported")
    plugin = parts["user"].get("exec")
    if plugin and plugin.get("apiVersion") not in _EXEC_VERSIONS:
        raise ValueError(f"exec plugins must speak {' or '.join(_EXEC_VERSIONS)}")


def _tokens(user: Mapping[str, Any], folder: Path) -> Tokens:
    """A token file wins over a token, as in kubectl: the file is the one that is renewed."""
    if user.get("tokenFile"):
        return FileToken(folder / user["tokenFile"])
    if user.get("exec"):
        return ExecToken(user["exec"], folder=folder)
    return FixedToken(user.get("token"))


def _tls(cluster: Mapping[str, Any], user: Mapping[str, Any], folder: Path) -> ssl.SSLContext:
    if cluster.get("certificate-authority-data"):
        authority = base64.b64decode(cluster["certificate-authority-data"], validate=True).decode()
        context = ssl.create_default_context(cadata=authority)
    else:
        file = cluster.get("certificate-authority")
        context = ssl.create_default_context(cafile=str(folder / file) if file else None)
    if cluster.get("insecure-skip-tls-verify"):
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if user.get("client-certificate-data") or user.get("client-certificate"):
        _load_certificate(context, user, folder)
    return context


def _load_certificate(context: ssl.SSLContext, user: Mapping[str, Any], folder: Path) -> None:
    """OpenSSL reads certificate and key from files only: what stands in the kubeconfig is in one for this moment."""
    with tempfile.TemporaryDirectory() as closed_to_others:
        certificate, key = (
            _file(user, name, folder=folder, below=Path(closed_to_others))
            for name in ("client-certificate", "client-key")
        )
        context.load_cert_chain(certificate, key)


def _file(user: Mapping[str, Any], name: str, *, folder: Path, below: Path) -> Path:
    data = user.get(f"{name}-data")
    if not data:
        return folder / str(user[name])
    (below / name).write_bytes(base64.b64decode(data, validate=True))
    return below / name
