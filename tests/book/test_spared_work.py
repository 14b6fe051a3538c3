"""A build searches nothing for garbage while it reads and writes pages, and looks for a plug-in of citations once."""

import gc

import pybtex.plugin
import pytest
import spared_work
from pybtex.backends.plaintext import Backend
from small_sphinx import build, write

SEEN = """
import gc
states = []
def setup(app):
    for event in ("builder-inited", "source-read", "html-page-context"):
        app.connect(event, lambda *_, event=event: states.append((event, gc.isenabled())))
    app.connect("build-finished", lambda *_: print(sorted(set(states))), priority=100)
    return {"parallel_read_safe": True}
"""


def test_there_is_no_search_between_the_notebooks_and_the_last_page(tmp_path, monkeypatch, capfd):
    (tmp_path / "what_is_seen.py").write_text(SEEN, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    write(tmp_path, {"index.md": "# Book\n"}, ["spared_work", "what_is_seen"], [])
    build(tmp_path, tmp_path / "made")
    seen = "[('builder-inited', True), ('html-page-context', False), ('source-read', False)]"
    assert seen in capfd.readouterr().out
    assert gc.isenabled()


@pytest.mark.parametrize("name", spared_work.BACKENDS)
def test_a_plug_in_is_found_without_another_look_at_what_is_installed(tmp_path, monkeypatch, name):
    write(tmp_path, {"index.md": "# Book\n"}, ["spared_work"], [])
    installed = pybtex.plugin.find_plugin("pybtex.backends", name)
    build(tmp_path, tmp_path / "made")
    monkeypatch.setattr(pybtex.plugin, "entry_points", lambda **_: pytest.fail("looked again"))
    assert pybtex.plugin.find_plugin("pybtex.backends", name) is installed


def test_a_citation_in_plain_text_is_written_by_the_backend_of_that_name():
    assert pybtex.plugin.find_plugin("pybtex.backends", "plaintext") is Backend
