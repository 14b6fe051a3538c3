"""Which optimizer changes which parameter.

Chapter: ``book/algorithms/gpt.ipynb``. Sources: Loshchilov & Hutter 2019 (AdamW); Jordan et al. 2024 (Muon).
"""

from torch import nn
from torch.optim import AdamW, Muon, Optimizer


def make_optimizers(model: nn.Module, name: str, learning_rate: float, weight_decay: float) -> list[Optimizer]:
    """Divide the parameters between optimizers: matrices decay, embeddings, norms and biases do not.

    Args:
        model: its parameters that require a gradient are taken.
        name: "adamw", or "muon" for Muon on the matrices of ``model.blocks`` and AdamW on the rest. Muon's updates
            are scaled to AdamW's size, so that one learning rate serves both.
        learning_rate: at the peak.
        weight_decay: of the matrices.

    Raises:
        ValueError: on an unknown name.
    """
    if name not in ("adamw", "muon"):
        raise ValueError(f"optimizer must be 'adamw' or 'muon'; got {name!r}")
    embeddings = {id(m.weight) for m in model.modules() if isinstance(m, nn.Embedding)}
    parameters = [(key, p) for key, p in model.named_parameters() if p.requires_grad]
    matrices = [(key, p) for key, p in parameters if p.dim() == 2 and id(p) not in embeddings]
    hidden = [p for key, p in matrices if name == "muon" and key.startswith("blocks.")]
    chosen = {id(p) for p in hidden}
    decaying = {id(p) for _, p in matrices} - chosen
    groups = [
        {"params": [p for _, p in parameters if id(p) in decaying], "weight_decay": weight_decay},
        {"params": [p for _, p in parameters if id(p) not in decaying | chosen], "weight_decay": 0.0},
    ]
    optimizers: list[Optimizer] = [AdamW([g for g in groups if g["params"]], lr=learning_rate, betas=(0.9, 0.95))]
    if hidden:
        optimizers.append(Muon(hidden, lr=learning_rate, weight_decay=weight_decay, adjust_lr_fn="match_rms_adamw"))
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["peak"] = learning_rate
    return optimizers
