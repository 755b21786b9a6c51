"""Messages to calls: the stage.

A call comes out when both of its sides ended, whatever is missing of them. An
exchange that is no model call is dropped as soon as that is known, its answer
unread.
"""

from __future__ import annotations

from typing import Protocol

from proctor.calls import parts
from proctor.calls.answers import ReadAnswer, read_answer
from proctor.calls.dialects import operation_of
from proctor.calls.open_call import OpenCall
from proctor.events import Call, CallConnection, Process, Response
from proctor.messages.types import (
    Data,
    Done,
    Exchange,
    Message,
    Missing,
    RequestStarted,
    ResponseStarted,
    ServerSentEvent,
    Side,
    Unsupported,
)
from proctor.providers import provider_at


class Surroundings(Protocol):
    """What the traffic itself does not tell."""

    def wall_ns(self, boot_ns: int) -> int:
        """Turn CLOCK_BOOTTIME into nanoseconds since the epoch."""

    def of(self, tls: int) -> tuple[Process | None, CallConnection]:
        """Return who owns a TLS handle, and its connection as far as known."""


class Calls:
    """`feed()` returns the calls that a message completed, `close()` what was left open."""

    def __init__(self, surroundings: Surroundings) -> None:
        self._surroundings = surroundings
        self._open: dict[Exchange, OpenCall] = {}

    def feed(self, message: Message) -> list[Call]:
        if isinstance(message, Unsupported):
            return []
        call = self._open.get(message.exchange)
        if call is None:
            call = self._open[message.exchange] = OpenCall(message.exchange, message.time_ns)
        match message:
            case ServerSentEvent():
                call.event(message)
            case Data():
                call.data(message)
            case RequestStarted():
                call.request_started(message)
            case ResponseStarted():
                call.response_started(message)
            case Missing():
                call.missing(message)
            case Done():
                return self._side_done(call, message)
        return []

    def close(self, time_ns: int) -> list[Call]:
        """The watch ends. Nothing is open where the messages were closed before."""
        calls: list[Call] = []
        for call in list(self._open.values()):
            for side, body in ((Side.REQUEST, call.request), (Side.RESPONSE, call.response)):
                if not body.done:
                    call.missing(Missing(call.exchange, side, time_ns, None, "recording_end"))
                    calls += self._side_done(call, Done(call.exchange, side, time_ns))
        return calls

    def _side_done(self, call: OpenCall, done: Done) -> list[Call]:
        call.side_done(done.side, done.time_ns)
        if not call.done:
            return []
        del self._open[call.exchange]
        read = None if call.is_call is False else read_answer(call)
        return [self._call(call, read)] if read else []

    def _call(self, call: OpenCall, read: ReadAnswer) -> Call:
        process, connection = self._surroundings.of(call.exchange.tls)
        connection.protocol = connection.protocol or "http/1.1"
        host = call.host or connection.server_name
        answer = read.answer
        return Call(
            time_ns=self._surroundings.wall_ns(call.time_ns),
            process=process,
            id=f"{call.exchange.tls}-{call.exchange.number}",
            provider=provider_at(host or "") or read.dialect.provider,
            operation=operation_of(read.dialect),
            endpoint=f"{call.method} {call.path}".strip(),
            host=host,
            streamed=read.streamed or (call.status is None and call.question.streamed),
            duration_ns=_since_request(call, call.end_ns),
            time_to_first_chunk_ns=_since_request(call, call.first_chunk_ns)
            if read.streamed
            else None,
            connection=connection,
            request=call.question.request,
            response=_response(call, read),
            usage=answer.usage,
            tool_calls=parts.tool_calls(answer.messages),
            tool_results=call.question.tool_results,
            complete=not read.gaps,
            gaps=read.gaps,
        )


def _since_request(call: OpenCall, time_ns: int | None) -> int | None:
    return time_ns - call.time_ns if call.method and time_ns is not None else None


def _response(call: OpenCall, read: ReadAnswer) -> Response | None:
    if call.status is None:
        return None
    answer = read.answer
    return Response(
        status=call.status,
        id=answer.id,
        model=answer.model,
        finish_reasons=answer.finish_reasons,
        messages=answer.messages,
        error=answer.error,
    )
