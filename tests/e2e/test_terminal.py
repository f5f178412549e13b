"""The terminal client as it is typed: in a pseudo-terminal and in a pipe, against the running service."""

import asyncio
import os
import re
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.e2e.conftest import scripted_model
from tests.e2e.cutter import cutter
from tests.e2e.people import signed_in
from tests.e2e.pseudo_terminal import ROOT, Terminal, terminal
from tests.e2e.service import Service, running
from tests.e2e.test_approvals import Place, script
from tests.model_server import ModelServer

pytestmark = pytest.mark.asyncio(loop_scope="module")
TOKENS = [f"word{n} " for n in range(30)]
TEXT = "".join(TOKENS).strip()
QUESTION = "What is a liquidation threshold?"
PASSWORD = "correct horse battery staple"


def chat(folder: Path, service: Service, *arguments: str, **environment: str) -> Any:
    return terminal(folder, "chat", "--url", service.url, *arguments, environment=environment)


async def account(service: Service, name: str) -> None:
    async with service.client() as client:
        body = {"username": name, "email": f"{name}@example.com", "password": PASSWORD}
        assert (await client.post("/api/v1/auth/register", json=body)).status_code == 201


async def key_of(service: Service) -> str:
    headers = await signed_in(service)
    async with service.client(headers=headers) as client:
        return str((await client.post("/api/v1/auth/api-keys", json={"name": "terminal"})).json()["key"])


async def test_a_question_is_answered_with_its_sources(shared: Service, scripted: ModelServer, tmp_path: Path) -> None:
    scripted.tokens(["A health factor *below* one ", "means liquidation. [1]\n\n", "- one\n", "- two\n"])
    async with chat(tmp_path, shared) as shown:
        answer = await shown.do("What does a health factor below one mean?")
        assert "A health factor below one means liquidation. [1]\n\n • one\n • two\n\n  [1] defi" in answer
        assert "· retrieve: " in answer
        assert "confidence " in answer
        assert "scripted" in answer
        passage = await shown.do("/sources 1")
        assert "⟦" in passage
        assert passage.index("⟦") < passage.index("⟧")
        assert "There is no source of that number" in await shown.do("/sources 77")
        shown.type("\x04")
        assert await shown.ended() == 0


async def test_words_are_seen_while_the_model_still_writes(
    shared: Service, scripted: ModelServer, tmp_path: Path
) -> None:
    gate = scripted.gate()
    scripted.tokens(TOKENS, gate=gate)
    async with chat(tmp_path, shared) as shown:
        await shown.prompt()
        shown.type(f"{QUESTION}\r")
        for n in (3, 7, 12):
            gate.release(n - (0 if n == 3 else {7: 3, 12: 7}[n]))
            text = await shown.see(TOKENS[n - 1].strip())
            assert TOKENS[n].strip() not in text
        gate.open()
        await shown.see("confidence")
        assert " ".join(shown.text.split()).count(TEXT) == 1
        assert shown.text.count("word0 ") == 1


@pytest.mark.slow
async def test_ctrl_c_stops_the_answer_and_the_next_question_works(
    shared: Service, scripted: ModelServer, tmp_path: Path
) -> None:
    scripted.hang(TOKENS[:5])
    scripted.reply("And on it goes.")
    async with chat(tmp_path, shared) as shown:
        await shown.prompt()
        shown.type(f"{QUESTION}\r")
        await shown.see("word4")
        await shown.press_ctrl_c()
        text = await shown.prompt(2)
        assert text.endswith("word0 word1 word2 word3 word4\nstopped\n\n>")
        assert "And on it goes." in await shown.do("And what comes next in it?")
        assert "* What is a liquidation threshold?" in await shown.do("/sessions")


@pytest.mark.slow
async def test_ctrl_c_twice_at_the_prompt_leaves(shared: Service, tmp_path: Path) -> None:
    async with chat(tmp_path, shared) as shown:
        await shown.prompt()
        await shown.press_ctrl_c()
        await shown.see("Ctrl-C again, or Ctrl-D, leaves.")
        await shown.do("/new")  # it does not count any more
        await shown.press_ctrl_c()
        await shown.see("Ctrl-C again", 2)
        await shown.prompt(4)
        await shown.press_ctrl_c()
        assert await shown.ended() == 0


