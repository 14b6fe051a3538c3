"""Equations of ``book/formulas/attention_math.ipynb``, by its parts."""

from companion.lessons.attention_math.equations import many_heads, one_head

EQUATIONS = (*one_head.EQUATIONS, *many_heads.EQUATIONS)
