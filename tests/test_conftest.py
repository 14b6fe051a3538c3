"""The order in which the files of tests are begun, and the mark of those that need the built book."""

from pathlib import Path

import pytest
from conftest import pytest_collection_modifyitems


class Item:
    def __init__(self, name: str, *marks: str) -> None:
        self.path, self.name, self.marks = Path(name.split("::")[0]), name, marks
        self.nodeid, self.fixturenames = name, ["root"]

    def get_closest_marker(self, name: str) -> str | None:
        return name if name in self.marks else None


def test_slow_files_are_begun_first_then_those_of_many_tests_and_a_file_keeps_its_order():
    items = [Item("a::1"), Item("b::2"), Item("b::1"), Item("z::1", "slow"), Item("a::2"), Item("a::0"), Item("z::0")]
    pytest_collection_modifyitems(items)
    assert [item.name for item in items] == ["z::1", "z::0", "a::1", "a::2", "a::0", "b::2", "b::1"]


def test_a_test_of_the_built_book_is_marked_so():
    marked, unmarked = Item("a::1", "book"), Item("a::2")
    marked.fixturenames.append("built_book")
    pytest_collection_modifyitems([marked, unmarked])
    unmarked.fixturenames.append("built_book")
    with pytest.raises(pytest.UsageError, match="a::2 needs the built book: mark it so"):
        pytest_collection_modifyitems([marked, unmarked])
