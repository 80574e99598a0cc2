"""What phones, keyboards and Slack's encoding make of a command line."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.errors import UsageError
from bot.slack_text import TEXT_LIMIT, words


@pytest.mark.parametrize(
    ("typed", "understood"),
    [
        ("", []),
        ("status orders", ["status", "orders"]),
        ("create-service orders —team orders", ["create-service", "orders", "--team", "orders"]),
        ("create-service orders –team orders", ["create-service", "orders", "--team", "orders"]),
        ("deny r-1 “not yet, sorry”", ["deny", "r-1", "not yet, sorry"]),
        ("deny r-1 don't", ["deny", "r-1", "don't"]),
        ("deny r-1 don’t do it", ["deny", "r-1", "don't", "do", "it"]),
        ("status\u00a0orders", ["status", "orders"]),
        ("status or\u200bders", ["status", "orders"]),
        ("status or\u2011ders", ["status", "or-ders"]),
        ("status `orders`", ["status", "orders"]),
        ("audit --person <@UALICE0001|alice>", ["audit", "--person", "UALICE0001"]),
        ("audit --person <@UALICE0001>", ["audit", "--person", "UALICE0001"]),
        ("x <#C0ORDERS001|orders> <#C0SECRET001|>", ["x", "C0ORDERS001", "C0SECRET001"]),
        ("x <!subteam^S0ORDERS01|@orders>", ["x", "S0ORDERS01"]),
        ("x <http://app.example.com|app.example.com>", ["x", "app.example.com"]),
        ("x <mailto:a@example.com|a@example.com>", ["x", "a@example.com"]),
        ("x <https://example.com>", ["x", "https://example.com"]),
        ("x a&amp;b &lt;tag&gt;", ["x", "a&b", "<tag>"]),
        (
            "x --description “uses <https://example.com> &amp; more”",
            ["x", "--description", "uses https://example.com & more"],
        ),
    ],
)
def test_a_command_line_is_understood(typed: str, understood: list[str]) -> None:
    assert words(typed) == understood


def test_a_link_whose_label_hides_another_address_is_refused_with_the_way_out() -> None:
    with pytest.raises(UsageError, match="another address") as refused:
        words("status <https://evil.example|https://good.example>")
    assert refused.value.fix == "Type it as plain text, without a link."


def test_a_text_that_is_too_long_is_refused_with_both_numbers() -> None:
    with pytest.raises(UsageError, match=f"{TEXT_LIMIT + 1} characters; a command may have {TEXT_LIMIT}"):
        words("x" * (TEXT_LIMIT + 1))


@given(st.text(max_size=200))
def test_no_text_at_all_breaks_the_reader(text: str) -> None:
    with contextlib.suppress(UsageError):
        assert all("\u0000" not in word or "\u0000" in text for word in words(text))


@given(st.lists(st.from_regex(r"[a-z][a-z0-9-]{0,20}", fullmatch=True), max_size=8))
def test_plain_words_arrive_as_they_were_typed(typed: list[str]) -> None:
    assert words(" ".join(typed)) == typed
