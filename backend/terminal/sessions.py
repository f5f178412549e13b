"""Conversations that are kept: a page of them, one of them, its name, and all of it as a file."""

import asyncio
from pathlib import Path
from uuid import UUID

from backend.terminal.citations import standing
from backend.terminal.conversation import Conversation
from backend.terminal.failures import Refused
from backend.terminal.fields import number_of, objects_of, text_of, whole_of
from backend.terminal.markdown import AnswerMarkdown
from backend.terminal.printable import one_line
from backend.terminal.screen import Screen
from backend.terminal.service import Service

PAGE_SIZE = 20
UNTITLED = "(no title)"


class Sessions:
    """`/pick N` means the number in the list that was shown last."""

    def __init__(self, service: Service, screen: Screen, conversation: Conversation) -> None:
        self._service = service
        self._screen = screen
        self._conversation = conversation
        self._listed: dict[int, str] = {}

    async def show(self, wanted: str) -> None:
        """A page, by its number, or what a word occurs in. Without a login: what was begun here."""
        if not self._service.signed_in:
            return self._show_own()
        page = int(wanted) if wanted.isascii() and wanted.isdigit() and wanted != "0" else 1
        query = {"q": wanted} if wanted and not wanted.isdigit() else {}
        answer = await self._service.json("GET", "/chats", params={"page": page, "page_size": PAGE_SIZE, **query})
        found = objects_of(answer, "items")
        first = (page - 1) * PAGE_SIZE + 1
        titles = {text_of(one, "id"): text_of(one, "title") or UNTITLED for one in found}
        about = [f"{whole_of(one, 'message_count')} messages, {_day(text_of(one, 'updated_at'))}" for one in found]
        self._list(titles, about, first)
        if (pages := whole_of(answer, "pages")) > page:
            self._screen.aside(f"page {page} of {pages}; /sessions {page + 1} shows the next")
        elif not found:
            self._screen.aside("There is none.")
        return None

    async def pick(self, wanted: str) -> None:
        session_id = self._listed.get(int(wanted)) if wanted.isascii() and wanted.isdigit() else _id(wanted)
        if session_id is None:
            raise Refused("Say a number that /sessions has shown, or a session's id.")
        chat = await self._service.json("GET", f"/chats/{session_id}")
        messages = await self._service.json("GET", f"/chats/{session_id}/messages")
        self._conversation.go_to(session_id)
        self._screen.say(text_of(chat, "title") or UNTITLED)
        said = objects_of(messages, "items")
        if len(said) > 2:
            self._screen.aside(f"… {len(said) - 2} messages before")
        for message in said[-2:]:
            if text_of(message, "role") == "user":
                self._screen.say(f"> {text_of(message, 'content')}")
                continue
            self._screen.show(AnswerMarkdown(text_of(message, "content")))
            self._conversation.citations = objects_of(message, "citations")
            if number_of(message, "confidence") is not None:
                self._screen.aside(standing({**message, "grounded": None}))

    async def rename(self, title: str) -> None:
        if not title:
            raise Refused("Say the new title: /rename Lending")
        await self._conversation.make_known(self._service)
        chat = await self._service.json("PATCH", f"/chats/{self._conversation.session_id}", json={"title": title})
        self._conversation.own[self._conversation.session_id] = text_of(chat, "title")
        self._screen.aside(f"It is called: {text_of(chat, 'title')}")

    async def export(self, name: str) -> None:
        """
        Raises:
            OSError: the file is there already, or cannot be written.
        """
        if not name:
            raise Refused("Say a file's name: /export lending.md, or .json")
        if not self._conversation.known:
            raise Refused("There is nothing here yet.")
        kind = "json" if name.endswith(".json") else "md"
        path_of = f"/chats/{self._conversation.session_id}/export"
        answer = await self._service.call("GET", path_of, params={"format": kind})
        await asyncio.to_thread(_write_new, name, answer.content)
        self._screen.aside(f"{len(answer.content)} bytes in {name}")

    def _show_own(self) -> None:
        own = self._conversation.own
        self._list({one: title or UNTITLED for one, title in own.items()}, list(own), 1)
        self._screen.aside(
            "Without a login the service lists none; these were begun here." if own else "There is none."
        )

    def _list(self, titles: dict[str, str], about: list[str], first: int) -> None:
        self._listed |= dict(enumerate(titles, first))
        here = self._conversation.session_id
        names = [
            f"{number:>3} {'*' if one == here else ' '} {one_line(title, 60)}"
            for number, (one, title) in enumerate(titles.items(), first)
        ]
        self._screen.rows(zip(names, about, strict=True))


def _write_new(name: str, data: bytes) -> None:
    with Path(name).expanduser().open("xb") as file:
        file.write(data)


def _id(text: str) -> str | None:
    try:
        return str(UUID(text))
    except ValueError:
        return None


def _day(time: str) -> str:
    return time[:16].replace("T", " ")
