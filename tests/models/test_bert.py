"""BERT and its family read in both directions, keep padding out, and load the files that are found in the world."""

import json

import pytest
import torch
from families.bert import COMMON, SHAPES, theirs_of
from safetensors.torch import load_file, save_file
from small_models import stir

from companion.checkpoints import WEIGHTS, CheckpointError
from companion.models.bert import FAMILIES, Bert, BertConfig, BertForPreTraining, segments_of
from companion.nn.capture import ablate, capture

TINY = {"vocab_size": 31, "context_length": 16, "n_layers": 2, "n_heads": 2, "d_model": 12}
MAKE = {
    "bert": BertConfig,
    "roberta": BertConfig.roberta,
    "albert": BertConfig.albert,
    "distilbert": BertConfig.distilbert,
}
each_family = pytest.mark.parametrize("family", FAMILIES)


def tiny(family="bert", seed=0, kind=BertForPreTraining, **sizes):
    torch.manual_seed(seed)
    model = kind(MAKE[family](**TINY | sizes)).eval()
    stir(model)
    return model


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
        ({"d_ff": 0}, "d_ff must be at least 1, or None; got 0"),
        ({"d_embedding": -2}, "d_embedding must be at least 1, or None; got -2"),
        ({"d_embedding": 6}, "only ALBERT has a d_embedding beside d_model; got 6 in 'bert'"),
        ({"dropout": 1.0}, r"dropout must be in \[0, 1\); got 1.0"),
        ({"activation": "swish"}, "activation must be one of .*; got 'swish'"),
        ({"family": "electra"}, "family must be one of bert, roberta, albert, distilbert; got 'electra'"),
        ({"n_segments": 0}, "n_segments must be 0 in DistilBERT and at least 1 elsewhere; got 0"),
        ({"family": "distilbert"}, "n_segments must be 0 in DistilBERT and at least 1 elsewhere; got 2"),
        ({"pad_id": 31}, "pad_id must be in the vocabulary, 0 to 30; got 31"),
    ],
    ids=str,
)
def test_impossible_sizes_are_refused(sizes, words):
    with pytest.raises(ValueError, match=words):
        BertConfig(**TINY | sizes)


# Files as they are found in the world


@pytest.fixture(params=FAMILIES)
def saved(request, tmp_path):
    """A checkpoint of ``transformers`` with its heads, and the model that wrote it."""
    torch.manual_seed(0)
    theirs = theirs_of(request.param, SHAPES[0])
    theirs.save_pretrained(tmp_path)
    return tmp_path, theirs


@pytest.fixture
def bert_folder(tmp_path):
    torch.manual_seed(0)
    theirs_of("bert", SHAPES[0]).save_pretrained(tmp_path)
    return tmp_path


def same_weights(a, b):
    return all(torch.equal(p, q) for p, q in zip(a.parameters(), b.parameters(), strict=True))


def edit_config(folder, **changes):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def edit_weights(folder, edit):
    tensors = load_file(folder / WEIGHTS)
    save_file(edit(tensors) or tensors, folder / WEIGHTS)


def test_the_body_is_read_from_a_file_with_heads(saved):
    folder, _ = saved
    assert same_weights(Bert.from_pretrained(folder), BertForPreTraining.from_pretrained(folder).bert)


def test_the_body_is_read_from_a_bare_file(saved):
    folder, theirs = saved
    expected = Bert.from_pretrained(folder)
    theirs.base_model.save_pretrained(folder / "bare")
    assert same_weights(Bert.from_pretrained(folder / "bare"), expected)


def test_transformers_loads_the_body_that_we_save(saved, tmp_path):
    folder, theirs = saved
    ours = Bert.from_pretrained(folder)
    ours.save_pretrained(tmp_path / "body")
    poolerless = {"add_pooling_layer": False} if theirs.config.model_type == "roberta" else {}
    again, report = type(theirs.base_model).from_pretrained(tmp_path / "body", output_loading_info=True, **poolerless)
    assert not any(report.values())
    ids = random_ids(2, 7)
    assert error(ours(ids), again.eval()(ids).last_hidden_state) < 1e-5
    assert Bert.from_pretrained(tmp_path / "body").config == ours.config
    assert same_weights(Bert.from_pretrained(tmp_path / "body"), ours)


@each_family
@pytest.mark.parametrize("sizes", [{}, {"d_ff": 5, "tied": False}, {"dropout": 0.2, "pad_id": 3}], ids=str)
def test_what_is_saved_is_loaded_again(tmp_path, family, sizes):
    model = tiny(family, **sizes)
    model.save_pretrained(tmp_path)
    again = BertForPreTraining.from_pretrained(tmp_path)
    assert again.config == model.config
    assert not again.training
    assert same_weights(again, model)


