"""A file is found where pip would look for it: configuration, environment, indexes in HTML and JSON, folders."""

import os

import pytest
from small_registry import PROJECT, WHEEL_NAME, Registry, running

from companion.data import package_index
from companion.data.package_index import Finder, PipSettings, pip_settings


@pytest.fixture
def registry():
    with running(Registry()) as made:
        yield made


def found(finder, project=PROJECT, name=WHEEL_NAME):
    return list(finder.addresses(project, name))


def test_pip_s_own_configuration_and_environment_are_read(tmp_path, monkeypatch):
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    config = tmp_path / "pip.conf"
    lines = ["[global]", "index-url = https://mirror.example/simple", "timeout = 7", "[download]", "cert = own.pem"]
    config.write_text("\n".join([*lines, "extra-index-url =", "  https://one.example/", "  https://two.example/"]))
    monkeypatch.setenv("PIP_CONFIG_FILE", str(config))
    monkeypatch.setenv("PIP_FIND_LINKS", "wheels more")
    monkeypatch.setenv("PIP_TIMEOUT", "3")
    assert pip_settings() == PipSettings(
        indexes=("https://mirror.example/simple", "https://one.example/", "https://two.example/"),
        find_links=("wheels", "more"),
        certificate="own.pem",
        timeout=3,
    )


def test_where_nothing_is_configured_pip_s_own_default_is_asked(monkeypatch):
    monkeypatch.setattr(package_index, "_configuration", dict)
    monkeypatch.delenv("PIP_INDEX_URL", raising=False)
    (index,) = pip_settings({}).indexes
    assert index.startswith("https://")
    assert index.endswith("/simple")


def test_without_an_index_only_links_are_followed(monkeypatch):
    monkeypatch.setattr(package_index, "_configuration", dict)
    settings = pip_settings({"PIP_NO_INDEX": "1", "PIP_EXTRA_INDEX_URL": "https://one.example", "PIP_FIND_LINKS": "x"})
    assert settings == PipSettings((), ("x",))


def test_without_pip_the_environment_still_counts(monkeypatch):
    monkeypatch.setattr(package_index, "_pip", lambda *_: "")
    assert pip_settings({"PIP_INDEX_URL": "https://mirror.example"}).indexes == ("https://mirror.example",)
    assert pip_settings({}).indexes == ()


@pytest.mark.parametrize("as_json", [False, True], ids=["HTML", "JSON"])
def test_an_index_gives_the_address_of_a_file(registry, as_json):
    registry.add(as_json=as_json)
    finder = Finder(PipSettings((f"{registry.url}/simple/",)))
    assert found(finder) == [f"{registry.url}/files/{WHEEL_NAME}"]


def test_the_project_s_name_is_normalised(registry):
    registry.add()
    found(Finder(PipSettings((f"{registry.url}/simple",))), "Tiny..Model")
    assert registry.asked[0][0] == "/simple/tiny-model/"


def test_the_next_place_is_asked_when_one_lacks_the_file(registry):
    registry.add(name="tiny_model-2.0-py3-none-any.whl")
    registry.files["/more/tiny-model/"] = f'<a href="{registry.url}/{WHEEL_NAME}">'.encode()
    registry.kinds["/more/tiny-model/"] = "text/html"
    finder = Finder(PipSettings((f"{registry.url}/simple", f"{registry.url}/more")))
    assert found(finder) == [f"{registry.url}/{WHEEL_NAME}"]
    assert finder.tried == [f"{registry.url}/simple/tiny-model/ has no {WHEEL_NAME}"]


def test_a_place_out_of_reach_is_remembered_and_passed_over(tmp_path):
    (tmp_path / WHEEL_NAME).write_bytes(b"")
    finder = Finder(PipSettings(("http://127.0.0.1:9/simple",), (str(tmp_path),)))
    assert found(finder) == [(tmp_path / WHEEL_NAME).as_uri()]
    assert finder.tried[0].startswith("http://127.0.0.1:9/simple/tiny-model/: ")


def test_a_folder_can_be_an_index(tmp_path):
    page = tmp_path / "simple" / "tiny-model"
    page.mkdir(parents=True)
    (page / "index.html").write_text(f'<a href="{WHEEL_NAME}#sha256=0">wheel</a>')
    finder = Finder(PipSettings(((tmp_path / "simple").as_uri(), str(tmp_path / "simple"))))
    assert found(finder) == [(page / WHEEL_NAME).as_uri()] * 2


def test_a_password_reaches_the_index_and_its_files_and_no_message(registry):
    registry.add()
    private = registry.url.replace("://", "://me:secret@")
    finder = Finder(PipSettings((f"{private}/simple", f"{private}/other")))
    assert found(finder) == [f"{private}/files/{WHEEL_NAME}"]
    assert registry.asked[0][2] == "Basic bWU6c2VjcmV0"
    assert "secret" not in " ".join(finder.tried)


def test_a_password_is_not_passed_to_another_host(registry):
    registry.files["/simple/tiny-model/"] = f'<a href="https://files.example/{WHEEL_NAME}">'.encode()
    registry.kinds["/simple/tiny-model/"] = "text/html"
    finder = Finder(PipSettings((registry.url.replace("://", "://me:secret@") + "/simple",)))
    assert found(finder) == [f"https://files.example/{WHEEL_NAME}"]


@pytest.mark.parametrize("page", [b"[]", b'{"files": 1}', b"{"])
def test_a_page_that_is_no_index_is_passed_over(registry, page):
    registry.files["/simple/tiny-model/"] = page
    registry.kinds["/simple/tiny-model/"] = "application/vnd.pypi.simple.v1+json"
    finder = Finder(PipSettings((f"{registry.url}/simple",)))
    assert found(finder) == []
    assert len(finder.tried) == 1


def test_a_page_without_end_is_not_read(registry, monkeypatch):
    monkeypatch.setattr(package_index, "PAGE_LIMIT", 10)
    registry.add()
    finder = Finder(PipSettings((f"{registry.url}/simple",)))
    assert found(finder) == []
    assert "longer than 10 bytes" in finder.tried[0]
