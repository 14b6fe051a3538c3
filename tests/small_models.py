"""Small models for many tests: ours, and the same weights in ``transformers``."""

from pathlib import Path

import torch
from hypothesis import HealthCheck, settings
from torch import Tensor, nn

from companion.models.bert import Bert, BertConfig, BertForPreTraining
from companion.models.gpt import GPT, GPTConfig
from companion.models.t5 import T5, T5Config
from companion.models.transformer import Transformer, TransformerConfig
from companion.models.xlnet import XLNet, XLNetConfig

TINY = {"vocab_size": 31, "context_length": 16, "n_layers": 2, "n_heads": 2, "d_model": 12}
TINY_XLNET = {"vocab_size": 31, "n_layers": 2, "n_heads": 2, "d_model": 12}  # its positions have no end
T5_1_1 = {"gated": True, "tied": False, "d_head": 5, "n_decoder_layers": 1}
SIZES = {"vocab_size": 41, "n_positions": 24, "n_layer": 2, "n_head": 3, "n_embd": 18}

PATIENT = settings(deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])  # no clock decides


def tiny_gpt(seed: int = 0, **sizes) -> GPT:
    """A GPT with weights large enough that every one of them shows in the logits."""
    torch.manual_seed(seed)
    model = GPT(GPTConfig(**TINY | sizes)).eval()
    stir(model)
    return model


def tiny_transformer(seed: int = 0, **sizes) -> Transformer:
    """An encoder–decoder model with weights large enough that every one of them shows in the logits."""
    torch.manual_seed(seed)
    model = Transformer(TransformerConfig(**TINY | {"start_id": 1} | sizes)).eval()
    stir(model)
    return model


def tiny_bert(seed: int = 0, family: str = "bert", kind=Bert, **sizes) -> Bert | BertForPreTraining:
    """A BERT, or one of its family, with weights large enough that every one of them shows in what it says."""
    torch.manual_seed(seed)
    config = BertConfig if family == "bert" else getattr(BertConfig, family)
    model = kind(config(**TINY | sizes)).eval()
    stir(model)
    return model


def tiny_t5(seed: int = 0, **sizes) -> T5:
    """A T5 with weights large enough that every one of them shows in the logits."""
    torch.manual_seed(seed)
    model = T5(T5Config(**TINY | sizes)).eval()
    stir(model)
    return model


def tiny_xlnet(**sizes) -> XLNet:
    """An XLNet with weights large enough that every one of them shows in the logits."""
    torch.manual_seed(0)
    model = XLNet(XLNetConfig(**TINY_XLNET | sizes)).eval()
    stir(model)
    return model


def random_ids(model: nn.Module, batch: int, length: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(model.config.vocab_size, (batch, length), generator=generator)


def gpt2(seed: int = 0, **sizes):
    """A random GPT-2 of ``transformers`` whose biases and norms are not at their neutral values."""
    from transformers import GPT2Config, GPT2LMHeadModel  # slow to import, and most tests do without

    torch.manual_seed(seed)
    config = GPT2Config(**SIZES | {"bos_token_id": None, "eos_token_id": None} | sizes)
    config._attn_implementation = "eager"
    model = GPT2LMHeadModel(config).eval()
    stir(model)
    return model


def saved_gpt2(folder: Path, **sizes) -> Path:
    """A GPT-2 checkpoint as ``transformers`` writes it."""
    gpt2(**sizes).save_pretrained(folder)
    return folder


def stir(model: nn.Module) -> None:
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
