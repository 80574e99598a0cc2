"""What the workspace remembers: channels, messages, ephemerals, what each person has read, Home views and counters.

Lookups are dictionaries; every change marks its record for the state file. It decides nothing: who may do what stands in
the Web API methods and in acts.py.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable

from playground.messages import Channel, Json, Message
from playground.persistence import StateFile
from playground.workspace import Workspace

# A killed process may have handed out numbers that its last flush does not know; nobody hands out this many in between.
RESERVED_NUMBERS = 10_000


class State:
    def __init__(self, file: StateFile | None) -> None:
        self._file = file
        self.channels: dict[str, Channel] = {}
        self.ephemerals: dict[tuple[str, str], dict[str, Message]] = defaultdict(dict)
        self.homes: dict[str, Json] = {}
        self.reads: dict[tuple[str, str], str] = {}
        self._messages: dict[str, dict[str, Message]] = defaultdict(dict)
        self._timelines: dict[str, list[str]] = defaultdict(list)
        self._names: dict[str, str] = {}
        self._direct: dict[frozenset[str], str] = {}
        self._counters: dict[str, int] = {}

    # -- starting --------------------------------------------------------------------------------------------------

    def load(self, workspace: Workspace, *, app_user: str, now: float) -> None:
        """The records of the state file, then whatever the workspace file has that they lack."""
        if self._file is not None:
            self._load_records(self._file)
        for seed in workspace.channels:
            if seed.id in self.channels:
                continue
            members = [*seed.members, *([app_user] if seed.app else [])]
            self.add_channel(
                Channel(
                    id=seed.id,
                    name=seed.name,
                    kind="private" if seed.private else "public",
                    topic=seed.topic,
                    members=members,
                    archived=seed.archived,
                    ext_shared=seed.ext_shared,
                    read_only=seed.read_only,
                    created=int(now),
                )
            )
        for first, second in workspace.direct_messages:
            self.direct_channel(first, second, now=now)

    def _load_records(self, file: StateFile) -> None:
        for record in file.load("counter"):
            self._counters[record["name"]] = record["value"] + RESERVED_NUMBERS
        for record in file.load("channel"):
            self._index_channel(Channel(**record))
        for record in file.load("message"):
            self._index_message(Message(**record))
        for record in file.load("home"):
            self.homes[record["user"]] = record["view"]
        for record in file.load("read"):
            self.reads[record["user"], record["channel"]] = record["ts"]

    def flush(self) -> None:
        if self._file is not None:
            self._file.flush()

    def next_number(self, name: str) -> int:
        value = self._counters.get(name, 0) + 1
        self._counters[name] = value
        if self._file is not None:
            self._file.put("counter", name, {"name": name, "value": value})
        return value

    # -- channels --------------------------------------------------------------------------------------------------

    def add_channel(self, channel: Channel) -> None:
        self._index_channel(channel)
        self.save_channel(channel)

    def save_channel(self, channel: Channel) -> None:
        if self._file is not None:
            self._file.put("channel", channel.id, vars(channel))

    def _index_channel(self, channel: Channel) -> None:
        self.channels[channel.id] = channel
        if channel.kind == "dm":
            self._direct[frozenset(channel.members)] = channel.id
        else:
            self._names[channel.name] = channel.id

    def channel_named(self, reference: str) -> Channel | None:
        """By id, name or `#name`."""
        found = self._names.get(reference.removeprefix("#"), reference)
        return self.channels.get(found)

    def channels_by_name(self) -> dict[str, Channel]:
        return {name: self.channels[channel_id] for name, channel_id in self._names.items()}

    def find_direct(self, first: str, second: str) -> Channel | None:
        found = self._direct.get(frozenset((first, second)))
        return self.channels[found] if found else None

    def direct_channel(self, first: str, second: str, *, now: float) -> Channel:
        """The conversation between two, made when there is none yet."""
        if (existing := self.find_direct(first, second)) is not None:
            return existing
        number = self.next_number("direct")
        channel = Channel(
            id=f"D{number:09d}", name="directmessage", kind="dm", members=[first, second], created=int(now)
        )
        self.add_channel(channel)
        return channel

    def channels_of(self, user: str) -> list[Channel]:
        return [channel for channel in self.channels.values() if user in channel.members]

    # -- messages --------------------------------------------------------------------------------------------------

    def add_message(self, message: Message) -> None:
        self._index_message(message)
        self.save_message(message)
        self.save_channel(self.channels[message.channel])
        if (
            _in_thread(message)
            and (parent := self.message(message.channel, message.thread_ts or "")) is not None
        ):
            parent.replies.append(message.ts)
            self.save_message(parent)

    def _index_message(self, message: Message) -> None:
        """Records come in the order of ts, and so do new messages: appending keeps the timeline sorted."""
        self._messages[message.channel][message.ts] = message
        if not _in_thread(message) or message.broadcast:
            self._timelines[message.channel].append(message.ts)

    def save_message(self, message: Message) -> None:
        if self._file is not None:
            self._file.put("message", f"{message.channel}/{message.ts}", vars(message))

    def remove_message(self, message: Message) -> None:
        del self._messages[message.channel][message.ts]
        timeline = self._timelines[message.channel]
        at = bisect_left(timeline, message.ts)
        if at < len(timeline) and timeline[at] == message.ts:
            del timeline[at]
        parent = self.message(message.channel, message.thread_ts or "")
        if parent is not None and message.ts in parent.replies:
            parent.replies.remove(message.ts)
            self.save_message(parent)
        if self._file is not None:
            self._file.remove("message", f"{message.channel}/{message.ts}")

    def message(self, channel: str, ts: str) -> Message | None:
        return self._messages[channel].get(ts)

    def replies(self, parent: Message) -> list[Message]:
        kept = self._messages[parent.channel]
        return [kept[ts] for ts in parent.replies if ts in kept]

    def all_messages(self, channel: str) -> Iterable[Message]:
        """Top-level messages and replies, oldest first."""
        return list(self._messages[channel].values())

    def timeline(self, channel: str, *, before: str | None = None, after: str | None = None) -> list[Message]:
        """Top-level messages, oldest first; `before` and `after` are exclusive."""
        order = self._timelines[channel]
        start = bisect_right(order, after) if after else 0
        end = bisect_left(order, before) if before else len(order)
        kept = self._messages[channel]
        return [kept[ts] for ts in order[start:end]]

    def latest(self, channel: str) -> str | None:
        order = self._timelines[channel]
        return order[-1] if order else None

    # -- what one person has -----------------------------------------------------------------------------------------

    def mark_read(self, user: str, channel: str, ts: str) -> None:
        if ts > self.reads.get((user, channel), ""):
            self.reads[user, channel] = ts
            if self._file is not None:
                self._file.put("read", f"{user}/{channel}", {"user": user, "channel": channel, "ts": ts})

    def set_home(self, user: str, view: Json) -> None:
        self.homes[user] = view
        if self._file is not None:
            self._file.put("home", user, {"user": user, "view": view})


def _in_thread(message: Message) -> bool:
    return message.thread_ts is not None and message.thread_ts != message.ts
