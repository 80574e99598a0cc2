"""The Web API answers the SDK, and whoever calls it by hand, as Slack answers: arguments, tokens, scopes, errors, pages."""

from __future__ import annotations

from typing import Any

import aiohttp
import pytest
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from playground.server import Playground

from .conftest import SCOPES, StartPlayground, make_manifest, web_client


async def error_of(call: Any) -> Any:
    with pytest.raises(SlackApiError) as raised:
        await call
    return raised.value.response


async def post(playground: Playground, method: str, **options: Any) -> tuple[aiohttp.ClientResponse, Any]:
    headers = {"Authorization": f"Bearer {playground.bot_token}"} | options.pop("headers", {})
    async with (
        aiohttp.ClientSession() as session,
        session.post(playground.api_url + method, headers=headers, **options) as response,
    ):
        return response, await response.json()


# -- arguments and tokens ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["params", "data", "json"])
async def test_arguments_come_in_query_form_or_json(playground: Playground, way: str) -> None:
    _, answer = await post(playground, "users.info", **{way: {"user": "UALICE0001"}})
    assert answer["ok"]
    assert answer["user"]["name"] == "alice"


async def test_blocks_may_be_a_json_string_in_a_form(playground: Playground) -> None:
    data = {"channel": "CORDERS001", "text": "hi", "blocks": '[{"type": "divider"}]'}
    _, answer = await post(playground, "chat.postMessage", data=data)
    assert answer["message"]["blocks"][0]["type"] == "divider"


async def test_a_token_counts_only_in_the_authorization_header(playground: Playground) -> None:
    async with aiohttp.ClientSession() as session:
        url = playground.api_url + "auth.test"
        for options in (
            {"params": {"token": playground.bot_token}},
            {"data": {"token": playground.bot_token}},
        ):
            async with session.post(url, **options) as response:
                assert await response.json() == {"ok": False, "error": "not_authed"}
                assert response.status == 200


async def test_a_wrong_token_is_invalid(playground: Playground) -> None:
    assert (await error_of(web_client(playground, "xoxb-wrong").auth_test()))["error"] == "invalid_auth"


async def test_the_app_token_opens_connections_and_nothing_else(playground: Playground) -> None:
    with_app_token = web_client(playground, playground.app_token)
    assert (await error_of(with_app_token.auth_test()))["error"] == "not_allowed_token_type"
    opened = await with_app_token.apps_connections_open(app_token=playground.app_token)
    assert opened["url"].startswith("ws://127.0.0.1:")
    with_bot_token = web_client(playground).apps_connections_open(app_token=playground.bot_token)
    assert (await error_of(with_bot_token))["error"] == "not_allowed_token_type"


async def test_an_unknown_method_is_named_as_such(playground: Playground) -> None:
    response, answer = await post(playground, "chat.explode")
    assert response.status == 200
    assert answer["error"] == "unknown_method"


async def test_a_body_that_is_no_json_is_refused(playground: Playground) -> None:
    headers = {"Content-Type": "application/json"}
    _, answer = await post(playground, "auth.test", data="{", headers=headers)
    assert answer["error"] == "invalid_json"


async def test_a_missing_argument_is_named(client: AsyncWebClient) -> None:
    response = await error_of(client.api_call("users.info"))
    assert response["error"] == "invalid_arguments"
    assert response["response_metadata"]["messages"] == ["[ERROR] missing required field: user"]


async def test_who_am_i(client: AsyncWebClient, playground: Playground) -> None:
    answer = await client.auth_test()
    assert (answer["team"], answer["team_id"], answer["user_id"]) == ("Acme", "TACME00001", "U0APPBOT01")
    assert answer["bot_id"] == "B0APPBOT01"
    assert answer.headers["x-oauth-scopes"].split(",") == SCOPES


# -- scopes ------------------------------------------------------------------------------------------------------------

