"""A person writes: a message, or a slash command and what its answer shows.

Checks what a client would not allow, encodes the text, delivers, and shows the outcome to the person, including the errors
that only a person sees.
"""

from __future__ import annotations

from dataclasses import dataclass

from playground import posting
from playground.delivery import Delivery
from playground.manifest import SlashCommand
from playground.messages import Channel, Message
from playground.payloads import slash_command
from playground.responses import ResponseRefusedError, response_content
from playground.slash_text import Directory, encode, smart_punctuation
from playground.workspace import Person
from playground.world import World


class ActError(Exception):
    """No client would have let this person do that. `code` for programs, the text for people."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class Sent:
    """`notice` is what the person saw instead of success; `delivery` is there when the app was asked."""

    kind: str
    ok: bool
    message: Message | None = None
    notice: str | None = None
    delivery: Delivery | None = None


def acting_person(world: World, reference: str, *, force: bool = False) -> Person:
    """`force` lets through what was already on its way when the account was closed."""
    try:
        person = world.person(reference)
    except KeyError:
        raise ActError("user_not_found", f"Nobody here is called {reference}.") from None
    if not person.can_act and not force:
        raise ActError("cannot_act", f"{person.name} cannot act: the account is {person.kind}.")
    return person


def visible_channel(world: World, person: Person, reference: str, *, force: bool = False) -> Channel:
    channel = world.state.channel_named(reference)
    if channel is None or not (can_see(person, channel) or force):
        raise ActError("channel_not_found", f"There is no channel {reference}.")
    return channel


def can_see(person: Person, channel: Channel) -> bool:
    """Members of the workspace look into every public channel; guests and partners only into theirs."""
    is_insider = not person.is_guest and person.kind != "external"
    return person.id in channel.members or (channel.kind == "public" and is_insider)


async def send(
    world: World,
    person: Person,
    channel: Channel,
    text: str,
    *,
    thread_ts: str | None = None,
    smart: bool = False,
) -> Sent:
    """What the composer does: a text that begins with a slash is a command."""
    if person.id not in channel.members:
        raise ActError("not_in_channel", f"{person.name} is not in #{channel.name}.")
    if channel.archived:
        raise ActError("is_archived", f"#{channel.name} is archived.")
    if not text.strip():
        raise ActError("no_text", "There is nothing to send.")
    if smart or world.smart_punctuation:
        text = smart_punctuation(text)
    if text.startswith("/"):
        return await _command(world, person, channel, text, in_thread=thread_ts is not None)
    is_app_channel = world.app.bot_user_id in channel.members and channel.kind == "dm"
    if is_app_channel and (world.app.messages_tab_read_only or not world.app.messages_tab):
        raise ActError("messages_tab_disabled", f"{world.app.name} does not take messages.")
    if channel.read_only and not person.is_admin:
        raise ActError("restricted_action", f"Only admins write in #{channel.name}.")
    encoded = encode(text, _directory(world), labels=False)
    message = posting.post_by_person(world, person.id, channel, encoded, thread_ts=thread_ts)
    return Sent(kind="message", ok=True, message=message)


def _directory(world: World) -> Directory:
    return Directory(world.workspace, world.state.channels_by_name())


async def _command(world: World, person: Person, channel: Channel, line: str, *, in_thread: bool) -> Sent:
    name = line.split(maxsplit=1)[0]
    command = world.app.commands.get(name)
    if in_thread:
        return _refused(world, person, channel, f"{name} is not supported in threads. Sorry!")
    # The app is not installed where a person of another company belongs.
    if command is None or "commands" not in world.app.scopes or person.kind == "external":
        text = (
            f"{name} is not a valid command. A text that begins with a slash is taken for a command; "
            "put a space before it to send it as a message."
        )
        return _refused(world, person, channel, text)
    delivery = await _deliver_command(world, person, channel, command, line.removeprefix(name).strip())
    if not delivery.acknowledged:
        notice = f'{name} failed with the error "{delivery.error}"'
        return _refused(world, person, channel, notice, delivery)
    return _show_answer(world, person, channel, line, delivery)


async def _deliver_command(
    world: World, person: Person, channel: Channel, command: SlashCommand, text: str
) -> Delivery:
    if command.should_escape:
        text = encode(text, _directory(world), labels=True)
    payload = slash_command(world, person, channel, command=command.command, text=text)
    return await world.deliveries.deliver("slash_commands", payload, payload_type="slash_commands")


def _show_answer(world: World, person: Person, channel: Channel, line: str, delivery: Delivery) -> Sent:
    answer = delivery.answer or {}
    in_channel = answer.get("response_type") == "in_channel"
    if in_channel:
        # The whole typed line becomes public, secrets in its arguments included.
        typed = encode(line, _directory(world), labels=False)
        posting.post_by_person(world, person.id, channel, typed)
    if not answer.get("text") and not answer.get("blocks"):
        return Sent(kind="command", ok=True, delivery=delivery)
    try:
        content = response_content(answer)
    except ResponseRefusedError as error:
        delivery.note = f"the answer to the command was refused: {error.code}"
        notice = f'{line.split(maxsplit=1)[0]} failed with the error "invalid_command_response"'
        return _refused(world, person, channel, notice, delivery)
    if in_channel:
        message = posting.post_by_app(world, channel, content)
    else:
        message = posting.post_ephemeral(world, person.id, channel, content)
    return Sent(kind="command", ok=True, message=message, delivery=delivery)


def _refused(
    world: World, person: Person, channel: Channel, notice: str, delivery: Delivery | None = None
) -> Sent:
    message = posting.system_notice(world, person.id, channel, notice)
    return Sent(kind="command", ok=False, message=message, notice=notice, delivery=delivery)
