from __future__ import annotations

from typing import Any

from proctor.events import Call, Json, Process, Request, Response
from proctor.views.conversation import Conversations, Line, part_line


def text(role: str, content: str) -> Json:
    return {"role": role, "parts": [{"type": "text", "content": content}]}


def call(messages: list[Json], answer: str | None = None, pid: int = 1, **more: Any) -> Call:
    answers = [text("assistant", answer)] if answer is not None else []
    return Call(
        time_ns=1,
        process=Process(pid, 1),
        id="1",
        provider="p",
        operation="chat",
        endpoint="POST /",
        request=Request(messages=messages, **more),
        response=Response(id=f"answer to {len(messages)}", messages=answers),
    )


def texts(lines: list[Line]) -> list[str]:
    return [line.text for line in lines]


def test_history_that_is_sent_again_is_shown_once() -> None:
    conversations = Conversations()
    first = [text("system", "be"), text("user", "one")]
    assert texts(conversations.feed(call(first, "two"))[0]) == ["be", "one"]
    second = [*first, text("assistant", "two"), text("user", "three")]
    sent, received = conversations.feed(call(second, "four"))
    assert texts(sent) == ["three"]
    assert texts(received) == ["four"]


def test_an_answer_that_was_not_seen_is_shown_when_it_comes_back() -> None:
    conversations = Conversations()
    first = [text("user", "one")]
    conversations.feed(call(first))
    sent, _ = conversations.feed(call([*first, text("assistant", "two"), text("user", "three")]))
    assert texts(sent) == ["two", "three"]


def test_parallel_conversations_of_a_process_are_told_apart() -> None:
    conversations = Conversations()
    one, other = [text("user", "one")], [text("user", "other")]
    conversations.feed(call(one, "1"))
    conversations.feed(call(other, "2"))
    sent, _ = conversations.feed(call([*one, text("assistant", "1"), text("user", "more")], "3"))
    assert texts(sent) == ["more"]
    sent, _ = conversations.feed(call([*other, text("assistant", "2"), text("user", "again")], "4"))
    assert texts(sent) == ["again"]


def test_another_process_that_says_the_same_begins_anew() -> None:
    conversations = Conversations()
    same = [text("user", "one")]
    conversations.feed(call(same, "1"))
    assert texts(conversations.feed(call(same, "1", pid=2))[0]) == ["one"]


def test_a_prompt_that_was_asked_before_is_no_history() -> None:
    conversations = Conversations()
    same = [text("user", "say hi")]
    system = [{"type": "text", "content": "be"}]
    for _ in range(40):
        sent, _ = conversations.feed(call(same, "hi", system=system))
        assert texts(sent) == ["be", "say hi"]
    assert max(map(len, conversations._threads.values())) == 1
    sent, _ = conversations.feed(call([*same, text("assistant", "hi"), text("user", "more")]))
    assert texts(sent) == ["more"]


def test_a_call_that_is_made_again_shows_what_it_added() -> None:
    conversations = Conversations()
    first = [text("user", "one")]
    conversations.feed(call(first, "two"))
    second = [*first, text("assistant", "two"), text("user", "three")]
    for answer in (None, "four", "five"):
        sent, _ = conversations.feed(call(second, answer))
        assert texts(sent) == ["three"]


def test_system_instructions_are_shown_when_new() -> None:
    conversations = Conversations()
    system = [{"type": "text", "content": "be"}]
    messages = [text("user", "one")]
    assert texts(conversations.feed(call(messages, "1", system=system))[0]) == ["be", "one"]
    longer = [*messages, text("assistant", "1"), text("user", "two")]
    assert texts(conversations.feed(call(longer, "2", system=system))[0]) == ["two"]


def test_an_answer_named_by_its_id_goes_on() -> None:
    conversations = Conversations()
    conversations.feed(call([text("user", "one")], "1"))
    previous = {"previous_response_id": "answer to 1"}
    result = {"role": "tool", "parts": [{"type": "tool_call_response", "response": "42"}]}
    sent, _ = conversations.feed(call([result], "2", parameters=previous))
    assert sent == [Line("tool", "tool_result", "42")]


def test_memory_is_bounded() -> None:
    conversations = Conversations()
    for number in range(1000):
        conversations.feed(call([text("user", str(number))], "a", pid=number))
        conversations.feed(call([text("user", str(number))], "a", pid=0))
    threads = conversations._threads
    assert len(threads) == 256
    assert max(map(len, threads.values())) == 32


def test_parts_of_every_kind_have_a_text() -> None:
    blob = {"type": "blob", "mime_type": "image/png", "content": "A" * 4000}
    assert part_line("user", blob).text == "[image/png, 3.00 kB]"
    uri = {"type": "uri", "modality": "image", "uri": "https://a.example/b.png"}
    assert part_line("user", uri).text == "[image: https://a.example/b.png]"
    assert part_line("user", {"type": "new"}).text == "[new]"
    native = {"type": "web_search_call", "status": "done"}
    assert part_line("assistant", native).text == '[web_search_call] {"status": "done"}'
    refusal = {"type": "refusal", "content": "I can't."}
    assert part_line("assistant", refusal).text == "[refusal] I can't."
    assert part_line("user", "no part").text == "no part"
    call_part = {"type": "tool_call", "name": "f", "arguments": {"a": "東"}}
    assert part_line("assistant", call_part).text == 'f {"a": "東"}'
    deep: Any = 0
    for _ in range(100_000):
        deep = [deep]
    assert "nested too deep" in part_line("user", {"type": "text", "content": deep}).text
