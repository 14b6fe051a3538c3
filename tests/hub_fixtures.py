"""Tiny copies of the hub's datasets and a small checkpoint, as fixtures; imports wait until a test asks for one."""

import pytest


@pytest.fixture(scope="module")
def offline(tmp_path_factory):
    """No test asks the network, and the cache is empty at first."""
    from hub_copies import without_network

    with without_network(tmp_path_factory.mktemp("cache")):
        yield


@pytest.fixture
def sst2(tmp_path):
    from hub_copies import SST2_CARD, reviews, write

    return write(tmp_path / "sst2", reviews(), SST2_CARD)


@pytest.fixture
def conll(tmp_path):
    from hub_copies import CONLL_CARD, news, write

    return write(tmp_path / "conll2003", news(), CONLL_CARD)


@pytest.fixture
def bert(tmp_path):
    from hub_runs import write_bert

    return write_bert(tmp_path / "bert-tiny")


@pytest.fixture(scope="module")
def school(tmp_path_factory, offline):
    from hub_runs import fine_tuned

    return fine_tuned(tmp_path_factory.mktemp("school"))
