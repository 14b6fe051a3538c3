"""The order in which the files of tests are begun."""

from pathlib import Path

from conftest import pytest_collection_modifyitems


class Item:
    def __init__(self, name: str, *marks: str) -> None:
        self.path, self.name, self.marks = Path(name.split("::")[0]), name, marks

    def get_closest_marker(self, name: str) -> str | None:
        return name if name in self.marks else None


def test_slow_files_are_begun_first_then_those_of_many_tests_and_a_file_keeps_its_order():
    items = [Item("a::1"), Item("b::2"), Item("b::1"), Item("z::1", "slow"), Item("a::2"), Item("a::0"), Item("z::0")]
    pytest_collection_modifyitems(items)
    assert [item.name for item in items] == ["z::1", "z::0", "a::1", "a::2", "a::0", "b::2", "b::1"]
