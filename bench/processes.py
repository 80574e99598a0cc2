"""Server processes under measurement: pinned to a core, started until they listen, their CPU and memory read from the kernel."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

START_SECONDS = 60.0


@dataclass(frozen=True)
class Cores:
    """`served` is the server's alone, as far as the machine lets us; everything else runs on `loading`."""

    served: int
    loading: int

    @classmethod
    def of_this_machine(cls) -> Cores:
        usable = sorted(os.sched_getaffinity(0))
        return cls(served=usable[0], loading=usable[-1])


@dataclass
class Server:
    """A running server. `cpu_seconds` is user and system time of the process and of what it started."""

    name: str
    process: subprocess.Popen[bytes]
    port: int
    prepared_seconds: float = 0.0
    """What was done before its process was started, such as migrating."""

    @property
    def pid(self) -> int:
        return self.process.pid

    def cpu_seconds(self) -> float:
        return cpu_seconds(self.pid)

    def loop_seconds(self) -> float:
        """Of the main thread alone, where a server's event loop runs."""
        return int(Path(f"/proc/{self.pid}/task/{self.pid}/schedstat").read_text().split()[0]) / 1e9

    def resident_mib(self) -> float:
        return resident_mib(self.pid)


def cpu_seconds(pid: int) -> float:
    """Exact to nanoseconds, threads that have ended included; /proc/PID/stat counts in hundredths of a second."""
    return sum(time.clock_gettime(_cpu_clock(one)) for one in _family(pid))


def _cpu_clock(pid: int) -> int:
    """The clock that clock_getcpuclockid(3) names: a process's CPU time as its scheduler counts it."""
    return (~pid << 3) | 2


def resident_mib(pid: int) -> float:
    pages = sum(int(Path(f"/proc/{one}/statm").read_text().split()[1]) for one in _family(pid))
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def _family(pid: int) -> list[int]:
    """The process and what it started, at any depth."""
    found = [pid]
    for tasks in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in tasks.read_text().split():
            found += _family(int(child))
    return found


def pin(core: int, pids: Iterable[int] = (0,)) -> None:
    """Keep the processes, and what they start from now on, on one core; 0 is this process."""
    for pid in pids:
        os.sched_setaffinity(pid, {core})


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def serving(
    name: str,
    command: Sequence[str | Path],
    *,
    port: int,
    core: int,
    environment: Mapping[str, str] | None = None,
    folder: Path,
) -> Iterator[Server]:
    """Start a server on its core; it is up once its port answers. Raises RuntimeError with the end of its log."""
    log = folder / f"{name.replace(' ', '-').replace('/', '-')}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            ["taskset", "--cpu-list", str(core), *(str(part) for part in command)],
            env={**os.environ, **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    server = Server(name, process, port)
    try:
        _until_listening(server, log)
        yield server
    finally:
        # What it holds is thrown away with it, so nobody waits for a graceful end.
        process.kill()
        process.wait()


def _until_listening(server: Server, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            socket.create_connection(("127.0.0.1", server.port), timeout=1).close()
        except OSError:
            if server.process.poll() is not None or time.monotonic() > deadline:
                end = log.read_text(errors="replace")[-2000:]
                raise RuntimeError(f"{server.name} did not start:\n{end}") from None
            time.sleep(0.01)
        else:
            return


def python(*arguments: str | Path) -> list[str | Path]:
    return [sys.executable, *arguments]