NEEDS_SCOPE = [
    ("chat.postMessage", {"channel": "CORDERS001", "text": "x"}, "chat:write"),
    ("chat.update", {"channel": "CORDERS001", "ts": "1.0", "text": "x"}, "chat:write"),
    ("users.info", {"user": "UALICE0001"}, "users:read"),
    ("users.lookupByEmail", {"email": "alice@example.com"}, "users:read.email"),
    ("usergroups.list", {}, "usergroups:read"),
    ("conversations.open", {"users": "UALICE0001"}, "im:write"),
    ("conversations.join", {"channel": "CRANDOM001"}, "channels:join"),
    ("conversations.info", {"channel": "CORDERS001"}, "channels:read"),
    ("conversations.info", {"channel": "CORDLEADS1"}, "groups:read"),
    ("conversations.history", {"channel": "CORDERS001"}, "channels:history"),
    ("reactions.add", {"channel": "CORDERS001", "timestamp": "1.0", "name": "eyes"}, "reactions:write"),
    ("team.info", {}, "team:read"),
]


@pytest.mark.parametrize(("method", "arguments", "scope"), NEEDS_SCOPE)
async def test_without_its_scope_a_method_says_what_is_missing(
    start_playground: StartPlayground, method: str, arguments: dict[str, str], scope: str
) -> None:
    fewer = [held for held in SCOPES if held != scope]
    playground = await start_playground(make_manifest(scopes=fewer))
    response = await error_of(web_client(playground).api_call(method, params=arguments))
    assert response["error"] == "missing_scope"
    assert response["needed"] == scope
    assert response["provided"] == ",".join(fewer)


async def test_e_mail_addresses_need_their_own_scope(start_playground: StartPlayground) -> None:
    playground = await start_playground(make_manifest(scopes=["users:read"]))
    user = (await web_client(playground).users_info(user="UALICE0001"))["user"]
    assert "email" not in user["profile"]


# -- channels ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("channel", "error"),
    [
        ("CRANDOM001", "not_in_channel"),
        ("CSECURITY1", "channel_not_found"),
        ("CNOWHERE01", "channel_not_found"),
        ("COLDORD001", "is_archived"),
    ],
)
async def test_posting_where_the_app_may_not(client: AsyncWebClient, channel: str, error: str) -> None:
    assert (await error_of(client.chat_postMessage(channel=channel, text="x")))["error"] == error


async def test_chat_write_public_posts_without_joining(start_playground: StartPlayground) -> None:
    playground = await start_playground(make_manifest(scopes=[*SCOPES, "chat:write.public"]))
    posted = await web_client(playground).chat_postMessage(channel="CRANDOM001", text="x")
    assert posted["ok"]


async def test_joining_makes_posting_possible(client: AsyncWebClient) -> None:
    await client.conversations_join(channel="CRANDOM001")
    assert (await client.chat_postMessage(channel="CRANDOM001", text="x"))["ok"]
    again = await client.conversations_join(channel="CRANDOM001")
    assert again["warning"] == "already_in_channel"
    refused = client.conversations_join(channel="CORDLEADS1")
    assert (await error_of(refused))["error"] == "method_not_supported_for_channel_type"


async def test_a_private_channel_without_the_app_does_not_exist(client: AsyncWebClient) -> None:
    listed = await client.conversations_list(types="public_channel,private_channel")
    names = {channel["name"] for channel in listed["channels"]}
    assert "orders-leads" in names
    assert "security-incidents" not in names
    for call in (client.conversations_info, client.conversations_members, client.conversations_history):
        assert (await error_of(call(channel="CSECURITY1")))["error"] == "channel_not_found"


async def test_channels_tell_what_they_are(client: AsyncWebClient) -> None:
    shared = (await client.conversations_info(channel="CPARTNERS1"))["channel"]
    assert (shared["is_ext_shared"], shared["is_private"], shared["is_member"]) == (True, False, True)
    private = (await client.conversations_info(channel="CORDLEADS1"))["channel"]
    assert private["is_private"]
    assert (await client.conversations_info(channel="COLDORD001"))["channel"]["is_archived"]


