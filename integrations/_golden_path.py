"""A golden path on disk, as values: its description, its questions, its exact content. Pure, but for reading folders."""

from __future__ import annotations

import fnmatch
import hashlib
import json
import os
import re
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from bot.errors import BackendErrorKind, PermanentBackendError
from integrations._copier_process import BACKEND
from integrations._copier_worker import EXCLUDED
from integrations.ports import GoldenPath, Parameter, RenderedFile, RenderedTree

DESCRIPTION: Final = "golden_path.yml"
QUESTIONS: Final = "copier.yml"
TEMPLATE: Final = "template"
RUN_FILE: Final = ".platform/service.json"
"""Read by whatever runs the service: the checkout alone says how."""

ANSWERED_BY_PLATFORM: Final = frozenset(
    {"service_name", "team", "owner", "description", "database", "port", "repository_url", "request_id"}
)
FILES_LIMIT: Final = 2000
TREE_BYTES_LIMIT: Final = 20 * 1024 * 1024

_NAME: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_PLACEHOLDER: Final = re.compile(r"\{(\w*)\}")
_PLACEHOLDERS: Final = frozenset({"python", "node", "go"})
_TRUE: Final = frozenset({"true", "yes", "on", "1"})
_FALSE: Final = frozenset({"false", "no", "off", "0"})

Snapshot = tuple[tuple[str, int, int, int], ...]
"""Path, size, time of change and mode of every file: cheap to take, and it changes when the content does."""


class Description(BaseModel):
    """golden_path.yml."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    title: str = Field(min_length=1, max_length=75)
    description: str = Field(min_length=1)
    language: str = Field(min_length=1)
    summary: str = ""
    databases: tuple[str, ...] = ("none",)
    health_path: str = Field(default="/healthz", pattern=r"^/\S*$")
    needs: tuple[str, ...] = ()
    build: tuple[str, ...] = ()
    run: tuple[str, ...] = Field(min_length=1)
    test: tuple[str, ...] = ()

    @field_validator("build", "run", "test")
    @classmethod
    def _known_placeholders(cls, argv: tuple[str, ...]) -> tuple[str, ...]:
        unknown = {name for word in argv for name in _PLACEHOLDER.findall(word)} - _PLACEHOLDERS
        if unknown:
            raise ValueError(
                f"unknown placeholder {{{min(unknown)}}}; known are {{python}}, {{node}} and {{go}}"
            )
        return argv


def refuse(
    message: str, kind: BackendErrorKind = BackendErrorKind.INVALID, fix: str | None = None
) -> Exception:
    return PermanentBackendError(message, backend=BACKEND, kind=kind, fix=fix)


def is_name(text: str) -> bool:
    return _NAME.fullmatch(text) is not None


# ---------------------------------------------------------------- files


def snapshot(folder: Path) -> Snapshot:
    rows = []
    for path, found in _walk(folder):
        if stat.S_ISLNK(found.st_mode):
            raise refuse(f"{path.relative_to(folder)} of golden path {folder.name} is a symbolic link.")
        rows.append((path.relative_to(folder).as_posix(), found.st_size, found.st_mtime_ns, found.st_mode))
    return tuple(sorted(rows))


def read_files(folder: Path) -> RenderedTree:
    """Everything but what Copier leaves out. Follows no link; refuses more than a golden path may hold."""
    files: dict[str, RenderedFile] = {}
    total_bytes = 0
    for path, found in _walk(folder):
        name = path.relative_to(folder).as_posix()
        if not stat.S_ISREG(found.st_mode):
            raise refuse(f"{name} is neither a file nor a folder.")
        total_bytes += found.st_size
        if len(files) >= FILES_LIMIT or total_bytes > TREE_BYTES_LIMIT:
            raise refuse(
                f"{folder.name} holds more than {FILES_LIMIT} files or {TREE_BYTES_LIMIT >> 20} MiB."
            )
        files[name] = RenderedFile(path.read_bytes(), executable=bool(found.st_mode & stat.S_IXUSR))
    return dict(sorted(files.items()))


def write_files(files: RenderedTree, folder: Path) -> None:
    for name, file in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(file.content)
        path.chmod(0o755 if file.executable else 0o644)


def _walk(folder: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """Everything that is not a real folder, links to folders included."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if any(fnmatch.fnmatch(entry.name, pattern) for pattern in EXCLUDED):
                continue
            if entry.is_dir(follow_symlinks=False):
                yield from _walk(Path(entry.path))
            else:
                yield Path(entry.path), entry.stat(follow_symlinks=False)


def content_hash(files: RenderedTree) -> str:
    """SHA-256 over names, modes and contents, each with its length, so that no two trees share one."""
    digest = hashlib.sha256()
    for name, file in sorted(files.items()):
        encoded = name.encode("utf-8", "surrogateescape")
        digest.update(f"{len(encoded)} {int(file.executable)} {len(file.content)}\n".encode())
        digest.update(encoded)
        digest.update(file.content)
    return digest.hexdigest()