async def test_an_answer_that_is_cut_is_there_whole_and_once(
    shared: Service, scripted: ModelServer, tmp_path: Path
) -> None:
    gate = scripted.gate()
    scripted.tokens(TOKENS, gate=gate)
    async with cutter(shared.port) as network, terminal(tmp_path, "chat", "--url", network.url) as shown:
        await shown.prompt()
        shown.type(f"{QUESTION}\r")
        for n in range(0, 24, 6):
            gate.release(6)
            await shown.see(f"word{n + 5}")
            network.refusing = n == 12
            network.cut()
            await shown.see("connection lost", 1 + n // 6)
            network.refusing = False
        gate.open()
        await shown.see("confidence")
        await shown.prompt(2)
    whole = " ".join(line for line in shown.text.splitlines() if line.startswith("word"))
    assert whole == TEXT


async def test_a_service_that_dies_in_the_midst_is_told_and_the_text_stays(
    tmp_path: Path, far_end: ModelServer, scripted: ModelServer
) -> None:
    scripted.hang(TOKENS[:5])
    settings = {**scripted_model(far_end), "RUN_ATTEMPTS": "1"}
    async with cutter(0) as network, running(tmp_path, settings) as service:
        network.target = service.port
        async with terminal(tmp_path, "chat", "--url", network.url) as shown:
            await shown.prompt()
            shown.type(f"{QUESTION}\r")
            await shown.see("word4")
            service.process.kill()
            async with running(tmp_path, settings) as second:
                network.target = second.port
                text = await shown.prompt(2)
    assert text.count("word0 word1 word2 word3 word4") == 1
    assert "connection lost" in text
    assert "The service stopped while it answered." in text


@pytest.mark.slow
async def test_a_file_is_uploaded_read_and_asked_about(shared: Service, scripted: ModelServer, tmp_path: Path) -> None:
    scripted.reply("Ms Okafor does. [1]")
    (tmp_path / "my rota.md").write_text("# Rota\n\nThe printer is looked after by Ms Okafor on Tuesdays.\n" * 50)
    async with chat(tmp_path, shared) as shown:
        assert "my rota.md can be asked about: " in await shown.do("/upload 'my rota.md'")
        assert "sending" in shown.raw
        assert "my rota.md" in await shown.do("/files")
        answer = await shown.do("Who looks after the printer?")
        assert "[1] my rota.md" in answer
        assert "⟦" in await shown.do("/sources 1")
        assert "There is no such file." in await shown.do("/upload nowhere.md")
        (tmp_path / "x.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(100))
        assert "can be asked about" not in await shown.do("/upload x.png")


async def test_a_user_signs_in_picks_a_session_and_signs_out(
    shared: Service, scripted: ModelServer, tmp_path: Path
) -> None:
    scripted.reply("It is a limit.")
    await account(shared, "ada.terminal")
    async with chat(tmp_path, shared, "--username", "ada.terminal") as shown:
        await shown.see("Password:")
        shown.type("wrong horse\r")
        await shown.see("Wrong user name or password.")
        await shown.see("Password:", 2)
        shown.type(f"{PASSWORD}\r")
        assert "as ada.terminal" in await shown.prompt()
        await shown.do(QUESTION)
        assert "It is called: Lending" in await shown.do("/rename Lending")
        await shown.do("/new")
        await shown.do("And what is it again?")
        listed = await shown.do("/sessions")
        assert "Lending" in listed
        assert "2 messages" in listed
        number = next(line for line in listed.splitlines() if "Lending" in line).split()[0]
        picked = await shown.do(f"/pick {number}")
        assert f"Lending\n> {QUESTION}\nIt is a limit." in picked
        assert "Lending" in await shown.do("/sessions lending")
        assert "bytes in chat.md" in await shown.do("/export chat.md")
        assert QUESTION in (tmp_path / "chat.md").read_text()
        assert "cannot be used" in await shown.do("/export chat.md")
        assert "signed out" in await shown.do("/logout")
        assert "There is none." in await shown.do("/sessions")
        assert PASSWORD not in shown.raw
        assert "wrong horse" not in shown.raw
        shown.type("/quit\r")
        assert await shown.ended() == 0


async def test_another_clients_session_is_gone_on_with_by_its_id(
    shared: Service, scripted: ModelServer, tmp_path: Path
) -> None:
    scripted.reply("It is a limit.")
    async with shared.client() as client:
        session = (await client.post("/v2/ask", json={"question": QUESTION})).json()["session_id"]
    async with chat(tmp_path, shared, "--session", session) as shown:
        await shown.do("And what is it again?")
        assert "… 2 messages before" in await shown.do(f"/pick {session}")
        assert "Say a number" in await shown.do("/pick 99")


async def test_models_and_agents_are_chosen_by_name(shared: Service, scripted: ModelServer, tmp_path: Path) -> None:
    scripted.reply("Yes.")
    key = await key_of(shared)
    async with shared.client(headers={"X-API-Key": key}) as client:
        made = await client.post("/api/v1/agents", json={"name": "Lending desk", "prompt": "Be brief."})
        assert made.status_code == 201
    async with chat(tmp_path, shared, ASKGRAPH_API_KEY=key) as shown:
        assert "openai/scripted" in await shown.do("/model")
        await shown.do("/model nonsense/model")
        assert "may not be chosen" in await shown.do(QUESTION)
        await shown.do("/model extractive")
        await shown.do("/model default")
        assert "Yes." in await shown.do(QUESTION)
        assert "Lending desk" in await shown.do("/agent")
        assert "A new session with Lending desk." in await shown.do("/agent lending DESK")
        assert "Yes." in await shown.do(QUESTION)
        assert "no agent of that name" in await shown.do("/agent nobody")
    asked = [request.body["messages"][0]["content"] for request in scripted.requests]
    assert any("Be brief." in system for system in asked)


async def test_hostile_names_and_answers_are_text(shared: Service, scripted: ModelServer, tmp_path: Path) -> None:
    hostile = "\x1b]0;owned\x07\x1b[2J\u202ex"
    scripted.reply(f"Look: {hostile} [a](javascript:alert(1))\n\n```\n{hostile}\n```\n")
    key = await key_of(shared)
    async with shared.client(headers={"X-API-Key": key}) as client:
        await client.post("/api/v1/chats", json={"title": hostile})
    async with chat(tmp_path, shared, ASKGRAPH_API_KEY=key) as shown:
        await shown.do(QUESTION)
        await shown.do("/sessions")
        await shown.see("owned", 3)
        for sequence in ("\x1b]0;owned", "\x1b[2J", "\u202e"):
            assert sequence not in shown.raw


async def test_a_tool_that_asks_first_is_allowed_by_y_and_by_nothing_else(
    scripted: ModelServer, tmp_path: Path
) -> None:
    place = Place(tmp_path, scripted)
    async with place.service() as service, chat(tmp_path, service) as shown:
        await service.logged("mcp server connected")
        for times, (typed, written) in enumerate((("n", []), ("", []), ("y", ["buy milk"])), 1):
            script(scripted)
            before = await shown.prompt()
            shown.type("Write a note: buy milk.\r")
            await shown.see("May it? [y/N]", times)
            shown.type(f"{typed}\r")
            await shown.prompt(before.count("\n>") + 1)
            assert place.written == written
        assert shown.text.count("notes__write") >= 3
        assert shown.text.count("It is done.") == 3


async def test_no_colour_is_shown_where_none_is_wanted(shared: Service, scripted: ModelServer, tmp_path: Path) -> None:
    coloured = re.compile(r"\x1b\[[0-9;]*\b(?:3[0-9]|4[0-9]|9[0-9])m")
    for environment, wanted in (({}, True), ({"NO_COLOR": "1"}, False)):
        scripted.reply("```python\nx = 1\n```\n")
        async with chat(tmp_path, shared, **environment) as shown:
            await shown.do(QUESTION)
            await shown.do("/nonsense")
            assert bool(coloured.search(shown.raw)) is wanted


async def piped(folder: Path, text: str, *arguments: str, **environment: str) -> tuple[int | None, str, str]:
    covered = {name: value for name, value in os.environ.items() if name.startswith("COV")}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "backend.cli", "chat", *arguments, cwd=folder, stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "LANG": "C.UTF-8", **covered, **environment},
    )  # fmt: skip
    out, err = await asyncio.wait_for(process.communicate(text.encode()), 30)
    return process.returncode, out.decode(), err.decode()


