"""Distillation of a model that writes: from the teacher's texts, and from the student's own.

===============  =======================  ==========================================  ===============================
Method           Texts                    Loss                                        Source
===============  =======================  ==========================================  ===============================
word-level       the data's               soft targets, ``KL(p || q)`` at each token  Kim & Rush 2016, section 3.1
sequence-level   the teacher writes them  cross-entropy of its tokens                 Kim & Rush 2016, section 3.2
on-policy        the student writes them  ``KL(q || p)`` at each token, and others    Agarwal et al. 2024, section 3
===============  =======================  ==========================================  ===============================

p is the teacher's distribution of the next token, q the student's. The first is a ``Distiller`` on the data; the second
needs no loss of its own::

    fit(student, [written(teacher, prompts, 60, stop=0)], loss=completion_loss)
    fit(student, [prompts], loss=OnPolicyDistiller(teacher, reverse_kl_loss, max_new_tokens=60, stop=0))

Chapter: ``book/algorithms/distillation.ipynb``.
"""

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from companion.data.batch import IGNORED, upcast
from companion.distillation.distiller import Distiller, logits_only
from companion.distillation.outputs import ModelOutputs
from companion.generation import generate
from companion.losses.causal import Completions


@logits_only
def reverse_kl_loss(student: ModelOutputs, teacher: ModelOutputs) -> Tensor:
    """Reverse KL divergence at each target, in nats: ``1/n sum_i KL(q_i || p_i)``, q the student and p the teacher.

    The expectation is the student's: it pays for what it would say and the teacher would not, and may leave out some of
    what the teacher says (Gu et al. 2024, section 2.1).

    >>> import torch
    >>> targets, mask = torch.tensor([[0]]), torch.ones(1, 1, 1, dtype=torch.bool)
    >>> student = ModelOutputs(torch.tensor([[[0.0, 0.0]]]), targets, mask)
    >>> teacher = student._replace(logits=torch.tensor([[[3.0, 1.0]]]).log())
    >>> reverse_kl_loss(student, teacher)  # (log 2/3 + log 2) / 2
    tensor(0.1438)

    Raises:
        ValueError: when the shapes do not fit, or no position has a target.
    """
    if student.logits.shape != teacher.logits.shape:
        shapes = f"{tuple(teacher.logits.shape)} and {tuple(student.logits.shape)}"
        raise ValueError(f"teacher and student must score the same positions and the same tokens; got {shapes}")
    scored = student.targets != IGNORED
    if not bool(scored.any()):
        raise ValueError("there must be a position with a target; got none")
    log_q, log_p = (upcast(outputs.logits[scored]).log_softmax(-1) for outputs in (student, teacher))  # (n, vocab)
    return (log_q.exp() * (log_q - log_p)).sum(-1).mean()


def written(model: Any, prompts: Tensor, max_new_tokens: int, stop: int) -> Completions:
    """Completions that a model writes: each token is drawn from its own distribution, up to the token ``stop``.

    The draws come from torch's random state.

    >>> import torch
    >>> from companion.models.gpt import GPT, GPTConfig
    >>> model = GPT(GPTConfig(vocab_size=9, context_length=8, n_layers=1, n_heads=2, d_model=8))
    >>> batch = written(model, torch.tensor([[0], [0]]), max_new_tokens=5, stop=0)
    >>> len(batch.inputs), bool((batch.targets[:, 0] != IGNORED).all())
    (2, True)

    Args:
        model: a causal model with a KV cache, such as :class:`companion.models.gpt.GPT`; its mode is kept.
        prompts: token ids (batch, length) of prompts of one length.
        max_new_tokens: largest number of tokens of a completion.
        stop: token that ends a completion, and belongs to it.

    Raises:
        ValueError: as :func:`companion.generation.generate`.
    """
    ids = generate(model, prompts, max_new_tokens, stop=stop)
    begins = prompts.size(1)
    ends = (ids[:, begins:] == stop).int()  # (batch, new)
    targets = ids[:, 1:].clone()
    targets[:, : begins - 1] = IGNORED  # the model did not write the prompt
    targets[:, begins - 1 :].masked_fill_(ends.cumsum(1) > ends, IGNORED)  # nor anything after its end
    return Completions(ids[:, :-1], targets)


class OnPolicyDistiller(Distiller):
    """Loss (student, prompts) -> scalar for ``fit``: the student writes, and its teacher scores what it wrote.

    The texts are drawn anew at each step, by the student as it is then; no gradient flows through the draws (Agarwal et
    al. 2024, section 3.1, with the fraction of own texts at 1).
    """

    def __init__(
        self, teacher: nn.Module, loss: Callable[..., Tensor], *, max_new_tokens: int, stop: int, **settings: Any
    ) -> None:
        """Keep the teacher and the loss as a ``Distiller`` does, and how long a text may be.

        Args:
            teacher: a causal model with the student's vocabulary.
            loss: see :class:`companion.distillation.distiller.Distiller`, such as :func:`reverse_kl_loss`.
            max_new_tokens: see :func:`written`.
            stop: see :func:`written`.
            settings: further arguments of the loss.
        """
        super().__init__(teacher, loss, **settings)
        self.max_new_tokens, self.stop = max_new_tokens, stop

    def __call__(self, model: nn.Module, batch: Tensor) -> Tensor:
        """Let the student complete the prompts, token ids (batch, length), and compare the two on what it wrote.

        Raises:
            ValueError: as :class:`companion.distillation.distiller.Distiller` and :func:`written`.
        """
        return super().__call__(model, written(model, batch, self.max_new_tokens, self.stop))
