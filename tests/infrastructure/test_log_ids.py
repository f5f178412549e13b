"""Lines carry the ids of the request, socket or run that they belong to, for as long as it goes on."""

import asyncio

from infrastructure.log_ids import begin_ids, bind_ids, bind_run, continue_ids, current_ids


async def test_what_is_bound_deeper_inside_is_on_the_outer_lines_too() -> None:
    begin_ids(request_id="r1")

    async def inner() -> None:
        bind_ids(user_id="u1")

    await asyncio.create_task(inner())
    assert current_ids() == {"request_id": "r1", "user_id": "u1"}


async def test_a_task_that_outlives_its_request_says_its_ids_no_longer() -> None:
    ids, go_on = begin_ids(request_id="r1"), asyncio.Event()

    async def background() -> list[dict[str, str]]:
        seen = [dict(current_ids())]
        go_on.set()
        await over.wait()
        bind_ids(user_id="u1")  # it belongs to nothing any more
        return [*seen, dict(current_ids())]

    over = asyncio.Event()
    task = asyncio.create_task(background())
    await go_on.wait()
    ids.end()
    over.set()
    assert await task == [{"request_id": "r1"}, {}]
    assert current_ids() == {}


async def test_a_run_goes_on_with_its_requests_ids_when_the_request_is_over() -> None:
    request = begin_ids(request_id="r1")

    async def run() -> dict[str, str]:
        ids = continue_ids(run_id="run1", session_id=None)
        request.end()
        seen = dict(current_ids())
        ids.end()
        return seen | current_ids()

    assert await asyncio.create_task(run()) == {"request_id": "r1", "run_id": "run1"}
    assert current_ids() == {}


async def test_what_a_run_binds_is_not_its_requests() -> None:
    begin_ids(request_id="r1")

    async def run() -> None:
        continue_ids(run_id="run1")
        bind_ids(user_id="u1")

    await asyncio.create_task(run())
    assert current_ids() == {"request_id": "r1"}


async def test_a_request_names_its_run_and_a_socket_none() -> None:
    begin_ids(request_id="r1")
    bind_run("run1", None)
    assert current_ids() == {"request_id": "r1", "run_id": "run1"}
    begin_ids(many=True, request_id="r2")
    bind_run("run2", "s2")
    assert current_ids() == {"request_id": "r2"}
