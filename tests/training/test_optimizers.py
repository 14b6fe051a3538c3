"""Our optimizers step as torch's do; in training, each parameter has one optimizer, and only matrices decay."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small_models import PATIENT, tiny_gpt
from torch import optim

from companion.models.transformer import Transformer, TransformerConfig
from companion.training.optimizers import NAMES, SGD, Adam, AdamW, Muon, MuonByShape, make_optimizers, orthogonalised

# The same steps as torch

PAIRS = {
    "sgd": (lambda p: SGD(p, 0.05), lambda p: optim.SGD(p, 0.05)),
    "sgd, L2": (lambda p: SGD(p, 0.05, weight_decay=0.3), lambda p: optim.SGD(p, 0.05, weight_decay=0.3)),
    "momentum": (lambda p: SGD(p, 0.05, momentum=0.9), lambda p: optim.SGD(p, 0.05, momentum=0.9)),
    "momentum, L2": (
        lambda p: SGD(p, 0.05, momentum=0.7, weight_decay=0.3),
        lambda p: optim.SGD(p, 0.05, momentum=0.7, weight_decay=0.3),
    ),
    "adam": (lambda p: Adam(p, 0.05), lambda p: optim.Adam(p, 0.05)),
    "adam, L2": (
        lambda p: Adam(p, 0.05, betas=(0.8, 0.95), eps=1e-3, weight_decay=0.3),
        lambda p: optim.Adam(p, 0.05, betas=(0.8, 0.95), eps=1e-3, weight_decay=0.3),
    ),
    "adamw": (
        lambda p: AdamW(p, 0.05, betas=(0.8, 0.95), weight_decay=0.3),
        lambda p: optim.AdamW(p, 0.05, betas=(0.8, 0.95), weight_decay=0.3),
    ),
    "muon": (
        lambda p: Muon(p, 0.05, weight_decay=0.3),
        lambda p: optim.Muon(p, 0.05, weight_decay=0.3, adjust_lr_fn="match_rms_adamw"),
    ),
}


def places(make, shape, steps=25):
    """Where an optimizer takes a weight on a curved loss whose gradient is noisy, after each step."""
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(shape, generator=generator, dtype=torch.float64, requires_grad=True)
    optimizer, path = make([weight]), []
    for step in range(steps):
        noise = torch.randn(shape, generator=generator, dtype=torch.float64)
        weight.grad = weight.detach() ** 3 + noise
        optimizer.param_groups[0]["lr"] = 0.05 * (1 - step / 40)  # a schedule must work too
        optimizer.step()
        path.append(weight.detach().clone())
    return torch.stack(path)


@pytest.mark.parametrize("shape", [(3, 5), (6, 2)])
@pytest.mark.parametrize(("ours", "theirs"), PAIRS.values(), ids=PAIRS)
def test_every_step_is_the_step_of_torch(ours, theirs, shape):
    torch.testing.assert_close(places(ours, shape), places(theirs, shape), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("kind", [SGD, Adam, AdamW])
def test_a_parameter_without_a_gradient_stays(kind):
    weight = torch.ones(3, requires_grad=True)
    kind([weight], lr=0.1, weight_decay=0.5).step()
    assert weight.tolist() == [1, 1, 1]


def test_groups_may_have_rates_of_their_own():
    slow, fast = (torch.zeros(1, requires_grad=True) for _ in range(2))
    slow.grad = fast.grad = torch.ones(1)
    SGD([{"params": [slow], "lr": 0.1}, {"params": [fast]}], lr=1.0).step()
    assert (slow.item(), fast.item()) == pytest.approx((-0.1, -1.0))


# What the chapter says of them


def run(make, gradients, start=1.0):
    weight = torch.tensor([start], dtype=torch.float64, requires_grad=True)
    optimizer = make([weight])
    for gradient in gradients:
        weight.grad = torch.tensor([gradient], dtype=torch.float64)
        optimizer.step()
    return weight.item()


def test_momentum_multiplies_a_steady_gradient_by_one_over_one_minus_momentum():
    before = run(lambda p: SGD(p, 0.01, momentum=0.9), [1.0] * 200)
    after = run(lambda p: SGD(p, 0.01, momentum=0.9), [1.0] * 201)
    assert before - after == pytest.approx(0.1)


@given(st.floats(1e-3, 1e3), st.sampled_from([-1, 1]))
@PATIENT
def test_the_first_step_of_adam_has_the_size_of_the_rate_whatever_the_gradient(size, sign):
    assert run(lambda p: Adam(p, 0.1), [sign * size]) == pytest.approx(1 - 0.1 * sign, abs=1e-5)


def test_adam_does_not_see_the_unit_of_the_loss():
    gradients = [3.0, -1.0, 2.0, 0.5]
    thousandfold = [1000 * g for g in gradients]
    assert run(lambda p: Adam(p, 0.1), thousandfold) == pytest.approx(run(lambda p: Adam(p, 0.1), gradients), abs=1e-6)


def test_decoupled_decay_shrinks_every_weight_alike_and_an_l2_penalty_in_adam_does_not():
    left = {
        kind: [run(lambda p, kind=kind: kind(p, 1e-3, weight_decay=1.0), [size, -size] * 500) for size in (1.0, 100.0)]
        for kind in (Adam, AdamW)
    }
    small, large = left[AdamW]
    assert small == pytest.approx(large, abs=0.01)
    small, large = left[Adam]
    assert large - small > 0.1


def test_for_plain_sgd_an_l2_penalty_is_decoupled_decay():
    weight = run(lambda p: SGD(p, 0.1, weight_decay=0.5), [2.0])
    assert weight == pytest.approx((1 - 0.1 * 0.5) * 1.0 - 0.1 * 2.0)


# Orthogonalisation


def with_singular_values(values, rows, columns, seed=0):
    torch.manual_seed(seed)
    left, _ = torch.linalg.qr(torch.randn(rows, rows, dtype=torch.float64))
    right, _ = torch.linalg.qr(torch.randn(columns, columns, dtype=torch.float64))
    middle = torch.zeros(rows, columns, dtype=torch.float64)
    middle.diagonal().copy_(torch.tensor(values, dtype=torch.float64))
    return left @ middle @ right.T


@pytest.mark.parametrize(("rows", "columns"), [(4, 4), (4, 9), (9, 4)])
def test_singular_values_come_near_one_and_singular_vectors_stay(rows, columns):
    matrix = with_singular_values([1.0, 0.5, 0.1, 0.02], rows, columns)
    result = orthogonalised(matrix, dtype=torch.float64)
    left, _, right = torch.linalg.svd(matrix, full_matrices=False)
    turned = left.T @ result @ right.T  # diagonal if the singular vectors are the same
    assert turned.diagonal().min() > 0.6
    assert turned.diagonal().max() < 1.25
    assert (turned - turned.diagonal().diag()).abs().max() < 1e-9


def test_it_acts_on_each_singular_value_by_itself_as_a_polynomial():
    values = [0.8, 0.5, 0.33]
    result = orthogonalised(with_singular_values(values, 3, 5), steps=1, dtype=torch.float64)
    s = torch.tensor(values, dtype=torch.float64)
    s = s / s.norm()
    expected = 3.4445 * s - 4.7750 * s**3 + 2.0315 * s**5
    assert sorted(torch.linalg.svdvals(result).tolist()) == pytest.approx(sorted(expected.tolist()))


def test_half_precision_is_near_enough():
    matrix = with_singular_values([1.0, 0.5, 0.1], 3, 6)
    assert (orthogonalised(matrix) - orthogonalised(matrix, dtype=torch.float64)).abs().max() < 0.05


def test_its_size_does_not_matter_and_nothing_stays_nothing():
    matrix = with_singular_values([1.0, 0.5], 2, 2)
    both = [orthogonalised(scale * matrix, dtype=torch.float64) for scale in (1.0, 1e4)]
    torch.testing.assert_close(*both)
    assert orthogonalised(torch.zeros(2, 3)).abs().max() == 0


@pytest.mark.parametrize(("rows", "columns"), [(4, 9), (9, 4)])
def test_each_of_several_matrices_is_orthogonalised_for_itself(rows, columns):
    sizes = [(1.0, 0.5, 0.1, 0.1), (2.0, 2.0, 0.3, 0.2), (9.0, 0.1, 0.1, 0.1)]
    several = torch.stack([with_singular_values(s, rows, columns, seed=n) for n, s in enumerate(sizes)])
    alone = [orthogonalised(matrix, dtype=torch.float64) for matrix in several]
    torch.testing.assert_close(orthogonalised(several, dtype=torch.float64), torch.stack(alone))


def test_matrices_of_one_shape_at_once_make_the_steps_of_torch():
    shapes = [(6, 4), (4, 6), (6, 4), (3, 3), (4, 6), (2, 2)]
    paths = []
    for kind in (optim.Muon, MuonByShape):
        generator = torch.Generator().manual_seed(0)
        weights = [torch.randn(shape, generator=generator).requires_grad_() for shape in shapes]
        optimizer = kind(weights, 0.05, weight_decay=0.3, adjust_lr_fn="match_rms_adamw")
        for _ in range(10):
            for weight in weights[:-1]:  # the last has no gradient, and stays
                weight.grad = weight.detach() ** 3 + torch.randn(weight.shape, generator=generator)
            optimizer.step()
        paths.append([weight.detach() for weight in weights])
    torch.testing.assert_close(*paths, rtol=0, atol=2e-3)  # half precision rounds by the order of a sum


# Settings that make no sense


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda p: SGD(p, -0.1), "lr must be at least 0; got -0.1"),
        (lambda p: Adam(p, 0.1, weight_decay=-1.0), "weight_decay must be at least 0; got -1.0"),
        (lambda p: Adam(p, 0.1, eps=-1.0), "eps must be at least 0; got -1.0"),
        (lambda p: SGD(p, 0.1, momentum=1.0), r"momentum and betas must be in \[0, 1\); got 1.0"),
        (lambda p: AdamW(p, 0.1, betas=(0.9, 1.5)), r"momentum and betas must be in \[0, 1\); got 1.5"),
        (lambda p: Muon(p, 0.1), r"Muon changes matrices \(rows, columns\); got a tensor of shape \(3,\)"),
    ],
    ids=["rate", "decay", "eps", "momentum", "beta", "no matrix"],
)
def test_a_setting_outside_its_range_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make([torch.zeros(3, requires_grad=True)])


def test_only_matrices_can_be_orthogonalised():
    with pytest.raises(ValueError, match=r"matrix must be \(rows, columns\) or .*; got \(3,\)"):
        orthogonalised(torch.zeros(3))


# Which optimizer changes which parameter


def groups(model, name):
    names = {id(p): key for key, p in model.named_parameters()}
    return [
        (type(optimizer).__name__, group["weight_decay"], {names[id(p)] for p in group["params"]})
        for optimizer in make_optimizers(model, name, 1e-3, 0.1)
        for group in optimizer.param_groups
    ]


@pytest.mark.parametrize("name", ["sgd", "momentum", "adam", "adamw"])
@pytest.mark.parametrize("tied", [True, False])
def test_matrices_decay_and_embeddings_norms_and_biases_do_not(name, tied):
    (_, decay, decaying), (_, no_decay, rest) = groups(tiny_gpt(tied=tied), name)
    assert (decay, no_decay) == (0.1, 0.0)
    assert all(name.endswith("weight") for name in decaying)
    assert ("unembedding.weight" in decaying) == (not tied)
    assert {"token_embedding.weight", "position_embedding.weight", "final_norm.weight"} <= rest
    assert "blocks.0.attention.query.bias" in rest
    assert not any("norm" in name or "embedding" in name.replace("unembedding", "") for name in decaying)


def test_muon_takes_the_matrices_inside_the_blocks():
    *_, (kind, decay, hidden) = groups(tiny_gpt(), "muon")
    assert (kind, decay) == ("MuonByShape", 0.1)
    kinds = ("query", "key", "value", "output", "expand", "contract")
    assert {name.split(".")[-2] for name in hidden} == set(kinds)
    assert len(hidden) == 2 * len(kinds)


def test_muon_takes_the_matrices_of_an_encoder_and_a_decoder_too():
    sizes = {"vocab_size": 31, "context_length": 16, "n_layers": 1, "n_heads": 2, "d_model": 12}
    *_, (kind, _, hidden) = groups(Transformer(TransformerConfig(**sizes)), "muon")
    assert kind == "MuonByShape"
    assert sum(name.startswith("encoder.blocks.") for name in hidden) == 6
    assert sum(name.startswith("decoder.blocks.") for name in hidden) == 10


@pytest.mark.parametrize(
    ("name", "kinds"),
    {
        "sgd": {"SGD"},
        "momentum": {"SGD"},
        "adam": {"Adam"},
        "adamw": {"AdamW"},
        "muon": {"AdamW", "MuonByShape"},
    }.items(),
)
def test_each_name_stands_for_these_optimizers(name, kinds):
    made = make_optimizers(tiny_gpt(), name, 1e-3, 0.1)
    assert {type(optimizer).__name__ for optimizer in made} == kinds
    assert made[0].defaults.get("momentum", 0.0) == (0.9 if name == "momentum" else 0.0)


@pytest.mark.parametrize("name", NAMES)
def test_every_group_knows_its_peak_rate(name):
    made = make_optimizers(tiny_gpt(), name, 1e-3, 0.1)
    assert {group["peak"] for optimizer in made for group in optimizer.param_groups} == {1e-3}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("tied", [True, False])
def test_every_parameter_belongs_to_one_group(name, tied):
    model = tiny_gpt(tied=tied)
    members = [key for *_, keys in groups(model, name) for key in keys]
    assert sorted(members) == sorted(dict(model.named_parameters()))


@pytest.mark.parametrize("name", NAMES)
def test_parameters_that_are_alike_in_their_multipliers_make_a_group_which_keeps_them(name):
    model = tiny_gpt()
    multipliers = {key: (0.0, 1.0) if "blocks" in key else (1.0, 0.5) for key, _ in model.named_parameters()}
    keys = {id(p): key for key, p in model.named_parameters()}
    made = [
        group for optimizer in make_optimizers(model, name, 1e-3, 0.1, multipliers) for group in optimizer.param_groups
    ]
    members = [(keys[id(p)], group["multipliers"]) for group in made for p in group["params"]]
    assert sorted(members) == sorted(multipliers.items())
    assert len(made) == len({(group["weight_decay"], group["multipliers"], len(group)) for group in made})


def test_a_model_with_nothing_to_train_is_refused():
    model = tiny_gpt().requires_grad_(False)
    with pytest.raises(ValueError, match="no parameter of the GPT requires a gradient; there is nothing to train"):
        make_optimizers(model, "adamw", 1e-3, 0.1)


def test_frozen_parameters_belong_to_none():
    model = tiny_gpt()
    model.blocks[0].requires_grad_(False)
    members = {key for *_, keys in groups(model, "muon") for key in keys}
    assert members == {name for name, p in model.named_parameters() if not name.startswith("blocks.0.")}


def test_an_unknown_optimizer_is_refused():
    with pytest.raises(ValueError, match="optimizer must be one of sgd, momentum, adam, adamw, muon; got 'lion'"):
        make_optimizers(tiny_gpt(), "lion", 1e-3, 0.1)
