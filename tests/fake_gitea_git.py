"""The git side of the fake Gitea: bare repositories on disk, pushed to through git's own `git http-backend`.

Objects are read once and remembered; refs are read from disk each time, because people push beside us.
"""

from __future__ import annotations

import asyncio
import heapq
import os
import subprocess
import zlib
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from integrations._forge_push import GitObject

ENVIRONMENT = {
    "PATH": os.environ.get("PATH", os.defpath),
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "LC_ALL": "C",
}

HOOK = """#!/bin/sh
# What Gitea's own hook does: a rule that matches lets only its users push.
while read -r before after ref; do
  while read -r rule user; do
    case "${ref#refs/heads/}" in
      $rule) if [ "$user" != "$REMOTE_USER" ]; then
               echo >&2; echo "Gitea: Not allowed to push to protected branch ${ref#refs/heads/}" >&2; exit 1
             fi ;;
    esac
  done < platform-rules
done
"""


@dataclass(frozen=True)
class StoredCommit:
    sha: str
    tree: str
    parents: tuple[str, ...]
    author: tuple[str, str]
    seconds: int
    message: str

    def shown(self) -> dict[str, Any]:
        date = datetime.fromtimestamp(self.seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        person = {"name": self.author[0], "email": self.author[1], "date": date}
        return {
            "sha": self.sha,
            "commit": {
                "message": self.message,
                "author": person,
                "committer": person,
                "tree": {"sha": self.tree, "url": ""},
            },
            "parents": [{"sha": one, "url": ""} for one in self.parents],
        }


@dataclass
class Git:
    """One bare repository. Its folder is made when it is first used."""

    folder: Path
    commits: dict[str, StoredCommit] = field(default_factory=dict)
    trees: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    def __deepcopy__(self, _memo: Any) -> Git:
        return self

    def run(self, *arguments: str, stdin: bytes = b"", check: bool = True) -> bytes:
        self.prepare()
        command = ["git", f"--git-dir={self.folder}", *arguments]
        done = subprocess.run(command, input=stdin, env=ENVIRONMENT, capture_output=True, check=check)
        return done.stdout

    def prepare(self) -> None:
        if self.folder.exists():
            return
        command = ["git", "init", "--quiet", "--bare", "--template=", "--initial-branch=main", self.folder]
        subprocess.run(command, env=ENVIRONMENT, check=True)
        with (self.folder / "config").open("a") as file:
            file.write("[http]\n\treceivepack = true\n[gc]\n\tauto = 0\n[core]\n\tfsync = none\n")
        hook = self.folder / "hooks" / "pre-receive"
        hook.parent.mkdir()
        hook.write_text(HOOK)
        hook.chmod(0o755)
        self.protect([])

    def protect(self, rules: list[tuple[str, str]]) -> None:
        self.prepare()
        (self.folder / "platform-rules").write_text("".join(f"{rule} {user}\n" for rule, user in rules))

    # ------------------------------------------------------------ refs

    def refs(self) -> dict[str, str]:
        if not self.folder.exists():
            return {}
        place = self.folder / "refs"
        files = sorted(path for path in place.rglob("*") if path.is_file() and path.suffix != ".lock")
        return {f"refs/{path.relative_to(place)}": path.read_text().strip() for path in files}

    def put(self, ref: str, sha: str) -> None:
        place = self.folder / ref
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(f"{sha}\n")

    def drop(self, ref: str) -> None:
        (self.folder / ref).unlink()

    def resolve(self, revision: str) -> str | None:
        """As `git rev-parse --verify` does: any ref, any hash, any abbreviation."""
        if revision in self.commits:
            return revision
        line = self.run("rev-parse", "--quiet", "--verify", f"{revision}^{{commit}}", "--", check=False)
        found = line.decode().split()
        return found[0] if found else None

    def kind(self, sha: str) -> str:
        return "commit" if sha in self.commits else self.run("cat-file", "-t", sha).decode().strip()

    # ------------------------------------------------------------ objects

    def commit(self, sha: str) -> StoredCommit:
        if sha not in self.commits:
            self.commits[sha] = parse_commit(sha, self.run("cat-file", "commit", sha).decode())
        return self.commits[sha]

    def tree(self, sha: str) -> list[dict[str, Any]]:
        if sha not in self.trees:
            listed = self.run("ls-tree", "-r", "-t", "-z", "-l", sha).decode().split("\0")[:-1]
            entries = [line.partition("\t") for line in listed]
            self.trees[sha] = [
                dict(zip(("mode", "type", "sha"), about.split()[:3], strict=True), path=path, url="")
                for about, _, path in entries
            ]
        return self.trees[sha]

    def reached(self, sha: str) -> list[str]:
        """Newest first, but none before what it was reached from: the order of `git rev-list`."""
        seen: dict[str, None] = {}
        waiting = [(0, sha)]
        while waiting:
            _, one = heapq.heappop(waiting)
            if one not in seen:
                seen[one] = None
                for parent in self.commit(one).parents:
                    heapq.heappush(waiting, (-self.commit(parent).seconds, parent))
        return list(seen)

    def store(self, *objects: GitObject) -> None:
        """Loose, as git itself would: without a process for each."""
        self.prepare()
        for one in objects:
            place = self.folder / "objects" / one.sha[:2] / one.sha[2:]
            if not place.exists():
                place.parent.mkdir(exist_ok=True)
                header = f"{one.kind} {len(one.content)}\0".encode()
                place.write_bytes(zlib.compress(header + one.content))

    # ------------------------------------------------------------ pushing

    async def receive(self, body: bytes, *, user: str) -> tuple[int, str, bytes]:
        """Status, content type, content, from git's own CGI program."""
        self.prepare()
        program = subprocess.check_output(["git", "--exec-path"], env=ENVIRONMENT, text=True).strip()
        environment = {
            **ENVIRONMENT,
            "GIT_PROJECT_ROOT": str(self.folder.parent),
            "GIT_HTTP_EXPORT_ALL": "1",
            "PATH_INFO": f"/{self.folder.name}/git-receive-pack",
            "REQUEST_METHOD": "POST",
            "CONTENT_TYPE": "application/x-git-receive-pack-request",
            "CONTENT_LENGTH": str(len(body)),
            "REMOTE_USER": user,
            "REMOTE_ADDR": "127.0.0.1",
        }
        process = await asyncio.create_subprocess_exec(
            f"{program}/git-http-backend",
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        said, _ = await process.communicate(body)
        head, _, content = said.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
        status = int(headers.get("Status", "200 OK").split()[0])
        return status, headers["Content-Type"], content


def parse_commit(sha: str, text: str) -> StoredCommit:
    head, _, message = text.partition("\n\n")
    lines = [line.split(" ", 1) for line in head.split("\n")]
    name, _, rest = next(rest for key, rest in lines if key == "author").partition(" <")
    email, _, when = rest.partition("> ")
    return StoredCommit(
        sha=sha,
        tree=next(rest for key, rest in lines if key == "tree"),
        parents=tuple(rest for key, rest in lines if key == "parent"),
        author=(name, email),
        seconds=int(when.split()[0]),
        message=message,
    )
