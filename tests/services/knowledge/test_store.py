"""Records in memory."""

from services.knowledge.store import RecordStore
from tests.services.knowledge.corpus import chunk


def test_what_was_not_used_longest_goes_first() -> None:
    store = RecordStore(3500)
    store.put([chunk(1, "a.md", "one"), chunk(2, "a.md", "two"), chunk(3, "a.md", "three")])
    store.get([1])
    store.put([chunk(4, "a.md", "four")])
    assert sorted(store.get([1, 2, 3, 4])) == [1, 3, 4]


def test_removed_and_replaced_records_give_back_their_room() -> None:
    store = RecordStore(2500)
    for _ in range(5):
        store.put([chunk(1, "a.md", "one")])
    store.put([chunk(2, "a.md", "two")])
    assert sorted(store.get([1, 2])) == [1, 2]
    store.remove([1, 9])
    store.put([chunk(3, "a.md", "three")])
    assert sorted(store.get([1, 2, 3])) == [2, 3]
