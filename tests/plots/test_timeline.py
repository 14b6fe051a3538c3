"""The timeline names its sources, guesses nothing, and is drawn without a script."""

import dataclasses
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from companion.plots import timeline
from companion.plots.timeline_figure import OwnModel, TimelineFigure

MODELS = timeline.timeline_models()
OWN = OwnModel("storyworld-en", 212_544, 9.4e13)
BIBLIOGRAPHY = Path(__file__).parents[2] / "book" / "references.bib"
KEYS = set(re.findall(r"^@\w+\{([^,]+),", BIBLIOGRAPHY.read_text(encoding="utf8"), re.MULTILINE))


class Page(HTMLParser):
    """Collects tags with their attributes, and complains about a tag that is not closed."""

    def __init__(self, html: str):
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def named(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
def test_every_number_has_a_source_in_the_bibliography(model):
    assert model.source in KEYS
    assert (model.stated_flops is None) == (model.flops_source == "")
    assert model.flops_source in KEYS | {""}


def test_the_models_stand_in_the_order_of_their_dates():
    assert [model.when for model in MODELS] == sorted(model.when for model in MODELS)
    assert len({model.name for model in MODELS}) == len(MODELS)


def test_a_stated_number_goes_before_the_rule():
    gopher = timeline.model("Gopher")
    assert gopher.flops == 5.76e23
    assert dataclasses.replace(gopher, stated_flops=None).flops == 6 * 280e9 * 300e9


def test_a_mixture_of_experts_is_counted_by_what_a_token_meets():
    assert timeline.model("DeepSeek-V3").flops == pytest.approx(6 * 37e9 * 14.8e12)


@pytest.mark.parametrize("name", ["GPT-2", "Switch-C", "Web n-grams", "Big LSTM", "ALBERT-xxlarge", "GPT-4"])
def test_where_the_rule_does_not_hold_or_a_number_is_missing_nothing_is_guessed(name):
    assert timeline.model(name).flops is None


def test_shared_weights_are_outside_the_rule_even_with_all_numbers():
    albert = dataclasses.replace(timeline.model("ALBERT-xxlarge"), tokens=1e12)
    assert albert.flops is None


def test_the_middle_of_the_month_is_meant():
    assert timeline.model("GPT-3").when == pytest.approx(2020 + 4.5 / 12)


def test_an_unknown_name_is_answered_with_the_known_ones():
    with pytest.raises(ValueError, match="no model 'HAL'; it has NNLM, Web n-grams"):
        timeline.model("HAL")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"date": "2020-13"}, "got '2020-13'"),
        ({"date": "May 2020"}, "year-month"),
        ({"architecture": "brain"}, "'brain' is none of n-gram"),
        ({"objective": "money"}, "'money' is none of next token"),
    ],
)
def test_a_row_that_is_none_is_refused_by_its_value(change, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(timeline.model("GPT-3"), **change)


def test_the_picture_is_well_formed_and_carries_no_script_or_address():
    html = TimelineFigure(MODELS, [OWN])._repr_html_()
    page = Page(html)
    assert page.named("script") == []
    assert not any(name.startswith("on") for _, attributes in page.tags for name in attributes)
    assert not re.search(r"(src|url\(|@import|https?:)", html)


def test_every_point_is_reached_by_the_keyboard_and_says_its_numbers():
    page = Page(TimelineFigure(MODELS, [OWN])._repr_html_())
    points = [g for g in page.named("g") if g.get("class") == "point"]
    assert len(points) == 2 * (len(MODELS) + 1)
    assert all(point["tabindex"] == "0" and point["role"] == "img" for point in points)
    said = {str(point["aria-label"]) for point in points}
    assert "GPT-3 · May 2020 · 175 billion parameters" in said
    assert "GPT-3 · May 2020 · 3.14e23 operations of training" in said
    assert "ChatGPT · November 2022 · no number published" in said
    assert "storyworld-en · this book · 212.5 thousand parameters" in said


def test_the_table_has_a_row_for_each_model():
    page = Page(TimelineFigure(MODELS, [OWN])._repr_html_())
    assert len(page.named("tr")) == 1 + len(MODELS) + 1


def test_the_skip_link_leads_to_the_table():
    page = Page(TimelineFigure(MODELS)._repr_html_())
    (skip,) = page.named("a")
    assert skip["href"] == f"#{page.named('details')[0]['id']}"


def test_names_are_escaped():
    strange = dataclasses.replace(MODELS[0], name="<b>&'\"", note="<i>")
    html = TimelineFigure([strange, MODELS[-1]], [OwnModel("<u>", 1.0, 1.0)])._repr_html_()
    Page(html)
    assert not re.search(r"<[biu]>", html)
    assert "&lt;b&gt;&amp;" in html


def test_the_same_models_make_the_same_page_and_others_another_anchor():
    assert TimelineFigure(MODELS)._repr_html_() == TimelineFigure(MODELS)._repr_html_()
    anchors = {Page(TimelineFigure(some)._repr_html_()).named("a")[0]["href"] for some in (MODELS, MODELS[:9])}
    assert len(anchors) == 2


def test_all_points_lie_in_the_frame():
    html = TimelineFigure(MODELS, [OWN])._repr_html_()
    places = [(float(x), float(y)) for x, y in re.findall(r'cx="([\d.-]+)" cy="([\d.-]+)"', html)]
    assert all(30 <= x <= 350 and 20 <= y <= 212 for x, y in places)


def test_one_model_alone_can_be_drawn():
    assert "GPT-3" in TimelineFigure([timeline.model("GPT-3")])._repr_html_()


def test_no_model_at_all_is_refused():
    with pytest.raises(ValueError, match="at least one model"):
        TimelineFigure([])


def test_where_no_html_is_shown_it_says_what_it_is():
    first, last = MODELS[0].date, MODELS[-1].date
    assert repr(TimelineFigure(MODELS, [OWN])) == f"TimelineFigure({len(MODELS)} models from {first} to {last}, 1 own)"
