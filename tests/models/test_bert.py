"""BERT and its family read in both directions and keep padding out."""

import pytest
import torch
from families.bert import SHAPES, theirs_of
from small_models import TINY, tiny_bert

from companion.models.bert import FAMILIES, Bert, BertConfig, BertForPreTraining, segments_of
from companion.nn.capture import ablate, capture

each_family = pytest.mark.parametrize("family", FAMILIES)


def tiny(family="bert", kind=BertForPreTraining, **sizes):
    return tiny_bert(family=family, kind=kind, **sizes)


def random_ids(batch, length, seed=0):
    return torch.randint(2, 31, (batch, length), generator=torch.Generator().manual_seed(seed))


def error(ours, theirs):
    return (ours - theirs).abs().max().item()


# What the model computes


@each_family
def test_every_position_depends_on_every_token(family):
    model = tiny(family)
    with capture(model, detach=False) as record:
        logits, _ = model(random_ids(1, 7))
    for t in range(7):
        (gradient,) = torch.autograd.grad(logits[0, t].square().sum(), record.hidden[0], retain_graph=True)
        assert (gradient[0].abs().sum(-1) > 0).all()


@each_family
@pytest.mark.parametrize("side", ["left", "right"])
def test_padding_has_no_influence(family, side):
    model = tiny(family)
    ids, real = random_ids(2, 10), torch.ones(2, 10, dtype=torch.bool)
    real[1, slice(0, 3) if side == "left" else slice(7, 10)] = False
    changed = torch.where(real, ids, (ids + 5) % 31)
    before, after = model(ids, attention_mask=real), model(changed, attention_mask=real)
    assert torch.equal(before[0][real], after[0][real])
    if side == "right" and before[1] is not None:
        assert torch.equal(before[1], after[1])


@each_family
def test_a_text_reads_the_same_wherever_its_padding_stands(family):
    model, ids = tiny(family).bert, random_ids(1, 6)
    alone = model(ids)
    for left in (0, 1, 4):
        row = torch.nn.functional.pad(ids, (left, 4 - left))
        real = torch.nn.functional.pad(torch.ones_like(ids, dtype=torch.bool), (left, 4 - left))
        assert error(model(row, attention_mask=real)[:, left : left + 6], alone) < 1e-5


@each_family
def test_a_row_of_nothing_but_padding_gives_finite_logits_and_gradients(family):
    model, real = tiny(family), torch.ones(2, 6, dtype=torch.bool)
    real[1] = False
    outputs = [o for o in model(random_ids(2, 6), attention_mask=real) if o is not None]
    sum(o.sum() for o in outputs).backward()
    assert all(o.isfinite().all() for o in outputs)
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())


@pytest.mark.parametrize("family", ["bert", "albert"])
def test_segments_change_what_is_said_and_are_zero_when_not_given(family):
    model, ids = tiny(family), random_ids(2, 8)
    zeros = torch.zeros_like(ids)
    assert all(torch.equal(a, b) for a, b in zip(model(ids), model(ids, token_type_ids=zeros), strict=True))
    second = zeros.clone()
    second[:, 4:] = 1
    for a, b in zip(model(ids), model(ids, token_type_ids=second), strict=True):
        assert error(a, b) > 1e-3


@pytest.mark.parametrize("pad_id", [1, 0, 5])
def test_the_positions_of_roberta_begin_after_the_padding_token(pad_id):
    model = tiny("roberta", pad_id=pad_id)
    model(random_ids(1, 3))[0].sum().backward()
    used = model.bert.position_embedding.weight.grad.abs().sum(-1).nonzero()[:, 0]
    assert used.tolist() == [pad_id + 1, pad_id + 2, pad_id + 3]
    assert model.bert.position_embedding.num_embeddings == pad_id + 1 + 16


def test_albert_has_one_block_however_often_it_is_used():
    shallow, deep = (tiny("albert", n_layers=n) for n in (1, 5))
    assert sum(p.numel() for p in shallow.parameters()) == sum(p.numel() for p in deep.parameters())
    assert len(deep.bert.encoder.blocks) == 5
    assert len(set(deep.bert.encoder.blocks)) == 1


