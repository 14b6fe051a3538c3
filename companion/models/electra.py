"""ELECTRA: a discriminator that says of every token whether a small generator has replaced it.

The generator is a :class:`companion.models.bert.BertForPreTraining` of the family "electra"; its batches and its loss
are those of masked language modelling. Chapter: ``book/algorithms/encoders.ipynb``. Source: Clark et al. 2020,
"ELECTRA: Pre-training Text Encoders as Discriminators Rather Than Generators", section 2.
"""

from dataclasses import replace

from torch import Tensor, nn

from companion.checkpoints import bert as names
from companion.checkpoints.pretrained import Pretrained
from companion.models.bert import Bert, BertConfig, BertForPreTraining
from companion.nn.feed_forward import ACTIVATIONS
from companion.nn.initialization import normal_initialization


class ElectraDiscriminator(Pretrained):
    """The discriminator of ELECTRA: a BERT encoder, and one logit per token, "this token was replaced".

    Example:
        >>> import torch
        >>> config = BertConfig.electra(vocab_size=10, context_length=8, n_layers=2, n_heads=2, d_model=12)
        >>> ElectraDiscriminator(config)(torch.tensor([[1, 2, 3]])).shape
        torch.Size([1, 3])
    """

    config_class = BertConfig
    checkpoint_family = names.REPLACED

    def __init__(self, config: BertConfig) -> None:
        """Make the body and its head, with BERT's initial weights.

        Raises:
            ValueError: when the family is not "electra".
        """
        super().__init__()
        if config.family != "electra":
            raise ValueError(f"family must be 'electra'; got {config.family!r}")
        self.config = config
        self.bert = Bert(config)
        self.transform = nn.Linear(config.d_model, config.d_model)
        self.activation = ACTIVATIONS[config.activation]
        self.replaced = nn.Linear(config.d_model, 1)
        self.apply(normal_initialization)

    def forward(
        self, ids: Tensor, token_type_ids: Tensor | None = None, attention_mask: Tensor | None = None
    ) -> Tensor:
        """Return the logit of each token of having been replaced; arguments and errors are :meth:`Bert.forward`'s.

        Returns:
            logits (batch, length).
        """
        hidden = self.bert(ids, token_type_ids, attention_mask)
        logits: Tensor = self.replaced(self.activation(self.transform(hidden)))
        return logits[..., 0]


class Electra(nn.Module):
    """Generator and discriminator as they are trained: one table of token embeddings, all else apart.

    Only the discriminator is kept afterwards. The generator is narrow: as good as the discriminator, it would leave it
    nothing to find (section 3.2).

    Example:
        >>> sizes = {"vocab_size": 10, "context_length": 8, "n_layers": 1, "n_heads": 2, "d_model": 12}
        >>> pair = Electra(BertConfig.electra(**sizes), narrower=3)
        >>> table = pair.discriminator.bert.token_embedding.weight
        >>> pair.generator.config.d_model, pair.generator.decoder.weight is table
        (4, True)
    """

    def __init__(self, config: BertConfig, narrower: int = 4) -> None:
        """Make both.

        Args:
            config: configuration of the discriminator.
            narrower: how many times as wide as the generator the discriminator is.

        Raises:
            ValueError: when the narrower width does not fit the heads, or the family is not "electra".
        """
        super().__init__()
        self.discriminator = ElectraDiscriminator(config)
        narrow = replace(
            config,
            d_model=config.d_model // narrower,
            d_ff=(config.d_ff or 4 * config.d_model) // narrower,
            d_embedding=config.d_embedding or config.d_model,
        )
        self.generator = BertForPreTraining(narrow)
        self.generator.bert.token_embedding = self.discriminator.bert.token_embedding
        self.generator.decoder.weight = self.discriminator.bert.token_embedding.weight
