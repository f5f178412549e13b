"""Who is let in at a WebSocket, for how long, and what they may read there."""

import json
from uuid import uuid4

import pytest
from sqlalchemy.exc import OperationalError

from backend.schemas import frames
from backend.socket_auth import check_credentials, shown_in, subprotocol
from services.principals import Principal
from tests.backend.socket_rooms import ADDRESS, QUESTION, Client, Headers, Service, answered, asked


@pytest.fixture
def service() -> Service:
    return Service()


@pytest.fixture
def closed() -> Service:
    return Service(required=True)


@pytest.mark.parametrize(
    ("offered", "selected"),
    [
        ([], None),
        (["chat", "soap"], None),
        (["askgraph"], "askgraph"),
        (["bearer.abc", "askgraph"], "askgraph"),
        (["askgraph", "bearer", "abc"], "askgraph"),
        (["bearer", "abc"], "bearer"),
        (["chat", "bearer.abc"], "bearer.abc"),
        (["bearers"], None),
        (["Bearer"], None),
    ],
)
def test_one_of_our_subprotocols_is_selected_and_no_other(offered: list[str], selected: str | None) -> None:
    assert subprotocol(offered) == selected


@pytest.mark.parametrize(
    ("offered", "headers", "shown"),
    [
        (["askgraph"], [], []),
        (["chat", "soap"], [], []),
        (["askgraph", "bearer.a.b.c"], [], ["a.b.c"]),
        (["bearer", "a.b.c"], [], ["a.b.c"]),
        (["bearer", "askgraph", "a.b.c"], [], ["a.b.c"]),
        (["bearer"], [], [""]),
        (["bearer."], [], [""]),
        ([], [("Authorization", "Bearer abc")], ["abc"]),
        ([], [("X-API-Key", "ask_1")], ["ask_1"]),
        (["bearer.abc"], [("Authorization", "Bearer abc")], ["abc", "abc"]),
    ],
)
def test_a_handshake_shows_a_token_by_header_or_by_subprotocol(
    offered: list[str], headers: Headers, shown: list[str], service: Service
) -> None:
    assert shown_in(service.scope(headers, *offered)) == shown


@pytest.mark.parametrize(
    ("offered", "headers"),
    [
        (("askgraph", "bearer.alice"), []),
        (("bearer", "alice"), []),
        ((), [("Authorization", "Bearer alice")]),
    ],
)
async def test_who_shows_a_good_token_asks_under_their_name(
    service: Service, offered: tuple[str, ...], headers: Headers
) -> None:
    async with service.connect(*offered, headers=headers) as client:
        session_id = (await client.next())["details"]["session_id"]
        await asked(client)
    (ask,) = service.runner.asks
    assert (ask.owner, ask.caller, ask.session_id, ask.fresh) == ("u-alice", "user:u-alice", session_id, True)
    assert [(await service.limit.look(key)).remaining for key in ("user:u-alice", ADDRESS)] == [99, 100]


async def test_a_key_will_do_as_well(service: Service) -> None:
    async with service.connect(headers=[("X-API-Key", "ask_bob")]) as client:
        await client.next()
        await asked(client)
    assert service.runner.asks[0].owner == "u-bob"


async def test_who_shows_nothing_is_anonymous_and_nobody_is_asked(service: Service) -> None:
    async with service.connect("chat") as client:
        await client.next()
        await asked(client)
    assert client.sent[0]["subprotocol"] is None
    assert (service.runner.asks[0].owner, service.runner.asks[0].caller) == (None, ADDRESS)
    assert service.accounts.asked == []


@pytest.mark.parametrize("echo", [False, True])
@pytest.mark.parametrize(
    ("offered", "headers"),
    [
        (("askgraph", "bearer.canary"), []),
        (("bearer",), []),
        (("bearer.alice", "bearer.again"), []),
        (("bearer.alice",), [("Authorization", "Bearer again")]),
        ((), [("X-API-Key", "alice")]),
    ],
)
async def test_a_bad_token_in_the_handshake_is_told_in_a_frame_and_closed_with_4401(
    service: Service, offered: tuple[str, ...], headers: Headers, echo: bool
) -> None:
    async with service.connect(*offered, headers=headers, echo=echo) as client:
        await answered(client, "unauthorized")
        assert await client.closed() == 4401
    assert (await service.limit.look(ADDRESS)).remaining == 99
    assert "canary" not in str(client.sent)


