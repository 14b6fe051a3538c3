"""A model is evaluated for a while, and each of its parts goes on as it was."""

import pytest
from small_models import tiny_gpt

from companion.nn.modes import evaluating


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("fails", [True, False])
def test_each_part_has_its_own_mode_again(whole, fails):
    model = tiny_gpt().train(whole)
    model.blocks[0].train(not whole)
    before = [part.training for part in model.modules()]
    assert len(set(before)) == 2
    try:
        with evaluating(model):
            assert not any(part.training for part in model.modules())
            if fails:
                raise KeyError
    except KeyError:
        assert fails
    assert [part.training for part in model.modules()] == before
