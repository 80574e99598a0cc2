"""`python -m playground`: a workspace of its own, for an app that is started elsewhere."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from playground.manifest import ManifestError
from playground.server import Playground
from playground.workspace import WorkspaceError


def parse_arguments(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m playground", description="A Slack that runs here.")
    parser.add_argument(
        "--manifest", type=Path, required=True, help="the app's Slack manifest (YAML or JSON)"
    )
    parser.add_argument(
        "--workspace", type=Path, help="people, groups and channels (default: the sample workspace)"
    )
    parser.add_argument("--state-file", type=Path, help="keep messages over restarts in this file")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8080)
    parser.add_argument(
        "--public-url", help="how app and browsers reach this server, if not by host and port"
    )
    parser.add_argument("--delivery", choices=("socket", "http"), help="default: what the manifest says")
    parser.add_argument("--request-url", help="where the app listens, for delivery over HTTP")
    parser.add_argument("--bot-token", help="default: a new one per start")
    parser.add_argument("--app-token", help="default: a new one per start")
    parser.add_argument("--signing-secret", help="default: a new one per start")
    return parser.parse_args(argv)


async def serve(options: argparse.Namespace) -> None:
    playground = Playground(
        options.manifest,
        workspace=options.workspace,
        state_file=options.state_file,
        host=options.host,
        port=options.port,
        public_url=options.public_url,
        delivery=options.delivery,
        request_url=options.request_url,
        bot_token=options.bot_token,
        app_token=options.app_token,
        signing_secret=options.signing_secret,
    )
    stopped = asyncio.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(name, stopped.set)
    async with playground:
        # These credentials open nothing but this playground; whoever starts the app needs to be told them.
        lines = (
            f"Open {playground.base_url}",
            f"SLACK_API_URL={playground.api_url}",
            f"SLACK_BOT_TOKEN={playground.bot_token}",
            f"SLACK_APP_TOKEN={playground.app_token}",
            f"SLACK_SIGNING_SECRET={playground.signing_secret}",
        )
        sys.stdout.write("\n".join(lines) + "\n")
        sys.stdout.flush()
        await stopped.wait()


def main(argv: Sequence[str]) -> int:
    options = parse_arguments(argv)
    try:
        with contextlib.suppress(KeyboardInterrupt):
            asyncio.run(serve(options))
    except (OSError, ValueError, KeyError, ManifestError, WorkspaceError) as error:
        sys.stderr.write(f"The playground cannot start: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