async def test_lists_come_in_pages(client: AsyncWebClient) -> None:
    names: list[str] = []
    cursor = None
    while cursor != "":
        page = await client.users_list(limit=4, cursor=cursor)
        assert len(page["members"]) <= 4
        names += [member["name"] for member in page["members"]]
        cursor = page["response_metadata"]["next_cursor"]
    assert len(names) == len(set(names)) > 10
    assert (await error_of(client.users_list(limit=4, cursor="bm9wZQ==")))["error"] == "invalid_cursor"


async def test_history_and_replies(client: AsyncWebClient, playground: Playground) -> None:
    parent = await client.chat_postMessage(channel="CORDERS001", text="parent")
    reply = await client.chat_postMessage(channel="CORDERS001", text="reply", thread_ts=parent["ts"])
    nested = await client.chat_postMessage(channel="CORDERS001", text="nested", thread_ts=reply["ts"])
    loud = await client.chat_postMessage(
        channel="CORDERS001", text="loud", thread_ts=parent["ts"], reply_broadcast=True
    )
    assert nested["message"]["thread_ts"] == parent["ts"]
    history = (await client.conversations_history(channel="CORDERS001"))["messages"]
    assert [message["text"] for message in history] == ["loud", "parent"]
    assert history[1]["reply_count"] == 3
    assert history[1]["latest_reply"] == loud["ts"]
    replies = (await client.conversations_replies(channel="CORDERS001", ts=parent["ts"]))["messages"]
    assert [message["text"] for message in replies] == ["parent", "reply", "nested", "loud"]
    older = await client.conversations_history(channel="CORDERS001", latest=parent["ts"], inclusive=True)
    assert [message["text"] for message in older["messages"]] == ["parent"]


# -- messages ----------------------------------------------------------------------------------------------------------


async def test_posting_to_a_person_opens_the_conversation(
    client: AsyncWebClient, playground: Playground
) -> None:
    posted = await client.chat_postMessage(channel="UALICE0001", text="hello")
    assert posted["channel"].startswith("D")
    opened = await client.conversations_open(users="UALICE0001")
    assert opened["channel"]["id"] == posted["channel"]
    assert opened["already_open"]
    assert [m.text for m in playground.actor("alice").sees("app")] == ["hello"]
    by_person = client.chat_update(channel="UALICE0001", ts=posted["ts"], text="new")
    assert (await error_of(by_person))["error"] == "channel_not_found"


@pytest.mark.parametrize(("user", "error"), [("UDAN000001", "user_disabled"), ("USLACKBOT", "cannot_dm_bot")])
async def test_some_cannot_be_written_to(client: AsyncWebClient, user: str, error: str) -> None:
    assert (await error_of(client.chat_postMessage(channel=user, text="x")))["error"] == error
    assert (await error_of(client.conversations_open(users=user)))["error"] == error