def test_an_albert_of_several_groups_gives_each_as_many_consecutive_layers_as_the_others():
    model = tiny("albert", n_layers=4, n_groups=2, blocks_per_group=3)
    blocks = list(model.bert.encoder.blocks)
    assert len(blocks) == 12
    assert len(set(blocks)) == 6
    assert blocks[:6] == blocks[:3] * 2
    assert blocks[6:] == blocks[6:9] * 2


def test_each_use_of_the_shared_block_is_seen_and_can_be_silenced():
    model, ids = tiny("albert", n_layers=3), random_ids(1, 5)
    with capture(model) as record, ablate(model, [(1, 0)]):
        model(ids)
    silent = [(weights[0, 0] == 0).all().item() for weights in record.attention]
    assert silent == [False, True, False]


def test_the_embeddings_of_albert_cost_less_than_those_of_bert():
    narrow = Bert(BertConfig.albert(**TINY, d_embedding=3))
    assert narrow.token_embedding.weight.shape == (31, 3)
    assert narrow(random_ids(1, 4)).shape == (1, 4, 12)


@each_family
def test_only_families_that_judge_pairs_have_a_sentence_head_and_a_pooler(family):
    model = tiny(family)
    _, pair = model(random_ids(3, 5))
    assert (pair is not None) == (family in ("bert", "albert"))
    assert (model.bert.pooler is not None) == (family in ("bert", "albert"))
    if pair is not None:
        assert pair.shape == (3, 2)


def test_what_is_pooled_is_the_first_token_alone():
    model = tiny(kind=Bert)
    hidden = torch.randn(2, 6, 12)
    changed = hidden.clone()
    changed[:, 1:] += 1
    assert torch.equal(model.pooled(hidden), model.pooled(changed))
    assert torch.equal(model.pooled(hidden), model.pooler(hidden[:, 0]).tanh())


@pytest.mark.parametrize("family", ["roberta", "distilbert"])
def test_families_without_a_pooler_give_the_first_vector_itself(family):
    hidden = torch.randn(2, 6, 12)
    assert torch.equal(tiny(family, kind=Bert).pooled(hidden), hidden[:, 0])


@each_family
@pytest.mark.parametrize("tied", [True, False])
def test_only_tied_models_read_the_logits_off_the_embedding(family, tied):
    model = tiny(family, tied=tied)
    assert (model.decoder.weight is model.bert.token_embedding.weight) == tied


def test_new_models_start_near_a_uniform_guess():
    torch.manual_seed(0)
    logits, pair = BertForPreTraining(BertConfig(512, 16, n_layers=2, n_heads=2, d_model=32))(random_ids(4, 16))
    assert logits.log_softmax(-1).exp().max() < 0.02
    assert pair.softmax(-1).sub(0.5).abs().max() < 0.1


def test_roberta_counts_its_positions_as_transformers_counts_them(tmp_path):
    torch.manual_seed(0)
    theirs = theirs_of("roberta", SHAPES[0])
    theirs.save_pretrained(tmp_path)
    ids = random_ids(2, 9)
    real = torch.ones(2, 9, dtype=torch.bool)
    real[1, :4] = False  # on the left; theirs count from the ids alone
    ids = ids.masked_fill(~real, theirs.config.pad_token_id)
    logits, _ = BertForPreTraining.from_pretrained(tmp_path)(ids, attention_mask=real)
    assert error(logits[real], theirs(ids, attention_mask=real.long()).logits[real]) < 1e-5


# What is refused


@each_family
@pytest.mark.parametrize("kind", [Bert, BertForPreTraining])
@pytest.mark.parametrize("shape", [(5,), (1, 0), (0, 4), (1, 2, 3)])
def test_ids_of_the_wrong_rank_and_empty_texts_are_refused(family, kind, shape):
    with pytest.raises(ValueError, match=r"ids must be \(batch, length\), neither of them 0; got shape"):
        tiny(family, kind=kind)(torch.zeros(shape, dtype=torch.long))


