"""Fine-tuning: heads on a pre-trained body, LoRA, frozen layers and layer-wise rates, and whole runs on public datasets.

``python -m companion.finetuning`` fine-tunes a published checkpoint. Chapter: ``book/algorithms/finetuning.ipynb``.
"""
