"""A config.json without its optional fields makes the model that ``transformers`` makes of it."""

import json

import pytest
import torch
import transformers

from companion.checkpoints import CheckpointError
from companion.finetuning.gpt_classifier import GPTClassifier
from companion.finetuning.heads import SequenceClassifier
from companion.models.bert import BertForPreTraining
from companion.models.gpt import GPT
from companion.models.modern_bert import ModernBertForMaskedLM
from companion.models.modern_decoder import ModernDecoder
from companion.models.t5 import T5
from companion.models.xlnet import XLNet

GPT2 = {"n_embd": 16, "n_head": 2, "n_layer": 2, "n_positions": 32, "vocab_size": 50}
WIDE = {"hidden_size": 16, "num_attention_heads": 2, "num_hidden_layers": 2, "vocab_size": 50}
BERT = WIDE | {"intermediate_size": 64, "max_position_embeddings": 34}
MODERN = WIDE | {"intermediate_size": 32, "max_position_embeddings": 64}
GROUPED = MODERN | {"num_key_value_heads": 2}
DISTIL = {"dim": 16, "hidden_dim": 64, "n_heads": 2, "n_layers": 2, "vocab_size": 50, "max_position_embeddings": 32}
T5_SIZES = {"d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 2, "num_heads": 2, "vocab_size": 50}
XLNET = {"d_inner": 48, "d_model": 16, "n_head": 2, "n_layer": 2, "vocab_size": 50}
# name -> (model of transformers, ours, the fields that stay)
CASES = {
    "gpt2": ("GPT2LMHeadModel", GPT, GPT2),
    "gpt2 classifier": ("GPT2ForSequenceClassification", GPTClassifier, GPT2 | {"pad_token_id": 0}),
    "bert": ("BertForPreTraining", BertForPreTraining, BERT),
    "bert classifier": ("BertForSequenceClassification", SequenceClassifier, BERT),
    "roberta": ("RobertaForMaskedLM", BertForPreTraining, BERT | {"pad_token_id": 1, "type_vocab_size": 1}),
    "albert": ("AlbertForPreTraining", BertForPreTraining, BERT | {"embedding_size": 8}),
    "electra": ("ElectraForMaskedLM", BertForPreTraining, BERT | {"embedding_size": 8}),
    "distilbert": ("DistilBertForMaskedLM", BertForPreTraining, DISTIL),
    "modernbert": ("ModernBertForMaskedLM", ModernBertForMaskedLM, BERT | {"pad_token_id": 0}),
    "t5": ("T5ForConditionalGeneration", T5, T5_SIZES),
    "xlnet": ("XLNetLMHeadModel", XLNet, XLNET),
    "llama": ("LlamaForCausalLM", ModernDecoder, MODERN),
    "qwen2": ("Qwen2ForCausalLM", ModernDecoder, GROUPED),
    "qwen3": ("Qwen3ForCausalLM", ModernDecoder, GROUPED),
    "mistral": ("MistralForCausalLM", ModernDecoder, GROUPED),
    "mixtral": ("MixtralForCausalLM", ModernDecoder, GROUPED),
    "stablelm": ("StableLmForCausalLM", ModernDecoder, GROUPED),
    "gemma3": ("Gemma3ForCausalLM", ModernDecoder, GROUPED),
}
IDS = torch.randint(3, 49, (2, 7), generator=torch.Generator().manual_seed(0))


def saved(name, folder):
    torch.manual_seed(0)
    kind, _, fields = CASES[name]
    kind = getattr(transformers, kind)
    kind(kind.config_class(**fields)).save_pretrained(folder)
    return kind, folder / "config.json"


def scores(output):
    if isinstance(output, torch.Tensor):
        return output
    if isinstance(output, tuple):
        return output[0]
    return output["prediction_logits"] if "prediction_logits" in output else output["logits"]


@torch.no_grad()
@pytest.mark.parametrize("name", CASES)
def test_what_is_left_out_has_the_value_that_transformers_gives_it(name, tmp_path):
    kind, path = saved(name, tmp_path)
    whole = json.loads(path.read_text())
    fields = CASES[name][2]
    path.write_text(json.dumps({"model_type": whole["model_type"]} | {field: whole[field] for field in fields}))
    ours, theirs = CASES[name][1].from_pretrained(tmp_path), kind.from_pretrained(tmp_path).eval()
    if name == "t5":
        mine, wanted = ours(IDS, IDS), theirs(input_ids=IDS, decoder_input_ids=IDS)
    else:
        mine, wanted = ours(IDS), theirs(IDS)
    torch.testing.assert_close(scores(mine), scores(wanted), atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", CASES)
def test_a_size_that_is_left_out_is_named(name, tmp_path):
    """It cannot be told from a default, which would be that of a model of another size."""
    _, path = saved(name, tmp_path)
    whole = json.loads(path.read_text())
    (layers,) = {"num_layers", "n_layer", "n_layers", "num_hidden_layers"} & set(CASES[name][2])
    path.write_text(json.dumps({field: value for field, value in whole.items() if field != layers}))
    with pytest.raises(CheckpointError, match=f"lacks the field '{layers}'"):
        CASES[name][1].from_pretrained(tmp_path)
