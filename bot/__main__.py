"""Entry points: `python -m bot serve | check | orphans | migrate | manifest | schema | audit verify | audit export`.

Turns errors with a sentence into one line and an exit code; a traceback means a bug.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import signal
import sys
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, TypeVar

from bot import audit, checkup, logs, manifest, orphans, registry
from bot import config as configuration
from bot.app import health_only, http_mode, open_bot, socket_mode, utc_now
from bot.errors import PlatformError
from bot.store import Store

DEFAULT_CONFIG = "platform.yml"
NICENESS = 10
T = TypeVar("T")


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    options.own_process = arguments is None
    logs.configure(options.log_level)
    try:
        return int(options.run(options))
    except PlatformError as error:
        sys.stderr.write(f"{error.sentence}\n")
        return 2
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bot", description="The platform bot.")
    parser.add_argument(
        "--config", type=Path, default=Path(os.environ.get("PLATFORM_CONFIG", DEFAULT_CONFIG))
    )
    parser.add_argument("--log-level", default=os.environ.get("LOG_LEVEL", "info"))
    verbs = parser.add_subparsers(required=True, metavar="VERB")
    serve = _verb(verbs, "serve", "run the bot", _serve)
    serve.add_argument("--mode", choices=("socket", "http"), default="socket")
    serve.add_argument("--host", default="0.0.0.0")  # noqa: S104 - a server in a container listens everywhere
    serve.add_argument(
        "--port", type=int, default=None, help="http: 3000; socket: health only, off by default"
    )
    _verb(verbs, "check", "say what works and what does not", _check)
    _verb(verbs, "orphans", "list what is out there and unknown, or known and gone", _orphans)
    _verb(verbs, "migrate", "bring the database to this release's schema", _migrate)
    made = _verb(verbs, "manifest", "print the Slack app manifest", _manifest)
    made.add_argument("--url", default="", help="public address of /slack/events; without it: Socket Mode")
    _verb(verbs, "schema", "print the JSON Schema of platform.yml", _schema)
    trail = verbs.add_parser("audit", help="verify or export the audit trail")
    trails = trail.add_subparsers(required=True, metavar="WHAT")
    verify = _verb(trails, "verify", "check the chain; names the first bad event", _audit_verify)
    verify.add_argument("--file", type=Path, help="an export instead of the database")
    export = _verb(trails, "export", "write the trail as JSON Lines to standard output", _audit_export)
    export.add_argument("--after", type=int, default=0, help="only events after this sequence number")
    return parser


def _verb(
    verbs: Any, name: str, text: str, run: Callable[[argparse.Namespace], int]
) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = verbs.add_parser(name, help=text)
    parser.set_defaults(run=run)
    return parser


def _load(options: argparse.Namespace) -> configuration.Config:
    return configuration.load(options.config, os.environ)


# ---------------------------------------------------------------- verbs


def _serve(options: argparse.Namespace) -> int:
    config = _load(options)
    asyncio.run(_serve_until_signal(config, options))
    return 0


async def _serve_until_signal(config: configuration.Config, options: argparse.Namespace) -> None:
    config.secrets.require_slack(app_token=options.mode == "socket")
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with AsyncExitStack() as stack:
        bot = await stack.enter_async_context(open_bot(config))
        if options.mode == "http":
            port = await stack.enter_async_context(
                http_mode(bot, host=options.host, port=3000 if options.port is None else options.port)
            )
            sys.stdout.write(f"platform-bot serves Slack on port {port}\n")
        else:
            if options.port is not None:
                await stack.enter_async_context(health_only(bot, host=options.host, port=options.port))
            connected = await stack.enter_async_context(socket_mode(bot))
            sys.stdout.write(
                "platform-bot is connected to Slack by Socket Mode\n"
                if connected
                else "platform-bot runs; Slack cannot be reached and is tried again\n"
            )
        sys.stdout.flush()
        # What a started bot holds, it holds to its end. A full collection would look through all of it each time, and nobody
        # would be answered for a tenth of a second.
        gc.freeze()
        await stop.wait()


def _check(options: argparse.Namespace) -> int:
    return asyncio.run(checkup.run(options.config, os.environ, sys.stdout.write))


def _orphans(options: argparse.Namespace) -> int:
    return asyncio.run(orphans.run(options.config, os.environ, sys.stdout.write))


def _migrate(options: argparse.Namespace) -> int:
    # Only here: Alembic would cost a running bot seven megabytes.
    from bot.migrating import migrate

    migrate(_load(options).secrets.database_url.get_secret_value())
    return 0


def _manifest(options: argparse.Namespace) -> int:
    sys.stdout.write(manifest.render(registry.load_commands(), url=options.url))
    return 0


def _schema(_options: argparse.Namespace) -> int:
    sys.stdout.write(json.dumps(configuration.json_schema(), indent=2, ensure_ascii=False) + "\n")
    return 0


def _audit_verify(options: argparse.Namespace) -> int:
    if options.file:
        with options.file.open(encoding="utf-8") as lines:
            found = audit.verify(audit.parse_line(line) for line in lines if line.strip())
    else:
        _take_time(options)
        found = asyncio.run(_with_store(options, lambda store: store.verify_audit()))
    if found.first_bad is not None:
        sys.stdout.write(f"The chain is broken at event {found.first_bad}: {found.why}\n")
        return 1
    sys.stdout.write(f"{found.count} events, unbroken; head {found.head_hash}\n")
    return 0


def _audit_export(options: argparse.Namespace) -> int:
    async def export(store: Store) -> None:
        async for line in store.export_audit(after=options.after):
            sys.stdout.write(line + "\n")

    _take_time(options)
    asyncio.run(_with_store(options, export))
    return 0


def _take_time(options: argparse.Namespace) -> None:
    """Reading all of history is in no hurry: a bot on the same machine, and whoever waits for it, come first."""
    if options.own_process:
        os.nice(NICENESS)


async def _with_store(options: argparse.Namespace, work: Callable[[Store], Coroutine[Any, Any, T]]) -> T:
    async with Store.open_for_reading(
        _load(options).secrets.database_url.get_secret_value(), clock=utc_now
    ) as store:
        return await work(store)


if __name__ == "__main__":
    sys.exit(main())
