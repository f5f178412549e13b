"""The tree of errors: each kind is one word, and what may be tried again says so."""

import re
from collections.abc import Iterator

from infrastructure import errors
from infrastructure.error_handlers import KIND_OF_STATUS, STATUS_OF_KIND
from infrastructure.errors import AskGraphError


def tree(root: type[AskGraphError]) -> Iterator[type[AskGraphError]]:
    yield root
    for child in root.__subclasses__():
        if child.__module__ == errors.__name__:
            yield from tree(child)


def test_every_kind_is_a_stable_word() -> None:
    assert all(re.fullmatch(r"[a-z]+(_[a-z]+)*", error.kind) for error in tree(AskGraphError))


def test_the_tree_in_the_file_names_all_of_it() -> None:
    drawn = errors.__doc__ or ""
    assert all(error.__name__ in drawn for error in tree(AskGraphError))


def test_what_may_be_tried_again() -> None:
    again = {error.__name__ for error in tree(AskGraphError) if error.retryable}
    assert again == {
        "RateLimited",
        "ShuttingDown",
        "Interrupted",
        "StorageUnavailable",
        "ReadingInterrupted",
        "ProviderUnavailable",
        "ProviderProtocolError",
    }


def test_kinds_and_statuses_fit_together() -> None:
    assert all(STATUS_OF_KIND[kind] == status for status, kind in KIND_OF_STATUS.items() if kind != "unavailable")
