"""A LangChain chat model by the name of its class. Whatever is wrong with it is told in a line, before the start."""

import importlib
import re
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel

_INSTALL = re.compile(r"pip install (?:-[-a-zA-Z]{1,16} )?[A-Za-z0-9][\w.-]{0,63}")
_VARIABLE = re.compile(r"\b[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)*_(?:KEY|TOKEN|SECRET|ID|URL|BASE|HOST|ENDPOINT)\b")


class NoChatModel(ValueError):
    """The class that the settings name cannot be had; the message is a line for who runs the service, no value in it
    but the class's name.
    """


def load_chat_model(path: str, **options: Any) -> "BaseChatModel":
    """The chat model of a class named as `package.module:Class`, made with those `options` that it has a field for.
    Blocks while it imports.

    Raises:
        NoChatModel: there is no such class, or it is no chat model, or it lacks something; it says what to install.
    """
    from langchain_core.language_models import BaseChatModel

    module, _, name = path.partition(":")
    try:
        found = getattr(importlib.import_module(module), name)
    except ImportError as fault:
        raise NoChatModel(_not_installed(path, fault)) from fault
    except (AttributeError, ValueError) as fault:
        raise NoChatModel("a chat model is named as package.module:Class, of an installed package") from fault
    if not (isinstance(found, type) and issubclass(found, BaseChatModel)):
        raise NoChatModel(f"{path} is no LangChain chat model")
    try:
        return found(**known_fields(found, options))
    except ImportError as fault:  # many integrations look for their vendor's package only now
        raise NoChatModel(_not_installed(path, fault)) from fault
    except Exception as fault:  # noqa: BLE001  each class has checks of its own, and its words may repeat a key
        raise NoChatModel(f"the chat model {path} cannot be made: {_complaint(fault)}") from None


def _not_installed(path: str, fault: ImportError) -> str:
    """What to install: the top of what was looked for is the package, in most cases by that very name."""
    missing = (fault.name or "").partition(".")[0]
    if not isinstance(fault, ModuleNotFoundError) or not missing:
        wanted = _INSTALL.search(str(fault))  # integrations' own words: "Please install it with `pip install x`"
        if wanted is None:
            return f"the chat model {path} cannot be imported: {type(fault).__name__}"
        return f"the chat model {path} needs a package that is not installed. Install it: {wanted.group()}"
    package = missing.replace("_", "-")
    return f"the chat model {path} needs {missing}, which is not installed. Install it: pip install {package}"


def _complaint(fault: Exception) -> str:
    """The fields that a class does not take, or wants; or else the error's kind. Neither has values in it."""
    try:
        problems = [error for error in cast("Any", fault).errors(include_input=False, include_url=False)]
    except (AttributeError, TypeError):
        return type(fault).__name__
    fields = {".".join(str(part) for part in error["loc"]) for error in problems}
    wanted = {found.group() for error in problems for found in _VARIABLE.finditer(str(error["msg"]))}
    named = sorted(name for name in fields | wanted if name)
    return f"look at {', '.join(named)}" if named else type(fault).__name__


def known_fields(model: type["BaseChatModel"], options: dict[str, Any]) -> dict[str, Any]:
    """Those options that the class has a field for, under its own name or another."""
    names = {name for field, about in model.model_fields.items() for name in (field, about.alias)}
    return {option: value for option, value in options.items() if option in names}