def test_the_names_of_the_first_release_are_read(bert_folder):
    expected = BertForPreTraining.from_pretrained(bert_folder)

    def old(name):
        return name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta")

    edit_weights(bert_folder, lambda t: {old(name): tensor for name, tensor in t.items()})
    assert "bert.embeddings.LayerNorm.gamma" in load_file(bert_folder / WEIGHTS)
    assert same_weights(BertForPreTraining.from_pretrained(bert_folder), expected)
    assert same_weights(Bert.from_pretrained(bert_folder), expected.bert)


def test_numbered_positions_in_a_file_are_passed_over(saved):
    folder, theirs = saved
    expected = BertForPreTraining.from_pretrained(folder)
    prefix = theirs.base_model_prefix
    edit_weights(folder, lambda t: t.update({f"{prefix}.embeddings.position_ids": torch.arange(24)[None]}))
    assert same_weights(BertForPreTraining.from_pretrained(folder), expected)
    assert same_weights(Bert.from_pretrained(folder), expected.bert)


def test_a_tied_file_may_store_its_output_matrix_again(saved):
    folder, theirs = saved
    expected = BertForPreTraining.from_pretrained(folder)
    state = theirs.state_dict()
    again = {name: state[name].clone() for name in theirs._tied_weights_keys}
    edit_weights(folder, lambda t: t.update(again))
    assert same_weights(BertForPreTraining.from_pretrained(folder), expected)


@pytest.mark.parametrize("family", ["bert", "roberta", "albert"])
def test_an_untied_file_may_store_its_bias_once(tmp_path, family):
    torch.manual_seed(0)
    theirs = theirs_of(family, SHAPES[1])
    theirs.save_pretrained(tmp_path)
    prefix = {"bert": "cls.predictions", "roberta": "lm_head", "albert": "predictions"}[family]
    edit_weights(tmp_path, lambda t: {n: x for n, x in t.items() if n != f"{prefix}.decoder.bias"})
    bias = load_file(tmp_path / WEIGHTS)[f"{prefix}.bias"]
    assert torch.equal(BertForPreTraining.from_pretrained(tmp_path).decoder.bias, bias)


def test_roberta_passes_over_a_pooler_that_nobody_trained(tmp_path):
    from transformers import RobertaModel

    torch.manual_seed(0)
    theirs = RobertaModel(theirs_of("roberta", SHAPES[0]).config).eval()
    theirs.save_pretrained(tmp_path)
    ids = random_ids(1, 6)
    assert "pooler.dense.weight" in load_file(tmp_path / WEIGHTS)
    assert error(Bert.from_pretrained(tmp_path)(ids), theirs(ids).last_hidden_state) < 1e-5


@pytest.mark.parametrize(("family", "kind"), [("bert", "BertForMaskedLM"), ("albert", "AlbertForMaskedLM")])
def test_a_masked_language_model_without_sentence_head_is_loaded(tmp_path, family, kind):
    import transformers

    torch.manual_seed(0)
    theirs = getattr(transformers, kind)(theirs_of(family, SHAPES[0]).config).eval()
    theirs.save_pretrained(tmp_path)
    ids = random_ids(2, 6)
    logits, pair = BertForPreTraining.from_pretrained(tmp_path)(ids)
    assert error(logits, theirs(ids).logits) < 1e-5
    assert pair.shape == (2, 2)
    assert error(Bert.from_pretrained(tmp_path)(ids), theirs.base_model(ids).last_hidden_state) < 1e-5


@each_family
def test_the_body_is_read_from_a_classifier(tmp_path, family):
    import transformers

    torch.manual_seed(0)
    name = {"bert": "Bert", "roberta": "Roberta", "albert": "Albert", "distilbert": "DistilBert"}[family]
    config = theirs_of(family, SHAPES[0]).config
    for task in ("SequenceClassification", "TokenClassification", "QuestionAnswering"):
        theirs = getattr(transformers, f"{name}For{task}")(config).eval()
        theirs.save_pretrained(tmp_path / task)
        ids = random_ids(1, 6)
        ours = Bert.from_pretrained(tmp_path / task)
        assert error(ours(ids), theirs.base_model(ids).last_hidden_state) < 1e-5


def test_the_pooler_of_bert_is_the_one_of_transformers(bert_folder):
    from transformers import BertModel

    theirs = BertModel.from_pretrained(bert_folder)
    ours, ids = Bert.from_pretrained(bert_folder), random_ids(3, 6)
    assert error(ours.pooled(ours(ids)), theirs(ids).pooler_output) < 1e-5


# Files that are refused


def test_another_family_is_refused(bert_folder):
    edit_config(bert_folder, model_type="electra")
    with pytest.raises(CheckpointError, match="'electra'; this class loads 'bert', 'roberta', 'albert', 'distilbert'"):
        Bert.from_pretrained(bert_folder)


