"""Knowledge distillation: students, distillation losses, and whole runs on public datasets.

``python -m companion.distillation`` distils a fine-tuned checkpoint. Chapter: ``book/algorithms/distillation.ipynb``.
"""
