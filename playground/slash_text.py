"""What becomes of typed text on its way to the app: mentions, channels, links, entities, typographic punctuation.

Pure. With should_escape a command's text arrives encoded; without it, as typed. Messages are always encoded.
https://docs.slack.dev/interactivity/implementing-slash-commands#escaping
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from playground.messages import Channel
from playground.workspace import Workspace

# The endings that make a bare name a link. Slack knows all of them; these are the ones that service names run into.
_ENDINGS = "com|org|net|io|dev|app|co|de|ai|uk|cloud|sh"
_LINKABLE = re.compile(
    r"(?P<token><[^<>\n]+>)"
    r"|(?P<url>https?://[^\s<>|\"”]+)"
    r"|(?P<mail>[A-Za-z0-9._+-]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+)"
    rf"|(?P<host>(?<![\w@./-])(?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?\.)+(?:{_ENDINGS})(?![\w-])(?:/[^\s<>]*)?)"
    r"|(?P<at>(?<![\w@])@[A-Za-z0-9][\w.-]*)"
    r"|(?P<hash>(?<![\w#&])#[a-z0-9][\w-]*)"
)
_SPECIAL = {"here", "channel", "everyone"}
# A mention that the page's completion already wrote as a token stays one.
_READY = re.compile(r"<(?:@[UW]\w+|#[CG]\w+|!subteam\^S\w+)(?:\|[^<>]*)?>")


@dataclass(frozen=True)
class Directory:
    """Who and what a name can mean. `channels` by name."""

    workspace: Workspace
    channels: dict[str, Channel]


def smart_punctuation(text: str) -> str:
    """What phones and macOS make of quotes and dashes."""
    text = text.replace("--", "—").replace("...", "…")
    text = re.sub(r'(^|[\s(=])"', r"\1“", text).replace('"', "”")
    return re.sub(r"(^|[\s(=])'", r"\1‘", text).replace("'", "’")


def encode(text: str, directory: Directory, *, labels: bool) -> str:
    """`labels`: commands get `<@U1|alice>`, messages get `<@U1>`."""
    pieces: list[str] = []
    end = 0
    for match in _LINKABLE.finditer(text):
        pieces += [_entities(text[end : match.start()]), _encode_match(match, directory, labels=labels)]
        end = match.end()
    pieces.append(_entities(text[end:]))
    return "".join(pieces)


def _encode_match(match: re.Match[str], directory: Directory, *, labels: bool) -> str:
    found = match.group()
    if match["token"]:
        return _encode_token(found, directory, labels=labels)
    if match["url"]:
        return f"<{_entities(found)}>"
    if match["mail"]:
        return f"<mailto:{found}|{found}>"
    if match["host"]:
        return f"<http://{found}|{found}>"
    if match["at"]:
        return _encode_mention(found, directory, labels=labels)
    return _encode_channel(found, directory)


def _encode_token(token: str, directory: Directory, *, labels: bool) -> str:
    if not _READY.fullmatch(token):
        return _entities(token)
    inner = token[1:-1].partition("|")[0]
    if inner.startswith("@"):
        person = directory.workspace.people.get(inner[1:])
        return f"<{inner}|{person.handle}>" if labels and person else f"<{inner}>"
    if inner.startswith("#"):
        channel = next((c for c in directory.channels.values() if c.id == inner[1:]), None)
        return _channel_token(channel) if channel else token
    return token


def _encode_mention(found: str, directory: Directory, *, labels: bool) -> str:
    """People first, then user groups; a name nobody has stays text, and so does a full stop that ends the sentence."""
    name = found[1:]
    if name in _SPECIAL:
        return f"<!{name}>"
    for candidate in (name, name.rstrip(".-")):
        rest = name[len(candidate) :]
        for person in directory.workspace.people.values():
            if person.handle == candidate.lower():
                return (f"<@{person.id}|{person.handle}>" if labels else f"<@{person.id}>") + rest
        for group in directory.workspace.user_groups.values():
            if group.handle == candidate.lower() and not group.disabled:
                return (
                    f"<!subteam^{group.id}|@{group.handle}>" if labels else f"<!subteam^{group.id}>"
                ) + rest
    return _entities(found)


def _encode_channel(found: str, directory: Directory) -> str:
    channel = directory.channels.get(found[1:])
    return _channel_token(channel) if channel else _entities(found)


def _channel_token(channel: Channel) -> str:
    """The name of a private channel is not given away."""
    return f"<#{channel.id}|>" if channel.is_private else f"<#{channel.id}|{channel.name}>"


def _entities(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
