"""What several tests share."""

import gc
import os
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import settings

pytest_plugins = ["hub_fixtures"]

# Before torch is imported anywhere, and inherited by every kernel and build that a test starts.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["LLM_LIVE_OFFLINE"] = "1"  # no test downloads: `make test` fills the cache before


settings.register_profile("no clock", deadline=None)  # a busy machine is no fault
settings.load_profile("no clock")
gc.disable()  # to search thousands of tests for garbage while they are collected took a third of that time


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put files with slow tests first, and of the others those with many: what is begun last keeps one worker alone.

    A test that needs the built book and is not marked so is refused: `make check` would run it where there is no book.
    """
    for item in items:
        if "built_book" in getattr(item, "fixturenames", ()) and not item.get_closest_marker("book"):
            raise pytest.UsageError(f"{item.nodeid} needs the built book: mark it so")
    count = Counter(item.path for item in items)
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: (item.path not in slow, -count[item.path], item.path))


def pytest_collection_finish() -> None:
    """Search for garbage again, but not among the tests and the modules."""
    gc.freeze()
    gc.enable()


@pytest.fixture(scope="session")
def root() -> Path:
    """The root of the repository."""
    return Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def built_book(root: Path) -> Path:
    """The folder of the built pages; without them the test fails, it is never skipped."""
    pages = root / "_build" / "html"
    if not (pages / "index.html").exists():
        pytest.fail(f"there is no built book at {pages}: run `make book` first")
    return pages
