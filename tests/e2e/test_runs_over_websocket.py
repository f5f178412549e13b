"""A model's answer over a WebSocket: streamed, cut, re-joined, paused, stopped."""

import asyncio
import random
from collections.abc import Awaitable, Callable

import pytest
import websockets

from tests.e2e.service import Service, answer_of, of_run
from tests.model_server import ModelServer

Start = Callable[..., Awaitable[Service]]
TOKENS = [f"word{i} " for i in range(30)]
QUESTION = "What is a liquidation threshold?"


async def test_words_arrive_while_the_model_still_writes(start: Start, model: ModelServer) -> None:
    gate = model.gate()
    model.tokens(TOKENS, gate=gate)
    service = await start()
    async with service.socket() as socket:
        await socket.hello()
        await socket.send(type="question", question=QUESTION)
        gate.release(3)
        frames = await socket.until(type="word")
        while answer_of(frames) != "".join(TOKENS[:3]):
            frames.append(await socket.next())
        gate.open()
        frames += await socket.until(status="ready")
    run = of_run(frames)
    assert [frame["seq"] for frame in run] == list(range(1, len(run) + 1))
    assert len({frame["run_id"] for frame in run}) == 1
    assert answer_of(frames) == run[-1]["answer"] == "".join(TOKENS)
    assert run[-1]["type"] == "complete"
    assert run[-1]["model"] == "scripted"
    assert run[-1]["total_words"] == len(TOKENS)


async def test_the_words_index_counts_words(start: Start, model: ModelServer) -> None:
    model.tokens(["one ", "two three ", "fo", "ur"])
    service = await start()
    async with service.socket() as socket:
        frames = await socket.ask(QUESTION)
    words = [frame for frame in frames if frame["type"] == "word"]
    expected = 0
    for frame in words:
        assert frame["index"] == expected
        expected += len(frame["content"].split())
    assert answer_of(frames) == "one two three four"


async def test_an_attach_at_any_point_gives_exactly_the_rest(start: Start, model: ModelServer) -> None:
    model.tokens(TOKENS)
    service = await start()
    async with service.socket() as socket:
        whole = of_run(await socket.ask(QUESTION))
    run_id = whole[0]["run_id"]
    for after in range(len(whole) + 1):
        async with service.socket() as socket:
            await socket.hello()
            await socket.send(type="attach", run_id=run_id, after=after)
            assert of_run(await socket.until(status="ready")) == whole[after:]


async def test_readers_that_are_cut_at_random_put_the_same_answer_together(start: Start, model: ModelServer) -> None:
    gate = model.gate()
    model.tokens(TOKENS, gate=gate)
    service = await start()
    async with service.socket() as first:
        await first.hello()
        await first.send(type="question", question=QUESTION)
        run_id = (await first.until(type="metadata"))[-1]["run_id"]
        readers = [asyncio.create_task(_read_with_cuts(service, run_id, random.Random(seed))) for seed in range(6)]
        for _ in TOKENS:
            gate.release(1)
            await asyncio.sleep(0)
        gate.open()
        answers = await asyncio.gather(*readers)
    assert answers == ["".join(TOKENS)] * 6


async def _read_with_cuts(service: Service, run_id: str, chance: random.Random) -> str:
    frames: list[dict[str, object]] = []
    while True:
        async with service.socket() as socket:
            await socket.hello()
            await socket.send(type="attach", run_id=run_id, after=len(frames))
            for _ in range(chance.randint(1, 12)):
                frame = await socket.next()
                if frame.get("status") == "ready":
                    assert [f["seq"] for f in frames] == list(range(1, len(frames) + 1))
                    return answer_of(frames)
                frames.append(frame)
            socket.connection.transport.abort()


async def test_a_cancel_is_answered_when_the_upstream_is_closed(start: Start, model: ModelServer) -> None:
    model.hang(TOKENS[:5])
    model.reply("And on it goes.")
    service = await start()
    async with service.socket() as socket:
        await socket.hello()
        await socket.send(type="question", question=QUESTION)
        frames = await socket.until(type="word")
        while len(answer_of(frames)) < len("".join(TOKENS[:5])):
            frames.append(await socket.next())
        await socket.send(type="cancel")
        closed = asyncio.create_task(model.closed())
        frames += await socket.until(status="cancelled")
        assert (await asyncio.wait_for(closed, 10)) is not None
        frames += await socket.until(status="ready")
        after = await socket.ask("And what comes next in it?")
    assert answer_of(frames) == "".join(TOKENS[:5])
    assert answer_of(after) == "And on it goes."


async def test_a_paused_connection_gets_the_held_frames_in_order(start: Start, model: ModelServer) -> None:
    gate = model.gate()
    model.tokens(TOKENS, gate=gate)
    service = await start()
    async with service.socket() as socket, service.socket() as witness:
        await socket.hello()
        await witness.hello()
        await socket.send(type="question", question=QUESTION)
        gate.release(2)
        frames = await socket.until(type="word")
        run_id = frames[-1]["run_id"]
        await socket.send(type="pause")
        frames += await socket.until(status="paused")
        gate.open()
        await witness.send(type="attach", run_id=run_id, after=0)
        await witness.until(type="complete")  # the run has ended, and the paused connection has not heard of it
        await socket.send(type="ping")
        assert (await socket.next())["type"] == "pong"
        await socket.send(type="resume")
        frames += await socket.until(status="ready")
    run = of_run(frames)
    assert [frame["seq"] for frame in run] == list(range(1, len(run) + 1))
    assert answer_of(frames) == "".join(TOKENS)


