"""What travels in a `git push`: objects, a pack, commands, and the server's report. Pure; runs no git.

A push is the one way to write on every git server there is: it carries modes and merges, and moves each ref only from
where the pusher says it stands. Formats: gitformat-pack(5), gitprotocol-pack(5), gitprotocol-common(5).
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha1
from typing import Final

from integrations.ports import RenderedFile, RenderedTree

ABSENT: Final = "0" * 40
REQUEST_TYPE: Final = "application/x-git-receive-pack-request"
RESULT_TYPE: Final = "application/x-git-receive-pack-result"

_KINDS: Final = {"commit": 1, "tree": 2, "blob": 3}
_CAPABILITIES: Final = "report-status atomic side-band-64k object-format=sha1 agent=platform-bot"
"""`atomic`: all refs or none. `side-band-64k`: what the server's hooks say reaches us beside the report."""
_DATA, _WORDS, _FATAL = 1, 2, 3


@dataclass(frozen=True)
class GitObject:
    kind: str
    content: bytes

    @property
    def sha(self) -> str:
        header = f"{self.kind} {len(self.content)}\0".encode("ascii")
        return sha1(header + self.content, usedforsecurity=False).hexdigest()


@dataclass(frozen=True)
class RefUpdate:
    """`before` None: the ref must be absent."""

    ref: str
    before: str | None
    after: str


@dataclass(frozen=True)
class PushReport:
    """`refused`: ref -> git's reason. `said`: what the server's hooks wrote for people."""

    unpacked: str
    refused: Mapping[str, str]
    said: str = ""

    @property
    def reason(self) -> str | None:
        """None where everything was done."""
        if self.unpacked == "ok" and not self.refused:
            return None
        reasons = dict.fromkeys([self.said, *self.refused.values()])
        return "; ".join(one for one in reasons if one) or self.unpacked


class PushReportError(ValueError):
    """The answer is no report: a proxy's page, half of one. Whether anything was done is not known."""


# ---------------------------------------------------------------- objects


def commit_object(
    *, tree: str, parents: Sequence[str], message: str, author: tuple[str, str], seconds: int
) -> GitObject:
    """`author` is name and address; characters that would end them are left out."""
    name, email = (
        "".join(char for char in part if char.isprintable() and char not in "<>") for part in author
    )
    signature = f"{name} <{email}> {seconds} +0000"
    lines = [
        f"tree {tree}",
        *(f"parent {parent}" for parent in parents),
        f"author {signature}",
        f"committer {signature}",
    ]
    return GitObject("commit", ("\n".join(lines) + "\n\n" + message).encode("utf-8", "replace"))


@dataclass
class _Folder:
    files: dict[str, RenderedFile] = field(default_factory=dict)
    folders: dict[str, _Folder] = field(default_factory=dict)


def tree_objects(tree: RenderedTree) -> list[GitObject]:
    """Every blob and tree of it, each once; the root is the last. Paths must have been checked."""
    root = _Folder()
    for path, file in tree.items():
        *folders, name = path.split("/")
        place = root
        for part in folders:
            place = place.folders.setdefault(part, _Folder())
        place.files[name] = file
    made: dict[str, GitObject] = {}
    top = _tree(root, made)
    # The root may equal a folder somewhere below it; it still has to be the last.
    made.pop(top.sha, None)
    return [*made.values(), top]


def _tree(folder: _Folder, made: dict[str, GitObject]) -> GitObject:
    entries: list[tuple[bytes, str, GitObject]] = []
    for name, file in folder.files.items():
        mode = "100755" if file.executable else "100644"
        entries.append((name.encode(), mode, GitObject("blob", file.content)))
    for name, below in folder.folders.items():
        entries.append((name.encode(), "40000", _tree(below, made)))
    content = bytearray()
    # Git sorts a folder as if its name ended in a slash.
    for path, mode, one in sorted(entries, key=lambda entry: entry[0] + b"/" * (entry[1] == "40000")):
        made[one.sha] = one
        content += mode.encode("ascii") + b" " + path + b"\0" + bytes.fromhex(one.sha)
    return GitObject("tree", bytes(content))


def pack(objects: Sequence[GitObject]) -> bytes:
    """Whole objects, no deltas; an empty pack is one too."""
    content = bytearray(b"PACK" + (2).to_bytes(4, "big") + len(objects).to_bytes(4, "big"))
    for one in objects:
        content += _pack_header(_KINDS[one.kind], len(one.content)) + zlib.compress(one.content)
    return bytes(content) + sha1(content, usedforsecurity=False).digest()


def _pack_header(kind: int, size: int) -> bytes:
    """Four bits of the size beside the kind, then seven a byte; the top bit says that more follows."""
    header = bytearray([(kind << 4) | (size & 15)])
    size >>= 4
    while size:
        header[-1] |= 0x80
        header.append(size & 0x7F)
        size >>= 7
    return bytes(header)


# ---------------------------------------------------------------- request and report


def push_request(updates: Sequence[RefUpdate], objects: Sequence[GitObject]) -> bytes:
    lines = [f"{one.before or ABSENT} {one.after} {one.ref}" for one in updates]
    first, *others = lines
    written = [f"{first}\0 {_CAPABILITIES}", *others]
    return b"".join(packet(line.encode()) for line in written) + b"0000" + pack(objects)


def packet(content: bytes) -> bytes:
    return f"{len(content) + 4:04x}".encode("ascii") + content


def packets(content: bytes) -> Iterator[bytes]:
    """Up to the flush. Raises PushReportError where they are cut or are none."""
    place = 0
    while place < len(content):
        try:
            size = int(content[place : place + 4].decode("ascii"), 16)
        except ValueError as error:
            raise PushReportError("no packet line") from error
        if size == 0:
            return
        if size < 4 or place + size > len(content):
            raise PushReportError("a packet line is cut")
        yield content[place + 4 : place + size]
        place += size
    raise PushReportError("the end is missing")


def parse_report(content: bytes) -> PushReport:
    """Raises PushReportError."""
    data, words = bytearray(), bytearray()
    for one in packets(content):
        band, rest = int.from_bytes(one[:1], "big"), one[1:]
        if band == _DATA:
            data += rest
        elif band in {_WORDS, _FATAL}:
            words += rest
        else:
            raise PushReportError(f"band {band}")
    return _parse_status(packets(bytes(data)), _plain(words))


def _parse_status(lines: Iterable[bytes], said: str) -> PushReport:
    unpacked: str | None = None
    refused: dict[str, str] = {}
    for line in lines:
        word, _, rest = line.decode("utf-8", "replace").rstrip("\n").partition(" ")
        if word == "unpack":
            unpacked = rest
        elif word == "ng":
            ref, _, reason = rest.partition(" ")
            refused[ref] = reason
        elif word != "ok":
            raise PushReportError(f"{word[:20]} in a report")
    if unpacked is None:
        raise PushReportError("nothing is said of the pack")
    return PushReport(unpacked, refused, said)


def _plain(words: bytearray) -> str:
    """Hooks write for a terminal, in several lines, some of them blank."""
    lines = words.decode("utf-8", "replace").replace("\r", "\n").splitlines()
    return " ".join(line.strip() for line in lines if line.strip())
