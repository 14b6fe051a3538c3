"""The command lines of fine-tuning and distillation: their options, the table that they print, and what they refuse."""

import pytest
from small_heads import sequence

from companion.finetuning.command_line import execute, parser_of, table
from companion.finetuning.run import Settings
from companion.finetuning.tasks import PUBLIC_TASKS, HeldOutResult
from companion.metrics.classification import Report

SST2 = PUBLIC_TASKS["sst2"]
COUNTS = {"none": (3, 4, 3), "anger": (0, 1, 1)}  # right, predicted, true
EVALUATION = HeldOutResult(sequence(), Report.of(COUNTS), parameters=1234, texts_per_second=56.0)


def parsed(*words):
    return parser_of("companion.finetuning", None).parse_args(["--task", "sst2", "--out", "out", *words])


def test_what_is_not_given_is_as_in_the_settings():
    given, default = parsed(), Settings()
    assert (given.epochs, given.batch_size, given.rate) == (default.epochs, default.batch_size, default.rate)
    assert (given.seed, given.device) == (default.seed, default.device)


def test_an_unknown_task_is_refused_with_those_there_are(capsys):
    with pytest.raises(SystemExit):
        parser_of("companion.finetuning", None).parse_args(["--task", "mnli", "--out", "out"])
    assert "invalid choice: 'mnli'" in capsys.readouterr().err


def test_the_options_reach_the_run_and_its_scores_are_printed(capsys):
    def run(task, **options):
        asked.update(options, task=task)
        return {"tiny": EVALUATION}

    asked = {}
    execute(parsed("--epochs", "2", "--limit", "5"), run)
    assert (asked["task"], asked["limit"], asked["settings"]) == (SST2, 5, Settings(epochs=2))
    printed = capsys.readouterr().out
    assert table(SST2, {"tiny": EVALUATION}) in printed
    assert str(EVALUATION.report) in printed


def test_the_table_has_a_row_for_each_model():
    head, columns, *rows = table(SST2, {"teacher": EVALUATION, "student": EVALUATION}).splitlines()
    assert head == "held out: split 'validation'"
    assert "accuracy" in columns
    assert [row.split() for row in rows] == [[name, "2", "1,234", "0.6667", "56"] for name in ("teacher", "student")]


def test_a_bad_input_ends_the_program_with_its_reason():
    def run(task, **options):
        raise ValueError("limit must be at least 1")

    with pytest.raises(SystemExit, match="^error: limit must be at least 1$"):
        execute(parsed(), run)