async def test_a_resent_question_joins_its_run(start: Start, model: ModelServer) -> None:
    model.tokens(TOKENS)
    service = await start()
    async with service.socket() as socket:
        session = (await socket.hello())["session_id"]
        first = of_run(await socket.ask(QUESTION, request_id="r-1"))
    async with service.socket() as socket:
        await socket.hello()
        again = of_run(await socket.ask(QUESTION, request_id="r-1", session_id=session))
    assert again == first
    assert len(model.requests) == 1


async def test_a_dropped_connection_does_not_stop_the_run(start: Start, model: ModelServer) -> None:
    gate = model.gate()
    model.tokens(TOKENS, gate=gate)
    service = await start()
    async with service.socket() as socket:
        await socket.hello()
        await socket.send(type="question", question=QUESTION)
        gate.release(1)
        run_id = (await socket.until(type="word"))[-1]["run_id"]
        socket.connection.transport.abort()
    gate.open()
    async with service.socket() as socket:
        await socket.hello()
        await socket.send(type="attach", run_id=run_id, after=0)
        assert answer_of(await socket.until(status="ready")) == "".join(TOKENS)


async def test_a_second_question_waits_its_turn(start: Start, model: ModelServer) -> None:
    gate = model.gate()
    model.tokens(TOKENS, gate=gate)
    model.reply("Second.")
    service = await start()
    async with service.socket() as socket:
        await socket.hello()
        await socket.send(type="question", question=QUESTION)
        await socket.until(type="metadata")
        await socket.send(type="question", question="And the second question?")
        queued = (await socket.until(status="queued"))[-1]
        gate.open()
        frames = await socket.until(status="ready")
        frames += await socket.until(status="ready")
    second = [frame for frame in frames if frame.get("run_id") == queued["run_id"]]
    assert answer_of(second) == "Second."
    assert second[0]["status"] == "streaming"


async def test_interrupt_stops_the_first_and_reject_refuses_the_second(start: Start, model: ModelServer) -> None:
    model.hang(TOKENS[:2])
    model.reply("Second.")
    service = await start(SESSION_CONCURRENCY="interrupt")
    async with service.socket() as socket:
        await socket.hello()
        await socket.send(type="question", question=QUESTION)
        first = (await socket.until(type="word"))[-1]["run_id"]
        await socket.send(type="question", question="And the second question?")
        frames = await socket.until(type="complete")
        assert answer_of([frame for frame in frames if frame.get("run_id") != first]) == "Second."
        assert any(frame.get("status") == "cancelled" and frame["run_id"] == first for frame in frames)


async def test_reject_refuses_the_second_question(start: Start, model: ModelServer) -> None:
    gate = model.gate()
    model.tokens(TOKENS, gate=gate)
    service = await start(SESSION_CONCURRENCY="reject")
    async with service.socket() as socket:
        await socket.hello()
        await socket.send(type="question", question=QUESTION)
        await socket.until(type="metadata")
        await socket.send(type="question", question="And the second question?")
        refused = (await socket.until(type="error"))[-1]
        assert refused["code"] == "conflict"
        assert "seq" not in refused
        gate.open()
        assert answer_of(await socket.until(status="ready")) == "".join(TOKENS)


async def test_frames_that_the_log_let_go_become_a_gap_and_a_snapshot(start: Start, model: ModelServer) -> None:
    tokens = [f"token{i} " * 10 for i in range(100)]  # more text than the log holds, in however few frames it comes
    model.tokens(tokens)
    service = await start(RUN_LOG_MAX_BYTES=4096)
    async with service.socket() as socket:
        run_id = (await socket.ask(QUESTION))[1]["run_id"]
    async with service.socket() as socket:
        await socket.hello()
        await socket.send(type="attach", run_id=run_id, after=2)
        frames = await socket.until(status="ready")
    gap, snapshot, *rest = frames
    assert (gap["type"], gap["from"], snapshot["type"], snapshot["seq"]) == ("gap", 3, "snapshot", gap["to"])
    assert of_run(rest)[0]["seq"] == snapshot["seq"] + 1
    assert snapshot["answer"] + answer_of(rest) == "".join(tokens)


async def test_sigterm_lets_a_run_end_and_closes_sockets_with_1012(start: Start, model: ModelServer) -> None:
    gate = model.gate()
    model.tokens(TOKENS, gate=gate)
    service = await start(SHUTDOWN_GRACE_SECONDS=20)
    async with service.socket() as idle, service.socket() as busy, service.client() as client:
        await idle.hello()
        await busy.hello()
        await busy.send(type="question", question=QUESTION)
        await busy.until(type="metadata")
        service.terminate()
        with pytest.raises(websockets.ConnectionClosed) as closed:
            await idle.next()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1012
        assert (await client.get("/health/ready")).status_code == 503
        refused = await client.post("/ask", json={"question": QUESTION})
        assert (refused.status_code, refused.json()["type"]) == (503, "shutting_down")
        gate.open()
        assert answer_of(await busy.until(status="ready")) == "".join(TOKENS)
        with pytest.raises(websockets.ConnectionClosed) as closed:
            await busy.next()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1012
    assert await service.stop() == 0


async def test_a_run_that_outlives_the_grace_ends_with_an_error_and_its_text(start: Start, model: ModelServer) -> None:
    model.hang(TOKENS[:3])
    service = await start(SHUTDOWN_GRACE_SECONDS=0.2)
    async with service.socket() as socket:
        await socket.hello()
        await socket.send(type="question", question=QUESTION)
        await socket.until(type="word")
        service.terminate()
        last = (await socket.until(type="error"))[-1]
    assert (last["code"], last["retryable"], last["answer"]) == ("shutting_down", True, "".join(TOKENS[:3]))
    assert await service.stop() == 0
