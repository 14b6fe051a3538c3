"""Views of models of ``transformers``, with their own tokenizers."""

import numpy as np
import pytest
import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from companion import zoo
from companion.widgets import AttentionSteps, AttentionView, HeadLab, NextTokenView, ThroughTheLayers, TwoModels
from companion.widgets.of_transformers import TransformersTracer, readable, tracer

WORDS = ["Tom", "Anna", "is", "in", "the", "garden", "park", ".", "[MASK]", "[CLS]", "[SEP]"]
SIZES = {"vocab_size": len(WORDS), "hidden_size": 12, "num_hidden_layers": 2, "num_attention_heads": 3}
TEXT = "Tom is in the park ."


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    words = Tokenizer(models.WordLevel({word: number for number, word in enumerate(WORDS)}, unk_token="."))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=words, mask_token="[MASK]", model_max_length=16)


def gpt2(**config) -> transformers.GPT2LMHeadModel:
    torch.manual_seed(0)
    sizes = {"vocab_size": len(WORDS), "n_positions": 16, "n_embd": 12, "n_layer": 2, "n_head": 3}
    return transformers.GPT2LMHeadModel(transformers.GPT2Config(**sizes, **config))


def weights_of(model, tokenizer, text: str) -> np.ndarray:
    eager = type(model)(model.config)
    eager.load_state_dict(model.state_dict())
    eager.set_attn_implementation("eager")
    with torch.no_grad():
        found = eager.eval()(**tokenizer(text, return_tensors="pt"), output_attentions=True).attentions
    return torch.cat(found).numpy()


def shown(view: AttentionView) -> np.ndarray:
    return np.frombuffer(view.attention, np.float16).reshape(view.shape)


def test_a_fused_kernel_is_switched_for_the_run_and_back(tokenizer):
    model = gpt2(attn_implementation="sdpa").train()
    view = AttentionView.live(model, tokenizer, TEXT)
    assert model.config._attn_implementation == "sdpa"
    assert model.training
    assert view.model_name == "GPT2LMHeadModel"
    assert view.tokens == TEXT.split()
    expected = weights_of(model, tokenizer, TEXT)
    assert np.abs(shown(view) - expected).max() < 1e-3
    view.text = "Anna is"
    assert view.tokens == ["Anna", "is"]
    assert [one["token"] for one in view.next_tokens] == [
        WORDS[i] for i in model.eval()(torch.tensor([[1, 2]])).logits[0, -1].topk(5).indices
    ]
    view.text = "Tom " * 17
    assert view.error == "the text has 17 tokens; the model reads at most 16"


def test_what_follows_training_is_seen(tokenizer):
    model = gpt2()
    view = AttentionView.live(model, tokenizer, TEXT)
    before = shown(view).copy()
    with torch.no_grad():
        model.transformer.h[0].attn.c_attn.weight.mul_(50)
    view.text = f"{TEXT} Tom"
    view.text = TEXT
    assert np.abs(shown(view) - before).max() > 0.01


def test_a_masked_language_model_fills_in(tokenizer):
    torch.manual_seed(0)
    model = transformers.BertForMaskedLM(transformers.BertConfig(**SIZES, intermediate_size=16))
    view = AttentionView.live(model, tokenizer, "Tom is in the [MASK] .")
    assert view.mask == "[MASK]"
    assert len(view.next_tokens) == 5
    assert AttentionView.live(model.bert, tokenizer.backend_tokenizer, TEXT).next_tokens == []


def test_a_family_that_this_package_lacks_has_a_view_and_no_lab(tokenizer):
    config = transformers.OPTConfig(**SIZES, ffn_dim=16, word_embed_proj_dim=12, max_position_embeddings=16)
    model = transformers.OPTForCausalLM(config)
    assert AttentionView.live(model, tokenizer, TEXT).shape == [2, 3, 6, 6]
    with pytest.raises(ValueError, match="of the family 'opt'; this package reads"):
        HeadLab.live(model, tokenizer, TEXT)


def test_an_encoder_decoder_is_read_into_this_package(tokenizer):
    torch.manual_seed(0)
    config = transformers.T5Config(
        vocab_size=len(WORDS), d_model=12, d_kv=4, d_ff=16, num_layers=2, num_heads=3, decoder_start_token_id=0
    )
    view = AttentionView.live(transformers.T5ForConditionalGeneration(config), tokenizer, TEXT)
    assert [one["kind"] for one in view.kinds] == ["encoder", "decoder", "cross"]


def test_every_view_takes_the_model_and_its_tokenizer(tokenizer):
    model = gpt2().eval()
    lab = HeadLab.live(model, tokenizer, TEXT)
    lab.off = [[0, 1]]
    assert lab.model_name == "GPT2LMHeadModel"
    assert any(before != after for before, after in lab.result["losses"])
    assert NextTokenView.live(model, tokenizer, TEXT).model_name == "GPT2LMHeadModel"
    assert len(ThroughTheLayers(model, tokenizer, TEXT).levels) == 3
    assert AttentionSteps(model, tokenizer, TEXT).shape[:3] == [2, 3, 6]
    two = TwoModels.live((model, tokenizer), (gpt2(), tokenizer), TEXT)
    assert two.divergence().max() < 1e-6


def test_a_model_of_this_package_stays_the_one_that_was_given(tokenizer):
    ours, inner = zoo.load("storyworld-en")
    assert readable(ours, inner) == (ours, inner)
    assert tracer(ours, inner).model is ours
    assert isinstance(tracer(gpt2(), tokenizer), TransformersTracer)


def test_a_slow_tokenizer_is_refused(tokenizer):
    with pytest.raises(ValueError, match=r"or a fast tokenizer of transformers; got object"):
        AttentionView.live(gpt2(), object(), TEXT)


@pytest.mark.parametrize("model", [None, "storyworld-en", transformers.BertModel, ("a", "pair")])
def test_what_is_no_model_is_named(model):
    with pytest.raises(ValueError, match="model must be a torch.nn.Module, of this package or of transformers; got"):
        tracer(model, zoo.load("storyworld-en")[1])


def test_a_wrapped_model_is_looked_into():
    model, tokenizer = zoo.load("storyworld-en")
    for wrapped in (torch.nn.DataParallel(model), torch.compile(model, backend="eager")):
        assert readable(wrapped, tokenizer)[0] is model
