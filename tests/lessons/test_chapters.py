"""Each chapter of the contents has its folder of lessons, and what is asked for by name is found."""

import importlib
from pathlib import Path

import pytest
from contents import chapters

from companion.lessons import CHAPTERS, equation, exercise, names
from companion.lessons.equation_check import Equation
from companion.lessons.exercise_check import Exercise


def test_the_lessons_follow_the_contents(root: Path):
    assert list(CHAPTERS) == [path.stem for path in chapters(root)]


def test_each_chapter_has_a_folder_with_both_catalogues_and_no_folder_is_left_over(root: Path):
    lessons = root / "companion" / "lessons"
    found = {path.relative_to(lessons).with_suffix("").as_posix() for path in lessons.glob("[!_]*/e*")}
    catalogues = {f"{chapter}/{name}" for chapter in CHAPTERS for name in ("equations", "exercises")}
    assert {one for one in found if not one.endswith("/experiments")} == catalogues


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_a_chapter_has_equations_and_exercises_of_its_own(chapter: str):
    equations = importlib.import_module(f"companion.lessons.{chapter}.equations").EQUATIONS
    exercises = importlib.import_module(f"companion.lessons.{chapter}.exercises").EXERCISES
    assert equations
    assert exercises
    assert all(isinstance(one, Equation) for one in equations)
    assert all(isinstance(one, Exercise) for one in exercises)


def test_no_two_exercises_have_one_name():
    assert len(names()) == len(set(names()))


def test_an_unknown_label_is_an_error_that_names_near_ones():
    with pytest.raises(ValueError, match="'eq-attention-softmx'.*eq-attention-softmax"):
        equation("eq-attention-softmx")


def test_an_unknown_exercise_is_refused_with_those_there_are():
    with pytest.raises(ValueError, match="there is no exercise 'nothing'; choose from .*shifted-loss"):
        exercise("nothing")