async def test_a_handshake_while_the_database_does_not_answer_is_closed_with_1011(service: Service) -> None:
    service.accounts.failure = OperationalError("SELECT canary", {}, Exception())
    async with service.connect("bearer.alice") as client:
        await answered(client, "storage_unavailable")
        assert await client.closed() == 1011
    assert (await service.limit.look(ADDRESS)).remaining == 100


async def test_the_auth_frame_signs_in_and_says_until_when(service: Service) -> None:
    service.accounts.principals["alice"] = Principal("u-alice", False, "login:1", 4_000_000_000.0)
    async with service.connect() as client:
        await client.next()
        client.say(type="auth", token="alice")
        frame = await client.next()
        assert (frame["type"], frame["status"]) == ("status", "authenticated")
        assert frame["details"] == {"user_id": "u-alice", "expires_at": "2096-10-02T07:06:40Z"}
        client.say(type="auth", token="ask_bob")
        assert (await client.next())["details"] == {"user_id": "u-bob", "expires_at": None}


@pytest.mark.parametrize("before", [(), ("bearer.alice",)])
@pytest.mark.parametrize("token", ["canary", "", "a\0b", "ask_\u00e9", "x" * 5000])
async def test_a_bad_auth_frame_is_told_and_closed_with_4401_whoever_it_was_before(
    service: Service, token: str, before: tuple[str, ...]
) -> None:
    async with service.connect(*before) as client:
        await client.next()
        client.say(type="auth", token=token)
        client.say(type="ping")
        await answered(client, "unauthorized")
        assert await client.closed() == 4401
    assert client.sent[-1]["type"] == "websocket.close"
    assert (await service.limit.look(ADDRESS)).remaining == 99


async def test_an_auth_frame_while_the_database_does_not_answer_keeps_the_connection(service: Service) -> None:
    async with service.signed_in() as client:
        service.accounts.failure = ConnectionRefusedError()
        client.say(type="auth", token="again")
        await answered(client, "storage_unavailable")
        service.accounts.failure = None
        await asked(client)
    assert service.runner.asks[0].owner == "u-alice"


async def test_a_question_that_finds_no_database_is_told_and_the_connection_kept(service: Service) -> None:
    async with service.signed_in() as client:
        service.runner.failure = OperationalError("SELECT canary", {}, Exception())
        client.say(type="question", question=QUESTION)
        frame = await client.next()
        assert (frame["code"], frame["retryable"]) == ("storage_unavailable", True)
        assert "canary" not in str(frame)
        service.runner.failure = None
        await asked(client)


async def test_where_sign_in_is_required_a_stranger_may_only_sign_in(closed: Service) -> None:
    async with closed.connect() as client:
        await client.next()
        for kind in ("question", "attach", "cancel", "pause", "resume", "nonsense"):
            client.say(type=kind, question=QUESTION, run_id="x")
            await answered(client, "unauthorized")
        client.say(type="heartbeat_response")
        client.say(type="ping")
        assert (await client.next())["type"] == "pong"
        client.say(type="auth", token="alice")
        assert (await client.next())["status"] == "authenticated"
        await asked(client)
    assert [ask.owner for ask in closed.runner.asks] == ["u-alice"]


async def test_where_sign_in_is_required_a_stranger_has_so_long_for_it(closed: Service) -> None:
    async with closed.connect(sign_in_seconds=0.05) as late:
        assert await late.closed() == 4401
    async with closed.connect(sign_in_seconds=0.2) as client, closed.connect(sign_in_seconds=0.3) as other:
        await client.next()
        client.say(type="auth", token="alice")
        assert (await client.next())["status"] == "authenticated"
        assert await other.closed() == 4401
        client.say(type="ping")
        assert (await client.next())["type"] == "pong"


@pytest.mark.parametrize(("offered", "code"), [((), 4401), (("bearer.alice",), None)])
async def test_where_sign_in_is_required_the_echo_needs_it_in_the_handshake(
    closed: Service, offered: tuple[str, ...], code: int | None
) -> None:
    async with closed.connect(*offered, echo=True) as client:
        if code is not None:
            assert await client.closed() == code
        else:
            client.say(hello=1)
            assert (await client.next())["type"] == "echo"


async def test_a_token_that_runs_out_ends_the_connection_and_a_new_one_moves_that_on(service: Service) -> None:
    async with service.signed_in("brief") as client, service.signed_in("brief") as other:
        client.say(type="auth", token="alice")
        assert (await client.next())["status"] == "authenticated"
        assert await other.closed() == 4401
        run_id = await asked(client)
        service.runner.say(run_id, "on")
        assert (await client.next())["content"] == "on"


