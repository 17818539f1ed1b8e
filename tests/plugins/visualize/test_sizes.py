import re

from shoal.testing import check_stage
from shoal_plugins.visualize._shared import colour
from shoal_plugins.visualize.sizes import Sizes
from tests.plugins.visualize.support import answer, make_rows


def bars(html: str) -> list[tuple[str, str, str]]:
    return re.findall(r'<li><bdi title="([^"]*)">.*?<rect width="([^"]*)".*?<span>([^<]*)</span>', html)


def test_it_keeps_the_contract() -> None:
    check_stage(Sizes())


def test_bars_are_to_one_scale_from_zero() -> None:
    html = answer(Sizes(), make_rows([0] * 4 + [1] * 2 + [-1], labels=["fish"] * 4 + ["birds"] * 2 + [None]))["html"]
    assert bars(html) == [("fish", "100.00%", "4"), ("birds", "50.00%", "2"), ("noise", "25.00%", "1")]
    assert "6 images in 2 clusters; 1 (14.3 %) are noise. Sizes go from 2 to 4; the median is 3." in html


def test_small_clusters_are_folded_away_and_noise_stays_visible() -> None:
    html = answer(Sizes(bars=2), make_rows([0, 0, 0, 1, 1, 2, 3, -1]))["html"]
    before, _, rest = html.partition("<details")
    inside, _, after = rest.partition("</details>")
    assert [name for name, _, _ in bars(before)] == ["cluster_00", "cluster_01"]
    assert [name for name, _, _ in bars(inside)] == ["cluster_02", "cluster_03"]
    assert [name for name, _, _ in bars(after)] == ["noise"]
    assert "2 smaller clusters" in inside


def test_empty_and_only_noise() -> None:
    assert "There are no images" in answer(Sizes(), make_rows([]))["html"]
    assert "No cluster was found: all 2 images are noise." in answer(Sizes(), make_rows([-1, -1]))["html"]


def test_hostile_labels_stay_text() -> None:
    html = answer(Sizes(), make_rows([0], labels=['"><script>alert(1)</script>']))["html"]
    assert "<script" not in html


def test_colours_differ_from_number_to_number_and_stand_out() -> None:
    colours = [colour(number) for number in range(30)]
    assert len(set(colours)) == 30
    for text in colours:
        red, green, blue = (int(text[at : at + 2], 16) / 255 for at in (1, 3, 5))
        linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in (red, green, blue)]
        luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
        assert 1.05 / (luminance + 0.05) > 1.9  # against white
        assert (luminance + 0.05) / 0.06 > 2.5  # against the dark scheme
