"""The models of the pages are exported beside the notebooks; a build that cannot have them fails with the reason."""

import shutil
from pathlib import Path

import page_models
import pytest
from page_models import Exports
from sphinx.errors import ExtensionError


def test_a_failed_export_fails_the_build_and_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(page_models.sys, "executable", shutil.which("ls"))  # which is told to list an unknown model
    exports = Exports(tmp_path)
    with pytest.raises(ExtensionError, match=r"could not be exported \(exit code [12]\):\n.*storyworld"):
        exports.install(tmp_path / "zoo")


def test_what_is_exported_already_is_not_exported_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with monkeypatch.context() as patch:
        patch.setattr(page_models.sys, "executable", shutil.which("true"))
        first = Exports(tmp_path)
    assert first.process is not None
    assert first.process.wait() == 0
    for folder in first.folders.values():
        folder.mkdir(parents=True)
        (folder / "limits.json").write_text('{"files": []}')
    assert Exports(tmp_path).process is None
