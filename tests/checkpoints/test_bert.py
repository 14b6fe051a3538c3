"""Checkpoints of BERT and its family as they are found in the world; what cannot be used is refused by name."""

import json

import pytest
import torch
from families.bert import SHAPES, theirs_of
from safetensors.torch import load_file, save_file
from small_models import tiny_bert
from transformers import AutoConfig

from companion.checkpoints import WEIGHTS, CheckpointError
from companion.checkpoints.bert_names import DEFAULTS
from companion.models.bert import FAMILIES, Bert, BertForPreTraining

each_family = pytest.mark.parametrize("family", FAMILIES)


def tiny(family, **sizes):
    return tiny_bert(family=family, kind=BertForPreTraining, **sizes)


def random_ids(batch, length, seed=0):
    return torch.randint(2, 31, (batch, length), generator=torch.Generator().manual_seed(seed))


def error(ours, theirs):
    return (ours - theirs).abs().max().item()


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
    names = {"bert": "Bert", "roberta": "Roberta", "albert": "Albert", "distilbert": "DistilBert", "electra": "Electra"}
    name = names[family]
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
    edit_config(bert_folder, model_type="deberta")
    with pytest.raises(CheckpointError, match="'deberta'; this class loads 'bert', 'roberta', 'albert', 'distilbert'"):
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
    with pytest.raises(CheckpointError, match="lacks the tensor '(cls|lm_head|predictions|vocab_transform|generator_)"):
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
    with pytest.raises(CheckpointError, match=r"unexpected tensors: 'encoder\.layer\.0\.adapter\.weight"):
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
        ({"hidden_act": "silu"}, "hidden_act must be one of .*; got 'silu'"),
    ],
    ids=str,
)
def test_variants_that_would_compute_something_else_are_refused(bert_folder, variant, words):
    edit_config(bert_folder, **variant)
    with pytest.raises(CheckpointError, match=words):
        Bert.from_pretrained(bert_folder)


def test_an_albert_that_says_nothing_of_groups_has_one(tmp_path):
    model = tiny("albert")
    model.save_pretrained(tmp_path)
    content = json.loads((tmp_path / "config.json").read_text())
    del content["num_hidden_groups"], content["inner_group_num"]
    (tmp_path / "config.json").write_text(json.dumps(content))
    assert BertForPreTraining.from_pretrained(tmp_path).config == model.config


def test_an_albert_of_more_groups_than_layers_is_refused(tmp_path):
    tiny("albert", n_layers=2).save_pretrained(tmp_path)
    edit_config(tmp_path, num_hidden_groups=3)
    with pytest.raises(CheckpointError, match="n_groups must be 1 to n_layers; got 3 of 2"):
        BertForPreTraining.from_pretrained(tmp_path)


def test_a_distilbert_that_transformers_would_read_otherwise_is_not_saved(tmp_path):
    with pytest.raises(CheckpointError, match="a DistilBERT of transformers has norm_eps 1e-12; got 0.001"):
        tiny("distilbert", norm_eps=1e-3).save_pretrained(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("family", FAMILIES)
def test_a_field_that_a_file_leaves_out_means_what_it_means_in_transformers(family):
    theirs = AutoConfig.for_model(family)
    assert {name: getattr(theirs, name) for name in DEFAULTS[family]} == DEFAULTS[family]


def test_a_configuration_with_the_fields_of_the_first_release_is_read(bert_folder):
    path = bert_folder / "config.json"
    config = json.loads(path.read_text())
    expected = Bert.from_pretrained(bert_folder)
    del config["layer_norm_eps"]
    path.write_text(json.dumps(config))
    assert Bert.from_pretrained(bert_folder).config == expected.config
