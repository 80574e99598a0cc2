"""When an acknowledgement stops waiting for its plan."""

from __future__ import annotations

from bot.dispatch import Rush, new_request_id


def test_a_few_commands_are_no_rush() -> None:
    rush = Rush(commands=3, seconds=1.0)
    assert [rush.joined(at) for at in (0.0, 0.1, 0.2)] == [False, False, False]


def test_one_more_within_the_second_is() -> None:
    rush = Rush(commands=3, seconds=1.0)
    assert [rush.joined(at) for at in (0.0, 0.1, 0.2, 0.3)][-1]


def test_it_is_over_when_commands_come_slowly_again() -> None:
    rush = Rush(commands=3, seconds=1.0)
    assert [rush.joined(at) for at in (0.0, 0.1, 0.2, 0.3, 2.0, 3.0, 4.0)] == [False] * 3 + [True] + [
        False
    ] * 3


def test_request_ids_are_seven_letters_that_are_not_mistaken() -> None:
    ids = {new_request_id() for _ in range(200)}
    assert len(ids) == 200
    assert all(len(one) == 9 and set(one[2:]).isdisjoint("01ilo") for one in ids)
