"""The lines about a service's secrets: what waits for a value stands out, what nobody knows is said, foreign text stays text."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from bot.secret_views import KEYS_SHOWN, secret_lines
from integrations.ports import Phase, StoredKey, SyncedSecret

WHERE = "https://vault.example.com/ui/STRIPE_API_KEY"
AT = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)


def synced(*keys: str, phase: Phase = Phase.READY, **more: str) -> SyncedSecret:
    return SyncedSecret("orders", "staging", keys, phase, secret="orders-secrets", refreshed_at=AT, **more)


def test_no_secrets_need_no_line() -> None:
    assert secret_lines(None, ()) == ()


def test_a_placeholder_is_shown_with_the_place_where_a_person_fills_it_in() -> None:
    stored = StoredKey("STRIPE_API_KEY", filled=False, web_url=WHERE)
    copy, key = secret_lines(synced("STRIPE_API_KEY"), [stored])
    assert copy.startswith(":large_green_circle: Secrets synced in `orders-secrets`, refreshed <!date^")
    assert key == f"`STRIPE_API_KEY` · *waits for its value* · <{WHERE}|fill it in>"


def test_what_is_filled_in_needs_no_link() -> None:
    stored = StoredKey("STRIPE_API_KEY", filled=True, web_url=WHERE)
    assert secret_lines(None, [stored]) == ("`STRIPE_API_KEY` · filled in",)


def test_a_store_that_cannot_tell_is_not_taken_for_filled_in() -> None:
    (line,) = secret_lines(None, [StoredKey("STRIPE_API_KEY", filled=None, web_url=WHERE)])
    assert "nobody can tell" in line
    assert WHERE in line


def test_a_key_that_the_workload_does_not_get_is_said() -> None:
    lines = secret_lines(synced("MAIL_PASSWORD"), [StoredKey("STRIPE_API_KEY", filled=True)])
    assert lines[1:] == ("`MAIL_PASSWORD`", "`STRIPE_API_KEY` · filled in · not synced")


@pytest.mark.parametrize("phase", [each for each in Phase if each is not Phase.READY])
def test_what_is_not_ready_is_never_called_synced(phase: Phase) -> None:
    said = secret_lines(synced("A", phase=phase, message="could not get secret data"), [])[0]
    assert not said.startswith(":large_green_circle:")
    assert "Secrets synced" not in said
    assert "could not get secret data" in said


def test_what_an_operator_says_makes_no_mention_and_no_link() -> None:
    forged = "<!channel> <https://evil.example.com|click> *bold*\n:white_check_mark: approved"
    said = secret_lines(synced("A", phase=Phase.FAILED, message=forged), [StoredKey("<!here>", filled=None)])
    assert not any("<!channel>" in line or "<https://evil" in line or "<!here>" in line for line in said)
    assert not any("\n" in line for line in said)


def test_many_keys_are_counted_and_not_all_listed() -> None:
    lines = secret_lines(
        None, [StoredKey(f"KEY_{number:03}", filled=True) for number in range(KEYS_SHOWN + 7)]
    )
    assert len(lines) == KEYS_SHOWN + 1
    assert lines[-1] == "and 7 more"