async def test_without_the_messages_tab_nobody_is_written_to(start_playground: StartPlayground) -> None:
    playground = await start_playground(make_manifest(messages_tab=False))
    call = web_client(playground).chat_postMessage(channel="UALICE0001", text="x")
    assert (await error_of(call))["error"] == "messages_tab_disabled"


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({}, "no_text"),
        ({"text": ""}, "no_text"),
        ({"text": "x", "blocks": "nonsense"}, "invalid_blocks_format"),
        ({"text": "x", "blocks": {"type": "divider"}}, "invalid_blocks_format"),
        ({"text": "x", "blocks": [{"type": "nope"}]}, "invalid_blocks"),
        ({"text": "x", "thread_ts": "1.000001"}, "thread_not_found"),
        ({"text": "x", "metadata": {"event_type": "a"}}, "invalid_metadata_schema"),
        ({"text": "x", "metadata": "nonsense"}, "invalid_metadata_format"),
        (
            {"text": "x", "metadata": {"event_type": "a", "event_payload": {"a": "x" * 17_000}}},
            "metadata_too_large",
        ),
        ({"text": "x", "markdown_text": "y"}, "markdown_text_conflict"),
        ({"text": "x", "attachments": [{"text": "old"}]}, "invalid_arguments"),
        (
            {
                "text": "x",
                "blocks": [
                    {"type": "markdown", "text": "y" * 11_000},
                    {"type": "header", "text": {"type": "plain_text", "text": "z" * 140}},
                    *[{"type": "section", "text": {"type": "mrkdwn", "text": "w" * 2900}}],
                ],
            },
            "msg_blocks_too_long",
        ),
    ],
)
async def test_what_a_message_may_not_be(
    client: AsyncWebClient, arguments: dict[str, Any], error: str
) -> None:
    call = client.api_call("chat.postMessage", json={"channel": "CORDERS001", **arguments})
    assert (await error_of(call))["error"] == error


async def test_invalid_blocks_say_where(client: AsyncWebClient) -> None:
    blocks = [{"type": "divider"}, {"type": "section", "text": {"type": "mrkdwn", "text": "x" * 3001}}]
    response = await error_of(client.chat_postMessage(channel="CORDERS001", text="x", blocks=blocks))
    expected = "[ERROR] must be less than 3001 characters [json-pointer:/blocks/1/text/text]"
    assert response["response_metadata"]["messages"] == [expected]


async def test_changing_a_message(client: AsyncWebClient, playground: Playground) -> None:
    posted = await client.chat_postMessage(channel="CORDERS001", text="one", blocks=[{"type": "divider"}])
    changed = await client.chat_update(channel="CORDERS001", ts=posted["ts"], text="two")
    assert changed["text"] == "two"
    [message] = playground.app_messages("#orders")
    assert (message.text, message.blocks, message.edited_ts is not None) == ("two", None, True)
    too_long = client.chat_update(channel="CORDERS001", ts=posted["ts"], text="x" * 4001)
    assert (await error_of(too_long))["error"] == "msg_too_long"
    absent = client.chat_update(channel="CORDERS001", ts="1.000001", text="x")
    assert (await error_of(absent))["error"] == "message_not_found"
    await client.chat_delete(channel="CORDERS001", ts=posted["ts"])
    assert playground.app_messages("#orders") == []


async def test_other_peoples_messages_stay_as_they_are(
    client: AsyncWebClient, playground: Playground
) -> None:
    sent = await playground.actor("alice").say("#orders", "mine")
    assert sent.message is not None
    change = client.chat_update(channel="CORDERS001", ts=sent.message.ts, text="yours")
    assert (await error_of(change))["error"] == "cant_update_message"
    delete = client.chat_delete(channel="CORDERS001", ts=sent.message.ts)
    assert (await error_of(delete))["error"] == "cant_delete_message"


async def test_a_message_in_an_archived_channel_stays(client: AsyncWebClient, playground: Playground) -> None:
    posted = await client.chat_postMessage(channel="CORDERS001", text="one")
    playground.archive("#orders")
    assert (await error_of(client.chat_update(channel="CORDERS001", ts=posted["ts"], text="x")))[
        "error"
    ] == "is_inactive"


async def test_long_text_is_cut_at_forty_thousand(client: AsyncWebClient) -> None:
    posted = await client.chat_postMessage(channel="CORDERS001", text="x" * 40_001)
    assert len(posted["message"]["text"]) == 40_000


async def test_text_is_kept_with_entities(client: AsyncWebClient) -> None:
    text = "a & b < c > d <@UALICE0001> <https://example.com|x> &amp; <fake>"
    posted = await client.chat_postMessage(channel="CORDERS001", text=text)
    expected = "a &amp; b &lt; c &gt; d <@UALICE0001> <https://example.com|x> &amp; &lt;fake&gt;"
    assert posted["message"]["text"] == expected


