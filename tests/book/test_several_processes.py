"""Pages are divided among processes where that is safe, and are the same as when one process makes them."""

import re
from types import SimpleNamespace

import pytest
import several_processes
from small_sphinx import build, write

PAGES = {f"{name}.md": f"# Page {name}\n\nSee [the next](#next).\n\n(of-{name})=\n## Next\n" for name in "abcdefgh"}


def divided(monkeypatch, threads: str | None, platform: str = "linux", extensions: tuple[str, ...] = ()):
    monkeypatch.setattr(several_processes.sys, "platform", platform)
    if threads is None:
        monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    else:
        monkeypatch.setenv("OMP_NUM_THREADS", threads)
    monkeypatch.setattr(several_processes.os, "cpu_count", lambda: 3)
    known = {name: SimpleNamespace(parallel_read_safe=None) for name in extensions}
    app = SimpleNamespace(parallel=1, extensions=known)
    several_processes.divide(app, None)
    return app


@pytest.mark.parametrize(
    ("threads", "platform", "expected"),
    [("1", "linux", 3), ("2", "linux", 1), (None, "linux", 1), ("1", "darwin", 1), ("1", "win32", 1)],
)
def test_pages_are_divided_where_children_have_all_that_their_parent_has(monkeypatch, threads, platform, expected):
    assert divided(monkeypatch, threads, platform).parallel == expected


def test_what_numbers_sections_is_known_to_be_safe(monkeypatch):
    app = divided(monkeypatch, "1", extensions=("sphinx_multitoc_numbering", "other"))
    assert {name: one.parallel_read_safe for name, one in app.extensions.items()} == {
        "sphinx_multitoc_numbering": True,
        "other": None,
    }


def test_the_pages_are_the_same(tmp_path, monkeypatch):
    contents = "# Book\n\n```{toctree}\n" + "\n".join(sorted(name.removesuffix(".md") for name in PAGES)) + "\n```\n"
    write(tmp_path, {**PAGES, "index.md": contents}, ["several_processes"], [])
    made = []
    for threads in ("1", "2"):
        monkeypatch.setenv("OMP_NUM_THREADS", threads)
        warnings = build(tmp_path, tmp_path / threads)
        made.append({path.name: path.read_text() for path in sorted((tmp_path / threads / "html").glob("*.html"))})
        assert len(re.findall("'next'", warnings)) == len(PAGES)  # those of the children, too
    assert made[0] == made[1]
