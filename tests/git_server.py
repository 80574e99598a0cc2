"""A git server as forges are: smart HTTP by git's own `git http-backend`, behind a token. It can lose an answer, and let somebody
else push first."""

from __future__ import annotations

import asyncio
import base64
import functools
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from aiohttp import web

TOKEN = "git-token-1"
_ENVIRONMENT = {
    "PATH": "/usr/local/bin:/usr/bin:/bin",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_AUTHOR_NAME": "Somebody",
    "GIT_AUTHOR_EMAIL": "somebody@example.com",
    "GIT_COMMITTER_NAME": "Somebody",
    "GIT_COMMITTER_EMAIL": "somebody@example.com",
}


@functools.cache
def _backend() -> str:
    where = subprocess.check_output(["git", "--exec-path"], env=_ENVIRONMENT, text=True).strip()
    return f"{where}/git-http-backend"


class GitServer:
    """One bare repository, `gitops.git`. `lose`: the next push is done, and its answer is lost."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.bare = folder / "gitops.git"
        self.url = ""
        self.lose = False
        self.before_push: Callable[[], None] = lambda: None
        self.pushes = 0
        self.git("init", "--bare", "--quiet", "--initial-branch=main", str(self.bare), repository=False)
        self.git("config", "http.receivepack", "true")

    def git(self, *arguments: str, repository: bool = True, stdin: bytes = b"") -> str:
        where = ["--git-dir", str(self.bare)] if repository else []
        done = subprocess.run(
            ["git", *where, *arguments], env=_ENVIRONMENT, input=stdin, capture_output=True, check=True
        )
        return done.stdout.decode().strip()

    # ------------------------------------------------------------ somebody else's hand

    def put(self, path: str, content: str, *, message: str = "By hand") -> None:
        tip = self.tip()
        blob = self.git("hash-object", "-w", "--stdin", stdin=content.encode())
        kept = self.git("ls-tree", "-r", tip).splitlines() if tip else []
        lines = [each for each in kept if not each.endswith(f"\t{path}")]
        listing = "\n".join([*lines, f"100644 blob {blob}\t{path}"])
        index = {**_ENVIRONMENT, "GIT_INDEX_FILE": str(self.folder / "index")}
        (self.folder / "index").unlink(missing_ok=True)
        where = ["git", "--git-dir", str(self.bare)]
        subprocess.run(
            [*where, "update-index", "--index-info"], env=index, input=f"{listing}\n".encode(), check=True
        )
        tree = subprocess.check_output([*where, "write-tree"], env=index, text=True).strip()
        parents = ["-p", tip] if tip else []
        commit = self.git("commit-tree", tree, *parents, "-m", message)
        self.git("update-ref", "refs/heads/main", commit)

    def refuse_pushes(self, reason: str) -> None:
        hook = self.bare / "hooks" / "pre-receive"
        hook.parent.mkdir(exist_ok=True)
        hook.write_text(f"#!/bin/sh\necho '{reason}' >&2\nexit 1\n")
        hook.chmod(0o755)

    # ------------------------------------------------------------ looking

    def tip(self) -> str:
        return self.git("for-each-ref", "--format=%(objectname)", "refs/heads/main")

    def read(self, path: str) -> str | None:
        tip = self.tip()
        listed = self.git("ls-tree", tip, "--", path) if tip else ""
        return self.git("cat-file", "blob", f"{tip}:{path}") if listed else None

    def paths(self) -> list[str]:
        tip = self.tip()
        return self.git("ls-tree", "-r", "--name-only", tip).splitlines() if tip else []

    def messages(self) -> list[str]:
        """Newest first."""
        return self.git("log", "--format=%B%x00", "main").split("\0")[:-1]

    # ------------------------------------------------------------ serving

    async def answer(self, request: web.Request) -> web.Response:
        expected = base64.b64encode(f"x-access-token:{TOKEN}".encode()).decode()
        if request.headers.get("Authorization") != f"Basic {expected}":
            return web.Response(status=401, headers={"WWW-Authenticate": 'Basic realm="git"'})
        body = await request.read()
        is_push = request.method == "POST" and request.path.endswith("git-receive-pack")
        if is_push:
            self.before_push()
        answer = await self._run(request, body)
        if is_push:
            self.pushes += 1
            if self.lose:
                self.lose = False
                # A proxy's word: curl itself repeats what a closed connection left open.
                return web.Response(status=502)
        return answer

    async def _run(self, request: web.Request, body: bytes) -> web.Response:
        environment = {
            **_ENVIRONMENT,
            "GIT_PROJECT_ROOT": str(self.folder),
            "GIT_HTTP_EXPORT_ALL": "1",
            "PATH_INFO": request.path,
            "QUERY_STRING": request.query_string,
            "REQUEST_METHOD": request.method,
            "CONTENT_TYPE": request.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(body)),
            "HTTP_CONTENT_ENCODING": request.headers.get("Content-Encoding", ""),
            "GIT_PROTOCOL": request.headers.get("Git-Protocol", ""),
            "REMOTE_USER": "platform-bot",
            "REMOTE_ADDR": "127.0.0.1",
        }
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            _backend(), env=environment, stdin=pipe, stdout=pipe, stderr=pipe
        )
        said, _ = await process.communicate(body)
        head, _, content = said.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
        status = int(headers.pop("Status", "200 OK").split()[0])
        return web.Response(status=status, body=content, headers=headers)


@asynccontextmanager
async def open_git_server(
    folder: Path, make: Callable[[Path], GitServer] = GitServer
) -> AsyncIterator[GitServer]:
    server = make(folder)
    application = web.Application(client_max_size=64 * 1024 * 1024)
    application.router.add_route("*", "/{path:.*}", server.answer)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    assert site._server is not None
    port = site._server.sockets[0].getsockname()[1]
    server.url = f"http://127.0.0.1:{port}/gitops.git"
    try:
        yield server
    finally:
        await runner.cleanup()