async def test_a_revoked_credential_ends_its_connections_at_once_and_no_frame_follows(service: Service) -> None:
    async with service.signed_in() as client, service.signed_in("again") as other:
        run_id = await asked(client)
        service.accounts.end("alice")
        service.runner.say(run_id, "secret", last=True)
        assert await client.closed() == 4401
        assert "secret" not in str(client.sent)
        assert client.sent[-1]["type"] == "websocket.close"
        other.say(type="attach", run_id=run_id, after=1)
        assert (await other.next())["content"] == "secret"


async def test_what_ended_in_another_process_is_found_with_one_question_for_all(service: Service) -> None:
    async with service.signed_in() as one, service.signed_in() as two, service.signed_in("ask_bob") as other:
        service.accounts.end("alice", here=False)
        await check_credentials(service.websockets, service.accounts)
        assert [await one.closed(), await two.closed()] == [4401, 4401]
        other.say(type="ping")
        assert (await other.next())["type"] == "pong"
    assert service.accounts.checks == [{"login:1", "key:1"}]
    assert service.websockets.credentials() == set()
    await check_credentials(service.websockets, service.accounts)
    assert len(service.accounts.checks) == 1  # nobody is there: nothing is asked


async def test_a_check_that_fails_closes_nothing(service: Service) -> None:
    async with service.signed_in() as client:
        service.accounts.end("alice", here=False)
        service.accounts.failure = OperationalError("SELECT", {}, Exception())
        await check_credentials(service.websockets, service.accounts)
        client.say(type="ping")
        assert (await client.next())["type"] == "pong"


async def test_another_user_on_the_same_socket_reads_on_only_what_is_theirs_to_read(service: Service) -> None:
    async with service.connect() as client:
        await client.next()
        open_run = await asked(client)
        client.say(type="auth", token="alice")
        await client.next()
        hers = await asked(client)
        client.say(type="pause")
        await client.next()
        held = await asked_silently(client, service)
        client.say(type="auth", token="again")  # the same user
        await client.next()
        client.say(type="resume")
        assert (await client.next())["run_id"] == held
        client.say(type="auth", token="ask_bob")
        await client.next()
        for run_id in (hers, held, open_run):
            service.runner.say(run_id, "more")
        frame = await client.next()
        assert (frame["run_id"], frame["content"]) == (open_run, "more")
        for kind in ("attach", "cancel"):
            client.say(type=kind, run_id=hers)
            await answered(client, "not_found")
        client.say(type="cancel")
        client.say(type="ping")
        assert (await client.next())["type"] == "pong"
    assert service.runner.cancelled == [open_run]


async def asked_silently(client: Client, service: Service) -> str:
    """Ask on a paused connection, and return the run's id."""
    begun = len(service.runner.asks)
    client.say(type="question", question=QUESTION)
    client.say(type="ping")
    assert (await client.next())["type"] == "pong"
    assert len(service.runner.asks) == begun + 1
    return service.runner.runs[-1]


async def test_another_user_does_not_go_on_in_a_session_that_is_somebody_elses(service: Service) -> None:
    async with service.connect() as client:
        session_id = (await client.next())["details"]["session_id"]
        for token in (None, "alice", "again", "ask_bob", "alice"):
            if token is not None:
                client.say(type="auth", token=token)
                await client.next()
            await asked(client)
    sessions = [ask.session_id for ask in service.runner.asks]
    assert sessions[:3] == [session_id] * 3  # what was nobody's may be gone on with
    assert len(set(sessions)) == 3
    assert [ask.fresh for ask in service.runner.asks] == [True, False, False, True, True]


async def test_only_the_sockets_own_unused_session_is_fresh(service: Service) -> None:
    async with service.connect() as client:
        own = (await client.next())["details"]["session_id"]
        other = str(uuid4())
        await asked(client, session_id=other)
        await asked(client)
        await asked(client)
        await asked(client, session_id=own)
    assert [ask.fresh for ask in service.runner.asks] == [False, True, False, False]
    async with service.connect() as client:
        own = (await client.next())["details"]["session_id"]
        await asked(client, session_id=own)
        await asked(client)
    assert [ask.fresh for ask in service.runner.asks[4:]] == [False, False]


def test_the_frame_that_says_who_signed_in_fits_the_schema() -> None:
    frame = json.loads(frames.authenticated(Principal("u", False, "login:1", 1.5)))
    assert frames.ConnectionStatus.model_validate(frame).details == {
        "user_id": "u", "expires_at": "1970-01-01T00:00:01.500000Z",
    }  # fmt: skip
