"""The program that renders golden paths: reads jobs from standard input, a JSON object a line, answers the same way.

Runs as a process of its own (`python -I _copier_worker.py`), because Copier blocks, costs seconds to import and executes
templates. Must not import anything of the bot: what a template could reach is this process, its empty home and one folder.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
from pathlib import Path
from typing import IO, Any, Final

MEMORY_BYTES: Final = 2 * 1024**3
FILE_BYTES: Final = 16 * 1024**2
"""Nothing a golden path holds is larger; a template that writes without end fails instead of filling the disk."""

EXCLUDED: Final = (
    "~*",
    "*~",
    "*.py[co]",
    "__pycache__",
    ".git",
    ".DS_Store",
    ".svn",
)


def main() -> None:
    jobs, answers = _take_over_streams()
    _limit()
    # Seconds long, and only here: the bot reads this module's constants.
    import copier

    _say(answers, {"ready": copier.__version__})
    for line in jobs:
        _say(answers, _render(copier, json.loads(line)))


def _take_over_streams() -> tuple[IO[str], IO[str]]:
    """Copier and templates may print or ask: they get the null device, so that they cannot disturb the conversation."""
    jobs = os.fdopen(os.dup(0), "r", encoding="utf-8")
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1):
        os.dup2(null, descriptor)
    return jobs, answers


def _limit() -> None:
    limits = (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, FILE_BYTES),
        (resource.RLIMIT_AS, MEMORY_BYTES),
    )
    for what, most in limits:
        # Some systems know a limit but do not let it be set; the deadline still holds there.
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(what, (most, most))


def _render(copier: Any, job: dict[str, Any]) -> dict[str, Any]:
    """`folder` holds the template at the relative path `source` and receives the result in `result`."""
    os.chdir(job["folder"])
    try:
        copier.run_copy(
            # Relative, because Copier writes it into the rendered answers file.
            job["source"],
            Path("result"),
            data=job["answers"],
            exclude=EXCLUDED,
            defaults=True,
            overwrite=True,
            quiet=True,
            skip_tasks=True,
            unsafe=False,
        )
    except ValueError as error:
        return {"refused": str(error)}
    except MemoryError:
        return {"failed": "The template needs too much memory."}
    except Exception as error:  # noqa: BLE001
        # A template is a program of somebody else's: whatever it raises is the answer to this job, and the next one is taken.
        return {"failed": f"{type(error).__name__}: {error}"}
    return {"rendered": True}


def _say(answers: IO[str], message: dict[str, Any]) -> None:
    answers.write(json.dumps(message) + "\n")
    answers.flush()


if __name__ == "__main__":
    main()
