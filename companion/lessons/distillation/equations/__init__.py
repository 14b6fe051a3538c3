"""Equations of ``book/algorithms/distillation.ipynb``, by its parts."""

from companion.lessons.distillation.equations import heads, recipes, soft_targets

EQUATIONS = (*soft_targets.EQUATIONS, *recipes.EQUATIONS, *heads.EQUATIONS)