@each_family
def test_the_last_position_can_be_used_and_no_later_one(family):
    model = tiny(family)
    assert model(random_ids(1, 16))[0].shape == (1, 16, 31)
    with pytest.raises(ValueError, match="17 tokens do not fit into the context of 16"):
        model(random_ids(1, 17))


@pytest.mark.parametrize("bad", [-1, 31])
def test_an_id_outside_the_vocabulary_is_named(bad):
    with pytest.raises(ValueError, match=f"token id {bad} is outside the vocabulary, 0 to 30"):
        tiny()(torch.tensor([[3, bad]]))


@pytest.mark.parametrize("bad", [-1, 2])
def test_a_segment_that_the_model_does_not_have_is_named(bad):
    with pytest.raises(ValueError, match=f"token_type_ids must be 0 to 1; got {bad}"):
        tiny()(torch.tensor([[3, 4]]), token_type_ids=torch.tensor([[0, bad]]))


def test_segments_of_another_shape_are_refused():
    with pytest.raises(ValueError, match=r"token_type_ids must be \(1, 2\), as ids; got \(1, 3\)"):
        tiny()(torch.tensor([[3, 4]]), token_type_ids=torch.zeros(1, 3, dtype=torch.long))


def test_segments_for_a_model_without_segments_are_refused():
    with pytest.raises(ValueError, match="this model has no segments; leave token_type_ids out"):
        tiny("distilbert")(torch.tensor([[3, 4]]), token_type_ids=torch.zeros(1, 2, dtype=torch.long))


def test_a_mask_of_the_wrong_shape_or_type_is_refused():
    ids = random_ids(2, 5)
    with pytest.raises(ValueError, match=r"attention_mask must be \(batch, length\) = \(2, 5\); got \(2, 4\)"):
        tiny()(ids, attention_mask=torch.ones(2, 4, dtype=torch.bool))
    with pytest.raises(TypeError, match="attention_mask must be boolean"):
        tiny()(ids, attention_mask=torch.ones(2, 5))


@pytest.mark.parametrize(
    ("sizes", "words"),
    [
        ({"vocab_size": 0}, "vocab_size must be at least 1; got 0"),
        ({"n_heads": 5}, "d_model must be a multiple of n_heads; got 12 and 5"),
        ({"d_ff": 0}, "d_ff must be at least 1; got 0"),
        ({"d_embedding": -2}, "d_embedding must be at least 1; got -2"),
        ({"d_embedding": 6}, "only ALBERT and ELECTRA have a d_embedding beside d_model; got 6 in 'bert'"),
        ({"dropout": 1.0}, r"dropout must be in \[0, 1\); got 1.0"),
        ({"activation": "swish"}, "activation must be one of .*; got 'swish'"),
        ({"family": "deberta"}, "family must be one of bert, roberta, albert, distilbert, electra; got 'deberta'"),
        ({"n_segments": 0}, "n_segments must be 0 in DistilBERT and at least 1 elsewhere; got 0"),
        ({"family": "distilbert"}, "n_segments must be 0 in DistilBERT and at least 1 elsewhere; got 2"),
        ({"n_groups": 2}, r"n_groups and blocks_per_group are ALBERT's; got \(2, 1\) in 'bert'"),
        ({"blocks_per_group": 0}, "blocks_per_group must be at least 1; got 0"),
        ({"family": "albert", "n_groups": 3}, "n_groups must be 1 to n_layers; got 3 of 2"),
        ({"pad_id": 31}, "pad_id must be in the vocabulary, 0 to 30; got 31"),
    ],
    ids=str,
)
def test_impossible_sizes_are_refused(sizes, words):
    with pytest.raises(ValueError, match=words):
        BertConfig(**TINY | sizes)


def test_the_second_segment_begins_after_the_first_sep_and_goes_on_after_others():
    ids = torch.tensor([[1, 5, 9, 6, 9, 7], [9, 9, 5, 5, 5, 5], [1, 5, 5, 5, 5, 5]])
    assert segments_of(ids, 9).tolist() == [[0, 0, 0, 1, 1, 1], [0, 1, 1, 1, 1, 1], [0, 0, 0, 0, 0, 0]]
