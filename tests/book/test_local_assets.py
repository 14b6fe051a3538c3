"""Fonts and icons of the pages, cut to what the book has."""

from local_assets import ICONS, STYLE, THEME, code_points, letters, without_icons


def test_letters_are_those_of_the_ranges_with_both_ends():
    assert letters("ac", "xx") == "abcx"


def test_each_icon_has_a_character_in_the_themes_style():
    points = code_points((THEME / STYLE).read_text(encoding="utf-8"))
    assert set(ICONS) <= set(points)
    assert points["sun"] == "\uf185"


def test_a_style_keeps_its_own_rules_and_the_icons_of_the_pages_and_loses_all_others():
    style = (
        '@font-face{src:url(../vendor/fontawesome/a.woff2)}.bd{color:red}.fa-sun:before{content:"\\f185"}'
        '.fa-ghost:before,.fa-cat:before{content:"\\f6e2"}.fa-spin{animation:a 1s}'
    )
    assert without_icons(style) == '.bd{color:red}.fa-sun:before{content:"\\f185"}'


def test_a_third_of_the_themes_style_is_left_out_and_cutting_it_again_changes_nothing():
    style = (THEME / STYLE).read_text(encoding="utf-8")
    cut = without_icons(style)
    assert len(cut) < 0.8 * len(style)
    assert without_icons(cut) == cut