async def test_a_pipe_gets_the_plain_answer(shared: Service, scripted: ModelServer, tmp_path: Path) -> None:
    scripted.tokens(["A **health** factor \x1b[31m", "below one. [1]"])
    status, out, err = await piped(tmp_path, "What does a health factor below one mean?\n", "--url", shared.url)
    assert (status, err) == (0, "")
    assert out.startswith("A **health** factor ␛[31mbelow one. [1]\n\n[1] defi")
    assert "\x1b" not in out


async def test_a_pipe_tells_errors_on_stderr_by_its_status(
    shared: Service, scripted: ModelServer, tmp_path: Path
) -> None:
    assert await piped(tmp_path, "x", "--url", shared.url) == (
        1, "", "askgraph: question must have at least 3 characters.\n",
    )  # fmt: skip
    status, out, err = await piped(tmp_path, QUESTION, "--url", "http://127.0.0.1:1")
    assert (status, out) == (1, "")
    assert err.endswith("askgraph: http://127.0.0.1:1 does not answer.\n")


async def test_a_prompt_where_nothing_answers_is_one_line(tmp_path: Path) -> None:
    async with terminal(tmp_path, "chat", "--url", "http://127.0.0.1:1") as shown:
        assert await shown.ended() == 1
        assert shown.text == "askgraph: http://127.0.0.1:1 does not answer: ConnectError"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def closed(far_end: ModelServer, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Service]:
    """A service that lets in nobody whom it does not know."""
    settings = scripted_model(far_end) | {"AUTH_REQUIRED": "true"}
    async with running(tmp_path_factory.mktemp("closed"), settings) as service:
        yield service


