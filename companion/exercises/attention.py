"""Exercises of ``book/concepts/attention.ipynb``."""

from companion.exercises.checking import Exercise

EXERCISES: tuple[Exercise, ...] = ()