async def test_timestamps_are_unique_and_rising_even_when_time_stands_still(
    client: AsyncWebClient, playground: Playground
) -> None:
    playground.clock.freeze()
    stamps = [(await client.chat_postMessage(channel="CORDERS001", text="x"))["ts"] for _ in range(3)]
    assert stamps == sorted(set(stamps))
    assert all(len(ts.split(".")[1]) == 6 for ts in stamps)


async def test_metadata_is_kept_until_it_is_emptied(client: AsyncWebClient, playground: Playground) -> None:
    metadata = {"event_type": "request", "event_payload": {"id": "r1"}}
    posted = await client.chat_postMessage(channel="CORDERS001", text="x", metadata=metadata)
    await client.chat_update(channel="CORDERS001", ts=posted["ts"], text="y")
    read = await client.conversations_history(channel="CORDERS001", include_all_metadata=True)
    assert read["messages"][0]["metadata"] == metadata
    assert "metadata" not in (await client.conversations_history(channel="CORDERS001"))["messages"][0]
    await client.chat_update(channel="CORDERS001", ts=posted["ts"], text="z", metadata={})
    assert playground.app_messages("#orders")[0].metadata is None


async def test_an_ephemeral_message_is_for_one_person_and_cannot_be_changed(
    client: AsyncWebClient, playground: Playground
) -> None:
    shown = await client.chat_postEphemeral(channel="CORDERS001", user="UALICE0001", text="psst")
    assert [m.text for m in playground.actor("alice").sees("#orders")] == ["psst"]
    assert playground.actor("lena").sees("#orders") == []
    assert (await client.conversations_history(channel="CORDERS001"))["messages"] == []
    change = client.chat_update(channel="CORDERS001", ts=shown["message_ts"], text="x")
    assert (await error_of(change))["error"] == "message_not_found"
    playground.forget_ephemerals("alice")
    assert playground.actor("alice").sees("#orders") == []


@pytest.mark.parametrize("user", ["UPAUL00001", "UDAN000001"])
async def test_an_ephemeral_message_needs_its_reader_in_the_channel(
    client: AsyncWebClient, user: str
) -> None:
    call = client.chat_postEphemeral(channel="CORDERS001", user=user, text="x")
    assert (await error_of(call))["error"] == "user_not_in_channel"


async def test_permalinks_and_reactions(client: AsyncWebClient, playground: Playground) -> None:
    posted = await client.chat_postMessage(channel="CORDERS001", text="x")
    link = await client.chat_getPermalink(channel="CORDERS001", message_ts=posted["ts"])
    assert link["permalink"].endswith(f"/archives/CORDERS001/p{posted['ts'].replace('.', '')}")
    await client.reactions_add(channel="CORDERS001", timestamp=posted["ts"], name="eyes")
    assert playground.app_messages("#orders")[0].reactions == {"eyes": ["U0APPBOT01"]}
    again = client.reactions_add(channel="CORDERS001", timestamp=posted["ts"], name="eyes")
    assert (await error_of(again))["error"] == "already_reacted"


async def test_every_call_is_in_the_log_without_its_token(playground: Playground) -> None:
    await post(playground, "users.info", data={"user": "UALICE0001", "token": playground.bot_token})
    [call] = playground.calls("users.info")
    assert call.arguments == {"user": "UALICE0001"}
    assert call.answer["ok"]


async def test_the_team_and_the_bot(client: AsyncWebClient) -> None:
    assert (await client.team_info())["team"]["domain"] == "acme"
    bot = (await client.bots_info(bot="B0APPBOT01"))["bot"]
    assert (bot["app_id"], bot["user_id"]) == ("A0APP00001", "U0APPBOT01")
    assert (await error_of(client.bots_info(bot="BNOBODY")))["error"] == "bot_not_found"
    assert (await client.api_test())["ok"]
