"""How questions are answered: by which model, and which agent."""

from backend.terminal.conversation import Conversation
from backend.terminal.failures import Refused
from backend.terminal.fields import objects_of, text_of
from backend.terminal.screen import Screen
from backend.terminal.service import Service


class Choices:
    def __init__(self, service: Service, screen: Screen, conversation: Conversation) -> None:
        self._service = service
        self._screen = screen
        self._conversation = conversation

    async def model(self, name: str) -> None:
        """Choose a model, or show those that the service's provider has. Whether it may be chosen is said with the
        next question."""
        if name:
            self._conversation.model = None if name == "default" else name
            return self._screen.aside(f"The model is: {name}")
        answer = await self._service.json("GET", "/models/list")
        mode = text_of(answer, "mode")
        models = [one for one in objects_of(answer, "models") if one.get("capability") == "chat"]
        self._screen.rows(
            (f"{mode}/{text_of(one, 'name')}", "default" if one.get("default") is True else "") for one in models
        )
        return self._screen.aside(
            f"Chosen: {self._conversation.model or 'default'}. /model NAME chooses, /model default takes it back."
        )

    async def agent(self, name: str) -> None:
        """Begin a session with an agent, or show those that there are."""
        agents = objects_of(await self._service.json("GET", "/agents"), "items")
        if not name:
            self._screen.rows((text_of(one, "name"), text_of(one, "description")) for one in agents)
            return self._screen.aside("/agent NAME begins a session with it." if agents else "There is none.")
        found = [one for one in agents if name.casefold() in (text_of(one, "name").casefold(), text_of(one, "id"))]
        if not found:
            raise Refused("There is no agent of that name; /agent shows them.")
        self._conversation.begin()
        await self._conversation.make_known(self._service, agent_id=text_of(found[0], "id"))
        return self._screen.aside(f"A new session with {text_of(found[0], 'name')}.")