# ---------------------------------------------------------------- description and questions


def parse_description(files: RenderedTree, name: str) -> Description:
    try:
        return Description.model_validate(_yaml(files, DESCRIPTION, name))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise refuse(f"{name}/{DESCRIPTION}: {where}: {first['msg']}.") from error


def parse_questions(files: RenderedTree, name: str) -> dict[str, dict[str, Any]]:
    """Copier's questions in their long form; keys that start with `_` are its settings."""
    content = _yaml(files, QUESTIONS, name)
    if content.get("_tasks") or content.get("_migrations") or content.get("_jinja_extensions"):
        raise refuse(
            f"{name}/{QUESTIONS}: tasks, migrations and Jinja extensions run code and are not accepted."
        )
    if content.get("_subdirectory") != TEMPLATE:
        raise refuse(f"{name}/{QUESTIONS}: `_subdirectory: {TEMPLATE}` is missing; the template lies there.")
    return {
        str(key): value if isinstance(value, dict) else {"default": value}
        for key, value in content.items()
        if not str(key).startswith("_")
    }


def _yaml(files: RenderedTree, file: str, name: str) -> dict[str, Any]:
    if file not in files:
        raise refuse(f"The golden path {name} has no {file}.")
    try:
        content = yaml.safe_load(files[file].content)
    except (yaml.YAMLError, UnicodeDecodeError, ValueError) as error:
        raise refuse(f"{name}/{file}: {error}") from error
    if not isinstance(content, dict):
        raise refuse(f"{name}/{file} is not a mapping.")
    return content


def parse_parameters(questions: Mapping[str, Mapping[str, Any]]) -> tuple[Parameter, ...]:
    """What people are asked: neither what the platform answers, nor what is computed, nor secrets."""
    return tuple(
        Parameter(
            name=name,
            title=str(question.get("title") or name.replace("_", " ").capitalize()),
            description=str(question.get("help") or ""),
            default=_default(question),
            choices=_choices(question),
            required="default" not in question and "when" not in question,
        )
        for name, question in questions.items()
        if name not in ANSWERED_BY_PLATFORM
        and question.get("when") is not False
        and not question.get("secret")
    )


def _default(question: Mapping[str, Any]) -> str:
    """Empty where Copier computes it from other answers."""
    value = question.get("default", "")
    if isinstance(value, bool):
        return str(value).lower()
    text = "" if value is None else str(value)
    return "" if "{{" in text or "{%" in text else text


def _choices(question: Mapping[str, Any]) -> tuple[str, ...]:
    if question.get("type") == "bool" or isinstance(question.get("default"), bool):
        return ("true", "false")
    listed = question.get("choices")
    if isinstance(listed, dict):
        listed = list(listed.values())
    if not isinstance(listed, list):
        return ()
    values = [choice[1] if isinstance(choice, list) else choice for choice in listed]
    return tuple(str(value.get("value", "") if isinstance(value, dict) else value) for value in values)


def parse_answers(
    answers: Mapping[str, str], questions: Mapping[str, Mapping[str, Any]], name: str
) -> dict[str, str | bool]:
    """What Copier is given. Empty answers to people's questions mean the default. Raises INVALID for unknown ones."""
    asked = {key for key, question in questions.items() if question.get("when") is not False}
    unknown = set(answers) - asked - ANSWERED_BY_PLATFORM
    if unknown:
        raise refuse(f"The golden path {name} does not ask for {min(unknown)}.")
    given = {key: value for key, value in answers.items() if key in asked}
    return {
        key: _truth(key, value) if _choices(questions[key]) == ("true", "false") else value
        for key, value in given.items()
        if value or (key in ANSWERED_BY_PLATFORM and questions[key].get("type", "str") == "str")
    }


def _truth(key: str, value: str) -> bool:
    if value.lower() not in _TRUE | _FALSE:
        raise refuse(f"{key}: {value!r} is neither true nor false.")
    return value.lower() in _TRUE


def parse_golden_path(
    name: str, files: RenderedTree
) -> tuple[GoldenPath, Description, dict[str, dict[str, Any]]]:
    described, questions = parse_description(files, name), parse_questions(files, name)
    path = GoldenPath(
        name=name,
        title=described.title,
        description=described.description,
        language=described.language,
        revision=content_hash(files),
        databases=described.databases,
        parameters=parse_parameters(questions),
        health_path=described.health_path,
    )
    return path, described, questions


def run_file(path: GoldenPath, described: Description) -> RenderedFile:
    """How to run any revision, from its checkout alone. Placeholders stay: each machine has its own programs."""
    content: dict[str, Any] = {
        "golden_path": path.name,
        "revision": path.revision,
        "run": list(described.run),
        "health_path": described.health_path,
    }
    if described.build:
        content["build"] = list(described.build)
    return RenderedFile((json.dumps(content, indent=2) + "\n").encode())
