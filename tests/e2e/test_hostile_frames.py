"""Frames that no honest client sends: an `error` frame and the connection kept, or the close code of the contract."""

import asyncio
import json
from typing import Any
from uuid import uuid4

import pytest

from tests.e2e.raw import CLOSE, CONT, PING, PONG, TEXT, raw_socket
from tests.e2e.service import Service, Socket

pytestmark = pytest.mark.asyncio(loop_scope="module")
CANARY = "canary7f3a"
QUESTION = "What is a flash loan?"
MAX_MESSAGE = 64 * 1024


def text(**frame: Any) -> str:
    return json.dumps(frame)


BAD = {
    "empty": "",
    "white space": " ",
    "text": CANARY,
    "half an object": '{"type": "ping"',
    "two objects": '{"type": "ping"}{"type": "ping"}',
    "NaN": '{"type": "ping", "x": NaN}',
    "a lone surrogate": '{"type": "question", "question": "What is \\ud800 here?"}',
    "deep arrays": "[" * 30_000 + "]" * 30_000,
    "deep objects": '{"type":' * 7_000 + "1" + "}" * 7_000,
    "a long number": '{"type": "question", "question": ' + "9" * 5000 + "}",
    "an array": text(type="ping").join("[]"),
    "null": "null",
    "a number": "7",
    "no type": text(question=QUESTION),
    "type null": text(type=None),
    "type a number": text(type=7),
    "type an object": text(type={"type": "ping"}),
    "type an array": text(type=["ping"]),
    "unknown type": text(type=CANARY),
    "a server's type": text(type="complete", answer=CANARY),
    "a private name": text(type="__class__"),
    "type in capitals": text(type="PING"),
    "no question": text(type="question"),
    "question null": text(type="question", question=None),
    "question empty": text(type="question", question=""),
    "question of spaces": text(type="question", question=" \n\u2003 " * 5),
    "question too short": text(type="question", question="a"),
    "question too long": text(type="question", question="a" * 2001),
    "question a number": text(type="question", question=12345),
    "question an array": text(type="question", question=[QUESTION]),
    "question with a NUL": text(type="question", question=f"What is\0{CANARY}?"),
    "data no object": text(type="question", data=QUESTION),
    "data null": text(type="question", question=QUESTION, data=None),
    "data empty": text(type="question", question=QUESTION, data={}),
    "session_id no UUID": text(type="question", question=QUESTION, session_id=CANARY),
    "session_id a number": text(type="question", question=QUESTION, session_id=7),
    "session_id empty": text(type="question", question=QUESTION, session_id=""),
    "session_id long": text(type="question", question=QUESTION, session_id="0" * 60_000),
    "request_id a number": text(type="question", question=QUESTION, request_id=7),
    "request_id empty": text(type="question", question=QUESTION, request_id=""),
    "request_id long": text(type="question", question=QUESTION, request_id="x" * 129),
    "request_id with a line end": text(type="question", question=QUESTION, request_id="x\n"),
    "attach to nothing": text(type="attach"),
    "attach to a number": text(type="attach", run_id=7),
    "after negative": text(type="attach", run_id=str(uuid4()), after=-1),
    "after true": text(type="attach", run_id=str(uuid4()), after=True),
    "after a float": text(type="attach", run_id=str(uuid4()), after=1.0),
    "after text": text(type="attach", run_id=str(uuid4()), after="1"),
    "after null": text(type="attach", run_id=str(uuid4()), after=None),
    "after huge": text(type="attach", run_id=str(uuid4()), after=10**30),
    "after an array": text(type="attach", run_id=str(uuid4()), after=[1]),
    "cancel of an object": text(type="cancel", run_id={}),
    "auth without a token": text(type="auth"),
    "auth with a number": text(type="auth", token=7),
}
REFUSED = {
    "attach to an unknown run": (text(type="attach", run_id=str(uuid4())), "not_found"),
    "attach to no UUID": (text(type="attach", run_id=f"../../{CANARY}", after=0), "not_found"),
    "attach to a long name": (text(type="attach", run_id=CANARY * 5000, after=0), "not_found"),
    "cancel of nothing": (text(type="cancel"), "not_found"),
    "cancel of an unknown run": (text(type="cancel", run_id=str(uuid4())), "not_found"),
}


async def refused(socket: Socket, message: str, code: str) -> None:
    """The message is answered with one error frame of that code; the connection goes on."""
    await socket.connection.send(message)
    frame = await socket.next()
    assert (frame["type"], frame["code"], frame["processing_stage"]) == ("error", code, "error")
    assert frame["error"] == frame["message"]
    assert isinstance(frame["retryable"], bool)
    assert not {"seq", "run_id"} & set(frame)
    assert CANARY not in str(frame)
    await socket.send(type="ping")
    assert (await socket.next())["type"] == "pong"


@pytest.mark.parametrize("name", BAD)
async def test_a_frame_that_makes_no_sense_is_told_and_the_connection_kept(name: str, embedded: Service) -> None:
    async with embedded.socket() as socket:
        await socket.hello()
        await refused(socket, BAD[name], "validation_error")


