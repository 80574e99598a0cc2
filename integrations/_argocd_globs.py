"""The patterns of Argo CD's projects, as its glob library reads them: `*`, `**`, `?`, `[a-z]`, `[!a]`, `{one,two}`. Pure."""

from __future__ import annotations

import re


def matches(pattern: str, text: str, *, separator: str = "") -> bool:
    """`*` and `?` do not cross `separator`, `**` does. A pattern that cannot be read matches nothing."""
    try:
        return re.fullmatch(_translate(pattern, separator), text, re.DOTALL) is not None
    except re.error:
        return False


def _translate(pattern: str, separator: str) -> str:
    one = f"[^{re.escape(separator)}]" if separator else "."
    parts, depth, rest = [], 0, pattern
    while rest:
        letter, rest = rest[0], rest[1:]
        if letter == "*":
            deep = rest.startswith("*")
            rest = rest[1:] if deep else rest
            parts.append(".*" if deep else f"{one}*")
        elif letter == "?":
            parts.append(one)
        elif letter == "[" and "]" in rest:
            inside, _, rest = rest.partition("]")
            parts.append(_letters(inside))
        elif letter == "{":
            depth += 1
            parts.append("(?:")
        elif letter == "}" and depth:
            depth -= 1
            parts.append(")")
        elif letter == "," and depth:
            parts.append("|")
        elif letter == "\\" and rest:
            parts.append(re.escape(rest[0]))
            rest = rest[1:]
        else:
            parts.append(re.escape(letter))
    return "".join(parts)


def _letters(inside: str) -> str:
    negated = inside.startswith(("!", "^"))
    letters = inside[1:] if negated else inside
    escaped = "".join(f"\\{each}" if each in "\\[^" else each for each in letters)
    return f"[^{escaped}]" if negated else f"[{escaped}]"
