"""A link to an MCP server that is a child process: one JSON-RPC message a line on its standard streams.

The child starts with a scrubbed environment, in a process group of its own. A line that is too long, or no message,
ends it; so does a pipe it does not read. It is started again when the next request comes, but not again and again.
"""

import collections
import contextlib
import os
import queue
import select
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import IO, Any

from bywire.adapters import mcp_message as rpc
from bywire.adapters.mcp_link import REFUSED_MAX, Link, Sent, SessionGoneError, Spoken
from bywire.adapters.mcp_message import Message, MessageError
from bywire.adapters.mcp_relay import RELAY, Hear, cancelled_by
from bywire.model.errors import TargetError

LINE_BYTES_MAX = 8 * 1024 * 1024
STDERR_BYTES_KEPT = 4_096
STARTS_MAX, STARTS_SECONDS = 5, 60.0
# Of a child that leaves more requests than this unanswered nobody knows any more what it works on.
UNANSWERED_MAX = 1_024
PROBE_SECONDS, END_SECONDS = 5.0, 2.0
# What a program needs to run, and nothing that would let it act as somebody.
PASSED = ("PATH", "HOME", "USER", "LOGNAME", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR", "TERM")
_PART_BYTES = 65_536


def scrubbed(around: Mapping[str, str] | None = None, extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of a child: what programs need, and `extra`."""
    known = os.environ if around is None else around
    return {name: known[name] for name in PASSED if name in known} | dict(extra or {})


class _Child:
    """One process, with whoever waits for its answers."""

    def __init__(
        self, command: Sequence[str], environment: Mapping[str, str], on_message: Callable[[Message, int | None], None]
    ) -> None:
        self.process = subprocess.Popen(
            list(command),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=dict(environment),
            start_new_session=True,
            bufsize=0,
        )
        if self.process.stdin is None or self.process.stdout is None or self.process.stderr is None:
            raise OSError("the child has no standard streams")
        self._stdin = self.process.stdin
        os.set_blocking(self._stdin.fileno(), False)
        self._on_message = on_message
        self._writing = threading.Lock()
        self._lock = threading.Lock()
        self._waiting: dict[int, queue.SimpleQueue[Message | None]] = {}
        self._unanswered: set[int] = set()
        self._is_lost = False
        self.said: collections.deque[bytes] = collections.deque(maxlen=32)
        self.is_over = False
        self._threads = [
            threading.Thread(target=self._read, args=(self.process.stdout,), daemon=True),
            threading.Thread(target=self._drain, args=(self.process.stderr,), daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    def expect(self, message_id: int) -> "queue.SimpleQueue[Message | None]":
        """Where the answer to this request will come; None when the child ends before."""
        answers: queue.SimpleQueue[Message | None] = queue.SimpleQueue()
        with self._lock:
            self._waiting[message_id] = answers
            self._is_lost |= len(self._unanswered) >= UNANSWERED_MAX
            if not self._is_lost:
                self._unanswered.add(message_id)
            if self.is_over:
                answers.put(None)
        return answers

    def forget(self, message_id: int) -> None:
        """Nobody waits any more; the child may work on it all the same."""
        with self._lock:
            self._waiting.pop(message_id, None)

    def write(self, message: dict[str, Any], deadline: float) -> None:
        """One line. OSError when the child does not take it in time: then it is ended, for half a line may be there."""
        line = memoryview(rpc.encoded(message) + b"\n")
        with self._writing:
            try:
                while line:
                    self._await_room(deadline)
                    line = line[os.write(self._stdin.fileno(), line) :]
            except (OSError, ValueError) as error:
                self.end(0)
                raise OSError(f"it does not take requests: {error}") from error

    def end(self, seconds: float) -> None:
        """Close its input, wait, then end its whole group."""
        with contextlib.suppress(OSError):
            self._stdin.close()
        try:
            self.process.wait(seconds or 0.01)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(OSError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        self._over()

    def last_words(self) -> str:
        """The end of its standard error."""
        if self.is_over:
            self._threads[1].join(END_SECONDS)
        return b"".join(self.said).decode("utf-8", "replace")

    def close(self) -> None:
        """End it and its threads."""
        self.end(END_SECONDS)
        # What the child started may hold the other end of the pipes.
        with contextlib.suppress(OSError):
            os.killpg(self.process.pid, signal.SIGKILL)
        for thread in self._threads:
            thread.join(END_SECONDS)
        for stream in (self.process.stdout, self.process.stderr):
            if stream is not None:
                stream.close()

    def _await_room(self, deadline: float) -> None:
        poll = select.poll()
        poll.register(self._stdin, select.POLLOUT)
        if not poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
            raise OSError("its input is full")

    def _read(self, stream: IO[bytes]) -> None:
        rest = bytearray()
        searched = 0
        try:
            with contextlib.suppress(OSError, ValueError, MessageError):
                while part := stream.read(_PART_BYTES):
                    rest += part
                    while (end := rest.find(b"\n", searched)) >= 0:
                        line = bytes(rest[:end]).strip()
                        del rest[: end + 1]
                        searched = 0
                        if line:
                            self._take(rpc.parse_message(line))
                    searched = len(rest)
                    if len(rest) > LINE_BYTES_MAX:
                        break
        finally:  # whatever broke: a child whose answers nobody reads is over
            self.end(END_SECONDS)

    def _take(self, message: Message) -> None:
        if message.is_request or message.is_notification:
            self._on_message(message, self._only())
            return
        # An id of another type than ours answers nothing, and neither does a second answer.
        with self._lock:
            answers = self._waiting.pop(message.id, None) if type(message.id) is int else None
            if type(message.id) is int:
                self._unanswered.discard(message.id)
        if answers is not None:
            answers.put(message)

    def _only(self) -> int | None:
        """The one request that the child has not answered, waited for or not; None when there are others, or none."""
        with self._lock:
            return next(iter(self._unanswered)) if len(self._unanswered) == 1 and not self._is_lost else None

    def _drain(self, stream: IO[bytes]) -> None:
        with contextlib.suppress(OSError, ValueError):
            while part := stream.read(STDERR_BYTES_KEPT):
                self.said.append(part[-STDERR_BYTES_KEPT // 32 :])

    def _over(self) -> None:
        with self._lock:
            self.is_over = True
            waiting, self._waiting = list(self._waiting.values()), {}
        for answers in waiting:
            answers.put(None)


class McpStdio(Link):
    """`command` is started when it is first needed. `secret_name` is the variable that holds the authorization."""

    probe_seconds = PROBE_SECONDS

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        timeout_seconds: float,
        refused: Callable[[str], None],
        changed: Hear,
        environment: Mapping[str, str] | None = None,
        secret_name: str = "",
    ) -> None:
        super().__init__(name, refused=refused, changed=changed)
        self._command = tuple(command)
        self._timeout = timeout_seconds
        self._environment = scrubbed() if environment is None else dict(environment)
        self._secret_name = secret_name
        self._secret = ""
        self._child: _Child | None = None
        self._starting = threading.RLock()
        self._starts: collections.deque[float] = collections.deque(maxlen=STARTS_MAX)
        self._hears: dict[int, Hear] = {}
        self._asked = self._listened = 0
        self._is_watched = False

    @property
    def origin(self) -> str:
        """Where a credential of this upstream goes: into this child and no other."""
        return f"stdio:{self.name}"

    def carry(self, sent: Sent) -> Message:
        """As `Link.carry`. TimeoutError also when the child ended meanwhile."""
        child = self._running(sent)
        deadline = time.monotonic() + (sent.seconds or self._timeout)
        answers = child.expect(sent.id)
        if sent.hear is not None:
            self._hears[sent.id] = sent.hear
        relay = RELAY.get()
        try:
            child.write(sent.message, deadline)
            with cancelled_by(relay, lambda: answers.put(None), effect=sent.effect):
                answer = answers.get(timeout=max(0.001, deadline - time.monotonic()))
        except queue.Empty:
            return self._unanswered(child, sent)
        except OSError as error:
            raise TimeoutError(f"{self.name}: {error}") from error
        finally:
            child.forget(sent.id)
            self._hears.pop(sent.id, None)
        if answer is None:
            self._cancel(child, sent)
            raise TimeoutError(f"{self.name} ended before it answered, or its client did")
        return answer

    def tell(self, message: dict[str, Any], spoken: Spoken, authorization: str) -> None:
        """One line."""
        child = self._child
        if child is not None and not child.is_over:
            with contextlib.suppress(OSError):
                child.write(message, time.monotonic() + END_SECONDS)

    def watch(self, authorization: Callable[[], str]) -> None:
        """A server of an older version says what changes anyway; one of the newest is asked to."""
        if not self._is_watched:
            self._is_watched = True
            threading.Thread(target=self._follow_again, daemon=True).start()  # its pipe may be full

    def _follow_again(self) -> None:
        spoken = self._spoken
        if self._is_watched and spoken is not None and spoken.is_modern:
            message = self._listening()
            if self._listened:
                self.tell(rpc.notification("notifications/cancelled", {"requestId": self._listened}), spoken, "")
            self._listened = message["id"]
            self.tell(message, spoken, "")

    def last_words(self) -> str:
        """The end of what the child wrote to standard error; all of it, when the child is over."""
        child = self._child
        return "" if child is None else child.last_words()

    def close(self) -> None:
        """End the child."""
        with self._starting:
            child, self._child = self._child, None
            if child is not None:
                child.close()

    def _unanswered(self, child: _Child, sent: Sent) -> Message:
        self._cancel(child, sent)
        if sent.spoken is None and sent.seconds:
            return Message(jsonrpc="2.0", id=sent.id, error={"code": rpc.METHOD_NOT_FOUND, "message": "no answer"})
        raise TimeoutError(f"{self.name} did not answer in time")

    def _cancel(self, child: _Child, sent: Sent) -> None:
        if sent.spoken is not None and not child.is_over:
            told = rpc.notification("notifications/cancelled", {"requestId": sent.id})
            self.tell(told, sent.spoken, "")

    def _running(self, sent: Sent) -> _Child:
        with self._starting:
            child = self._child
            other = self._secret_name and sent.authorization and sent.authorization != self._secret
            if child is not None and not child.is_over and not other:
                return child
            if child is not None:
                child.close()
                self._child = None
            self._forget(None)
            if sent.spoken is not None:
                raise SessionGoneError  # a new child has to be greeted first; nothing was sent to it
            return self._started(sent.authorization)

    def _started(self, authorization: str) -> _Child:
        now = time.monotonic()
        if len(self._starts) == STARTS_MAX and now - self._starts[0] < STARTS_SECONDS:
            raise TargetError(
                f"{self.name} ends again and again",
                code="target_unreachable",
                next_step=f"run it by hand: {' '.join(self._command)[:200]}",
            )
        self._starts.append(now)
        self._secret, self._asked = authorization, 0
        extra = {self._secret_name: authorization} if self._secret_name and authorization else {}
        try:
            self._child = _Child(self._command, self._environment | extra, self._from_child)
        except OSError as error:
            raise TargetError(
                f"{self.name} cannot be started: {error.strerror or error}",
                code="target_unreachable",
                next_step="correct `command` of the upstream in gateway.yaml",
            ) from error
        return self._child

    def _from_child(self, message: Message, only: int | None) -> None:
        if message.is_request:
            self._asked += 1
            if self._asked > REFUSED_MAX * STARTS_MAX and message.method != "ping":
                raise OSError("it keeps asking its client")
            self._asked_back(message, self._spoken, "")
            return
        token = message.arguments.get("progressToken")
        if message.method == "notifications/progress":
            self._heard(message, self._hears.get(token) if type(token) is int else None)
        elif message.method == "notifications/message":
            # It names no request: it may be about the only one that is not answered, and is about nobody's otherwise.
            self._heard(message, self._hears.get(only) if only is not None else None)
        else:
            self._heard(message, None)