@pytest.mark.parametrize("name", REFUSED)
async def test_a_frame_that_cannot_be_obeyed_is_told_why(name: str, embedded: Service) -> None:
    async with embedded.socket() as socket:
        await socket.hello()
        await refused(socket, *REFUSED[name])


async def test_ten_bad_frames_in_a_row_close_the_connection_and_nine_do_not(embedded: Service) -> None:
    async with embedded.socket() as socket:
        await socket.hello()
        for _ in range(9):
            await socket.connection.send("{")
        await socket.send(type="ping")
        frames = await socket.until(type="pong")
        assert [frame["type"] for frame in frames] == ["error"] * 9 + ["pong"]
        for _ in range(10):
            await socket.connection.send("{")
        assert await socket.closed() == 1008


async def test_refusals_that_are_no_bad_frames_do_not_close_the_connection(embedded: Service) -> None:
    async with embedded.socket() as socket:
        await socket.hello()
        for _ in range(15):
            await refused(socket, text(type="attach", run_id=str(uuid4())), "not_found")


@pytest.mark.parametrize("path", ["/ws/ask", "/ws/test"])
async def test_a_binary_frame_closes_with_1003(path: str, embedded: Service) -> None:
    async with embedded.socket(path) as socket:
        await socket.connection.send(b"{}")
        assert await socket.closed() == 1003


@pytest.mark.parametrize("payload", [b"\xff", b'{"type":"ping"}\xc3', b"\xed\xa0\x80", b"\xf4\x90\x80\x80"])
async def test_text_that_is_not_utf8_closes_with_1007(payload: bytes, embedded: Service) -> None:
    async with raw_socket(embedded.port) as socket:
        socket.put(TEXT, payload)
        assert await socket.close_code() == 1007


async def test_a_message_over_64_kib_closes_with_1009_and_one_under_it_does_not(embedded: Service) -> None:
    async with embedded.socket() as socket:
        await socket.hello()
        await socket.connection.send(text(type="ping", x="").ljust(MAX_MESSAGE))
        assert (await socket.next())["type"] == "pong"
        await socket.connection.send(text(type="ping").ljust(MAX_MESSAGE + 1))
        assert await socket.closed() == 1009


async def test_pieces_that_come_to_more_than_64_kib_close_with_1009(embedded: Service) -> None:
    async with raw_socket(embedded.port) as socket:
        socket.put(TEXT, b" " * 60_000, fin=False)
        socket.put(CONT, b" " * 60_000)
        assert await socket.close_code() == 1009


async def test_a_message_in_pieces_is_one_message(embedded: Service) -> None:
    async with raw_socket(embedded.port) as socket:
        socket.put(TEXT, b'{"type":', fin=False)
        socket.put(PING, b"between")
        socket.put(CONT, b"", fin=False)
        socket.put(CONT, b'"ping"}')
        assert (await socket.until("pong"))["type"] == "pong"


@pytest.mark.parametrize(
    ("opcode", "payload", "fin"),
    [(CONT, b"x", True), (3, b"", True), (11, b"", True), (PING, b"x" * 126, True), (PING, b"", False),
     (CLOSE, b"x", True)],
)  # fmt: skip
async def test_what_is_no_websocket_frame_closes_with_1002(
    opcode: int, payload: bytes, fin: bool, embedded: Service
) -> None:
    async with raw_socket(embedded.port) as socket:
        socket.put(opcode, payload, fin=fin)
        assert await socket.close_code() == 1002


async def test_a_ping_gets_its_payload_back_and_a_stray_pong_nothing(embedded: Service) -> None:
    async with raw_socket(embedded.port) as socket:
        await socket.until("status")
        socket.put(PONG, b"stray")
        socket.put(PING, b"payload")
        assert await socket.frame() == (PONG, b"payload")


async def test_the_question_may_stand_in_data(embedded: Service) -> None:
    async with embedded.socket() as socket:
        await socket.hello()
        session_id = str(uuid4())
        await socket.send(type="question", data={"question": QUESTION, "session_id": session_id, "request_id": "r"})
        frames = await socket.until(type="complete")
    assert frames[-1]["session_id"] == session_id


async def test_unknown_fields_and_heartbeat_answers_are_let_pass(embedded: Service) -> None:
    async with embedded.socket() as socket:
        await socket.hello()
        await socket.send(type="heartbeat_response", timestamp=1)
        await socket.send(type="question", question=QUESTION, model="x", temperature=2, nested={"a": [1]})
        assert (await socket.until(type="complete"))[-1]["model"] == "curated"


@pytest.mark.parametrize("message", ["hello", "", "{}", '"\\u2028', "ünï😀"])
async def test_the_test_socket_echoes(message: str, embedded: Service) -> None:
    async with embedded.socket("/ws/test") as socket:
        await socket.connection.send(message)
        frame = await socket.next()
    assert (frame["type"], frame["message"]) == ("echo", message)


async def test_after_all_that_no_fault_is_logged_and_every_connection_is_gone(embedded: Service) -> None:
    async with embedded.client() as client, asyncio.timeout(10):
        while (stats := (await client.get("/ws/stats")).json())["active_connections"]:
            pass
    assert stats["accepted_total"] > len(BAD)
    assert [line for line in embedded.log if line.get("level") in ("error", "critical")] == []
    assert CANARY not in "".join(embedded.raw)
