"""Golden paths as values: their hash and their files, whatever stands in them."""

from __future__ import annotations

from contextlib import suppress

from hypothesis import given
from hypothesis import strategies as st

from bot.errors import PermanentBackendError
from integrations import _golden_path as content
from integrations.ports import RenderedFile, RenderedTree

TREES = st.dictionaries(
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=5),
    st.builds(RenderedFile, content=st.binary(max_size=8), executable=st.booleans()),
    max_size=3,
)


@given(TREES, TREES)
def test_two_trees_share_a_hash_only_if_they_are_the_same(one: RenderedTree, other: RenderedTree) -> None:
    assert (content.content_hash(one) == content.content_hash(other)) == (one == other)


@given(st.binary(max_size=200))
def test_any_file_is_read_or_refused(raw: bytes) -> None:
    files = {content.DESCRIPTION: RenderedFile(raw), content.QUESTIONS: RenderedFile(raw)}
    for parse in (content.parse_description, content.parse_questions):
        with suppress(PermanentBackendError):
            parse(files, "any")