async def sign_in(shown: Terminal, name: str) -> None:
    await shown.see("User name:")
    shown.type(f"{name}\r")
    await shown.see("Password:")
    shown.type(f"{PASSWORD}\r")


async def test_a_service_that_wants_a_login_asks_for_one(
    closed: Service, scripted: ModelServer, tmp_path: Path
) -> None:
    scripted.reply("It is a limit.")
    await account(closed, "grace")
    async with chat(tmp_path, closed) as shown:
        await shown.see("wants you to sign in")
        await sign_in(shown, "grace")
        await shown.prompt()
        assert "It is a limit." in await shown.do(QUESTION)
        await shown.do("/logout")
        shown.type(f"{QUESTION}\r")  # and asks again when it has to
        await shown.see("User name:", 2)
        shown.type("grace\r")
        await shown.see("Password:", 2)
        shown.type(f"{PASSWORD}\r")
        await shown.see("It is a limit.", 2)


async def test_a_login_that_ends_in_the_midst_of_an_answer_is_renewed_and_loses_nothing(
    closed: Service, scripted: ModelServer, tmp_path: Path
) -> None:
    gate = scripted.gate()
    scripted.tokens(TOKENS, gate=gate)
    await account(closed, "joan")
    async with chat(tmp_path, closed, "--username", "joan") as shown:
        await shown.see("Password:")
        shown.type(f"{PASSWORD}\r")
        await shown.prompt()
        shown.type(f"{QUESTION}\r")
        gate.release(10)
        await shown.see("word9")
        async with closed.client() as client:  # ends every other login
            login = {"username": "joan", "password": PASSWORD}
            token = (await client.post("/api/v1/auth/login", json=login)).json()["access_token"]
            new = {"old_password": PASSWORD, "new_password": f"{PASSWORD} 2"}
            headers = {"Authorization": f"Bearer {token}"}
            assert (await client.post("/api/v1/auth/change-password", json=new, headers=headers)).status_code == 200
        await shown.see("Password:", 2)
        shown.type(f"{PASSWORD} 2\r")
        gate.open()
        await shown.see("confidence")
    whole = " ".join(line for line in shown.text.splitlines() if line.startswith("word"))
    assert whole == TEXT


async def test_a_key_that_is_not_known_is_told(closed: Service, tmp_path: Path) -> None:
    async with chat(tmp_path, closed, ASKGRAPH_API_KEY="ask_nobody") as shown:
        assert await shown.ended() == 1
        assert shown.text == "askgraph: The service does not know that API key."
    status, out, err = await piped(tmp_path, QUESTION, "--url", closed.url)
    assert (status, out) == (1, "")
    assert "ASKGRAPH_API_KEY" in err
    key = await key_of(closed)
    status, out, _ = await piped(tmp_path, QUESTION, "--url", closed.url, ASKGRAPH_API_KEY=key)
    assert status == 0
