"""What a person typed after `/platform`, as words, and our sentences as mrkdwn. Pure; knows Slack's encoding and the habits of
phone keyboards.

With `should_escape` Slack encodes mentions, channels and links as `<…>` and `& < >` as entities. Phones turn quotes and dashes
into typographic ones and put no-break spaces between words. Sources: docs.slack.dev, "Enabling interactivity with slash
commands" and "Formatting message text".
"""

from __future__ import annotations

import re
import shlex

from bot.errors import PlatformError, UsageError

TEXT_LIMIT = 4000
"""Characters; Slack documents no limit for the text of a command, so we set one and say so."""

_TYPOGRAPHY = str.maketrans(
    {
        **dict.fromkeys("“”„‟«»", '"'),
        **dict.fromkeys("‘’‚‛", "'"),
        **dict.fromkeys("‐‑‒−", "-"),
        **dict.fromkeys("\u00a0\u202f\u2007\u2009\u200a\u3000\t\r\n", " "),
        **dict.fromkeys("\u200b\u200c\u200d\u2060\ufeff\u00ad", None),
        "…": "...",
    }
)
_LONG_DASH = re.compile(r"(?<!\S)[—–―]-?(?=[A-Za-z])")
_TOKEN = re.compile(r"<([^<>]*)>")
_OURS = re.compile(r"<@[UW][A-Z0-9]+>|<#C[A-Z0-9]+>|<!date\^\d+\^[^<>|]+\|[^<>|]+>")
_QUOTING = frozenset("\"'\\")
_SCHEME = re.compile(r"^(?:https?://|mailto:)")


def words(text: str) -> list[str]:
    """Split what was typed into words, decoded and unescaped.

    User mentions become `U…` ids, channels `C…` ids, user groups `S…` ids; a link becomes its label where the label is the
    address without its scheme (Slack linked a bare host name or e-mail), else UsageError asks for the plain text.
    """
    if len(text) > TEXT_LIMIT:
        raise UsageError(
            f"That is {len(text)} characters; a command may have {TEXT_LIMIT}.",
            fix="Shorten it, or type the command alone and fill in the form.",
        )
    plain = _LONG_DASH.sub("--", text.translate(_TYPOGRAPHY))
    return [_unescape(_TOKEN.sub(_decode, _bare(word))) for word in _split(plain)]


def plain_text(text: str) -> str:
    """Free text out of a Slack field: entities resolved, nothing else changed."""
    return _unescape(text)


def sentence(error: PlatformError) -> str:
    """An error's sentence as mrkdwn.

    It may repeat what somebody typed or a backend said, so everything in it is text, but for what our own sentences are made
    with and what disturbs nobody in a private answer: people, channels and dates.
    """
    plain = error.sentence
    ours = [match.span() for match in _OURS.finditer(plain)]
    starts = [0, *(end for _, end in ours)]
    ends = [*(start for start, _ in ours), len(plain)]
    texts = [_escape(plain[start:end]) for start, end in zip(starts, ends, strict=True)]
    marks = [*(plain[start:end] for start, end in ours), ""]
    return "".join(text + mark for text, mark in zip(texts, marks, strict=True))


def _split(text: str) -> list[str]:
    """Split like a shell; an apostrophe that opens no quotation (`don't`) is an ordinary character."""
    protected = _TOKEN.sub(lambda match: match.group(0).replace(" ", "\u0000"), text)
    if _QUOTING.isdisjoint(protected):  # What a shell would split at blanks alone: nearly every command.
        return [word for word in protected.split(" ") if word]
    try:
        parts = shlex.split(protected, posix=True)
    except ValueError:
        parts = protected.split()
    return [part.replace("\u0000", " ") for part in parts]


def _bare(word: str) -> str:
    """A word typed as inline code is meant without the backticks."""
    return word[1:-1] if len(word) > 2 and word[0] == word[-1] == "`" else word


def _decode(match: re.Match[str]) -> str:
    inside, _, label = match.group(1).partition("|")
    if inside.startswith(("@", "#")):
        return inside[1:]
    if inside.startswith("!subteam^"):
        return inside.removeprefix("!subteam^")
    if inside.startswith("!"):
        return f"@{inside[1:]}"
    if _SCHEME.match(inside):
        bare = _SCHEME.sub("", inside)
        if not label or label in {inside, bare, bare.rstrip("/")}:
            return label or inside
        raise UsageError(
            f"“{_unescape(label)}” was sent as a link to another address.",
            fix="Type it as plain text, without a link.",
        )
    return match.group(0)


def _escape(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _unescape(text: str) -> str:
    return text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
