"""Small task heads for more than one test."""

from small_models import tiny_bert

from companion.finetuning.heads import ExtractiveQA, SequenceClassifier, TokenClassifier

NAMES = ("none", "anger", "joy")


def sequence(pooling="pooled", **options):
    return SequenceClassifier(tiny_bert(**options), NAMES, pooling).eval()


def token(**options):
    return TokenClassifier(tiny_bert(**options), NAMES).eval()


def span(**options):
    return ExtractiveQA(tiny_bert(**options)).eval()


HEADS = {"pooled": sequence, "cls": lambda **options: sequence("cls", **options), "token": token, "span": span}
