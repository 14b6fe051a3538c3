"""Fine-tuning: task heads on a pre-trained body, LoRA, layer-wise learning rates, and whole runs on public datasets.

``python -m companion.finetuning`` fine-tunes a published checkpoint. Chapter: ``book/algorithms/finetuning.ipynb``.
"""