def test_a_missing_tensor_is_named(bert_folder):
    name = "encoder.layer.1.output.dense.bias"
    edit_weights(bert_folder, lambda t: {n: x for n, x in t.items() if n != f"bert.{name}"})
    for kind in (Bert, BertForPreTraining):
        with pytest.raises(CheckpointError, match=f"lacks the tensor '{name}'"):
            kind.from_pretrained(bert_folder)


def test_a_bare_file_has_no_head_for_masked_tokens(saved):
    folder, theirs = saved
    theirs.base_model.save_pretrained(folder / "bare")
    with pytest.raises(CheckpointError, match="lacks the tensor '(cls|lm_head|predictions|vocab_transform)"):
        BertForPreTraining.from_pretrained(folder / "bare")


@pytest.mark.parametrize("name", ["vocab_projector.bias", "vocab_projector.weight"])
def test_an_untied_distilbert_needs_its_whole_output_layer(tmp_path, name):
    theirs_of("distilbert", SHAPES[1]).save_pretrained(tmp_path)
    edit_weights(tmp_path, lambda t: {n: x for n, x in t.items() if n != name})
    with pytest.raises(CheckpointError, match=f"lacks the tensor '{name}'"):
        BertForPreTraining.from_pretrained(tmp_path)


@pytest.mark.parametrize("kind", [Bert, BertForPreTraining])
def test_unexpected_tensors_are_named(bert_folder, kind):
    edit_weights(bert_folder, lambda t: t.update({"bert.encoder.layer.0.adapter.weight": torch.ones(2)}))
    with pytest.raises(CheckpointError, match=r"unexpected tensors: encoder\.layer\.0\.adapter\.weight"):
        kind.from_pretrained(bert_folder)


@pytest.mark.parametrize(
    ("sizes", "words"),
    [
        ({"vocab_size": 40}, r"word_embeddings.weight' in .* of shape \(41, 18\); config.json asks for \(40, 18\)"),
        (
            {"max_position_embeddings": 30},
            r"position_embeddings.weight' in .* of shape \(24, 18\); config.json asks for \(30, 18\)",
        ),
        (
            {"type_vocab_size": 1},
            r"token_type_embeddings.weight' in .* of shape \(2, 18\); config.json asks for \(1, 18\)",
        ),
    ],
    ids=str,
)
def test_a_size_mismatch_shows_both_shapes(bert_folder, sizes, words):
    edit_config(bert_folder, **sizes)
    with pytest.raises(CheckpointError, match=words):
        BertForPreTraining.from_pretrained(bert_folder)


@pytest.mark.parametrize("name", ["hidden_size", "num_hidden_layers", "max_position_embeddings"])
def test_a_missing_size_is_named(bert_folder, name):
    path = bert_folder / "config.json"
    config = json.loads(path.read_text())
    del config[name]
    path.write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match=f"lacks the field '{name}'"):
        Bert.from_pretrained(bert_folder)


@pytest.mark.parametrize(
    ("variant", "words"),
    [
        ({"position_embedding_type": "relative_key"}, "positions of the type 'relative_key'; this Bert has 'absolute'"),
        ({"is_decoder": True}, "sets is_decoder, which this Bert, an encoder, does not have"),
        ({"add_cross_attention": True}, "sets add_cross_attention"),
        ({"hidden_act": "silu"}, "activation must be one of .*; got 'silu'"),
    ],
    ids=str,
)
def test_variants_that_would_compute_something_else_are_refused(bert_folder, variant, words):
    edit_config(bert_folder, **variant)
    with pytest.raises(CheckpointError, match=words):
        Bert.from_pretrained(bert_folder)


@pytest.mark.parametrize("name", ["num_hidden_groups", "inner_group_num"])
def test_an_albert_of_several_blocks_is_refused(tmp_path, name):
    import transformers

    config = transformers.AlbertConfig(**COMMON | SHAPES[0] | {"embedding_size": 6, name: 2})
    transformers.AlbertForPreTraining(config).save_pretrained(tmp_path)
    with pytest.raises(CheckpointError, match=f"sets {name} to 2; this ALBERT shares one block"):
        BertForPreTraining.from_pretrained(tmp_path)


def test_a_distilbert_that_transformers_would_read_otherwise_is_not_saved(tmp_path):
    with pytest.raises(CheckpointError, match="a DistilBERT of transformers has norm_eps 1e-12; got 0.001"):
        tiny("distilbert", norm_eps=1e-3).save_pretrained(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_second_segment_begins_after_the_first_sep_and_goes_on_after_others():
    ids = torch.tensor([[1, 5, 9, 6, 9, 7], [9, 9, 5, 5, 5, 5], [1, 5, 5, 5, 5, 5]])
    assert segments_of(ids, 9).tolist() == [[0, 0, 0, 1, 1, 1], [0, 1, 1, 1, 1, 1], [0, 0, 0, 0, 0, 0]]
