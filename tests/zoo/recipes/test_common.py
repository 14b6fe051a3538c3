"""What all recipes of the zoo do alike."""

import pytest
import torch

from companion.models.gpt import GPT, GPTConfig
from companion.training.run_state import History
from companion.zoo.recipes.common import begin, facts, finish


def test_an_unknown_recipe_is_refused_before_anything_is_made(tmp_path):
    with pytest.raises(ValueError, match="there is no recipe 'no'; choose from yes, perhaps"):
        begin("no", {"yes": 1, "perhaps": 2}, tmp_path / "run", threads=1)
    assert not (tmp_path / "run").exists()


def test_a_known_recipe_is_returned_with_its_folder_made(tmp_path):
    assert begin("yes", {"yes": 1}, tmp_path / "runs" / "yes", threads=torch.get_num_threads()) == 1
    assert (tmp_path / "runs" / "yes").is_dir()


def test_the_card_is_written_last_and_states_what_was_written(tmp_path):
    model = GPT(GPTConfig(vocab_size=7, context_length=5, n_layers=1, n_heads=2, d_model=4))
    history = History(cpu_seconds=120.0)
    finish(model, tmp_path, lambda: facts(model, tmp_path, history)["parameters"])
    count = sum(parameter.numel() for parameter in model.parameters())
    assert (tmp_path / "README.md").read_text() == f"{count:,}"
    assert facts(model, tmp_path, history)["minutes"] == "2"
    written = GPT.from_pretrained(tmp_path).state_dict()
    for name, tensor in model.state_dict().items():
        torch.testing.assert_close(written[name].float(), tensor.half().float(), rtol=0, atol=0)
