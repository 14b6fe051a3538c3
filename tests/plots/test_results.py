"""What the benchmarks measured is found by its name."""

import pytest

from companion.plots import results


def test_a_table_tells_how_it_was_measured():
    table = results.benchmark_table("parity")
    assert table["command"] == "python tests/test_parity.py"
    assert set(table["versions"]) == {"torch", "transformers"}


def test_an_unknown_subject_is_answered_with_the_known_ones():
    with pytest.raises(ValueError, match="no results of 'weather'; choose from .*parity"):
        results.benchmark_table("weather")
