"""What the visualisers share: clusters in the order people read them, their colours, thumbnails, and the fragment's row."""

import base64
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from shoal.contract import Context, Stage
from shoal.errors import StageError
from shoal.schema import ID

ASSETS = Path(__file__).parent / "assets"
NOISE = -1
NOISE_COLOUR = "#94a0a9"
_GOLDEN_ANGLE = 137.50776405003785


@dataclass(frozen=True)
class Cluster:
    """A cluster as people see it: its number (-1 is noise), name, number of images, and colour (`#rrggbb`)."""

    number: int
    name: str
    size: int
    colour: str

    @property
    def noise(self) -> bool:
        """Whether it is the noise."""
        return self.number < 0


def clusters_of(rows: pa.Table) -> list[Cluster]:
    """Return the clusters of rows with `cluster` and, if there is one, `label`: largest first, noise last."""
    numbers = rows["cluster"].to_pylist()
    sizes = Counter(NOISE if number < 0 else number for number in numbers)
    names: dict[int, str] = {}
    if "label" in rows.column_names:
        for number, label in zip(numbers, rows["label"].to_pylist(), strict=True):
            if number >= 0 and label:
                names.setdefault(number, label)
    found = [Cluster(number, _name(number, names), size, colour(number)) for number, size in sizes.items()]
    return sorted(found, key=lambda cluster: (cluster.noise, -cluster.size, cluster.number))


def _name(number: int, names: Mapping[int, str]) -> str:
    return "noise" if number < 0 else names.get(number) or f"cluster_{number:02d}"


def colour(number: int) -> str:
    """Return the colour of a cluster as `#rrggbb`, the same in every part of a report; noise is grey.

    Hues turn by the golden angle, so that numbers that are near get hues that are far apart; lightness and chroma in OKLCH
    are such that each stands out on white and on near-black. Source: https://bottosson.github.io/posts/oklab/.
    """
    if number < 0:
        return NOISE_COLOUR
    lightness = (0.66, 0.56, 0.74)[number // 7 % 3]
    return _oklch(lightness, 0.155, math.radians((250 + number * _GOLDEN_ANGLE) % 360))


def _oklch(lightness: float, chroma: float, hue: float) -> str:
    a, b = chroma * math.cos(hue), chroma * math.sin(hue)
    long = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3
    medium = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3
    short = (lightness - 0.0894841775 * a - 1.2914855480 * b) ** 3
    linear = (
        4.0767416621 * long - 3.3077115913 * medium + 0.2309699292 * short,
        -1.2684380046 * long + 2.6097574011 * medium - 0.3413193965 * short,
        -0.0041960863 * long - 0.7034186147 * medium + 1.7076147010 * short,
    )
    return "#" + "".join(f"{round(255 * _gamma(min(1.0, max(0.0, value)))):02x}" for value in linear)


def _gamma(value: float) -> float:
    return 12.92 * value if value <= 0.0031308 else 1.055 * value ** (1 / 2.4) - 0.055


def summary(clusters: list[Cluster]) -> str:
    """Return in one sentence how many images are in how many clusters."""
    noise = sum(cluster.size for cluster in clusters if cluster.noise)
    inside = [cluster.size for cluster in clusters if not cluster.noise]
    if not inside:
        return f"No cluster was found: all {count(noise, 'image')} are noise." if noise else "There are no images."
    text = f"{count(sum(inside), 'image')} in {count(len(inside), 'cluster')}"
    share = 100 * noise / (noise + sum(inside))
    return f"{text}; {noise:,} ({share:.1f} %) are noise." if noise else f"{text}; no noise."


def count(number: int, noun: str) -> str:
    """Return `1 image`, `2 images`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def is_jpeg(data: bytes | None) -> bool:
    """Tell whether bytes begin as a JPEG does."""
    return bool(data) and data is not None and data[:3] == b"\xff\xd8\xff"


def data_uri(data: bytes) -> str:
    """Return a JPEG as a `data:` URI."""
    return "data:image/jpeg;base64," + base64.b64encode(data).decode()


def picture_source(stage: Stage, id_: str, thumbnail: bytes | None, context: Context, within: bool) -> str:
    """Return what an `<img>` names: the thumbnail itself, or the file beside the page that it is written to; "" without.

    Raises:
        StageError: it goes beside the page, and there is no folder for it.
    """
    if thumbnail is None or not is_jpeg(thumbnail):
        return ""
    if within:
        return data_uri(thumbnail)
    if context.folder is None:
        raise StageError(
            f"{stage.title()} needs a folder for its pictures; give one in the context, or raise its option `inline`"
        )
    file = context.folder / f"{id_}.jpg"
    file.write_bytes(thumbnail)
    return f"files/{file.name}"


def cut(text: str | None, most: int = 600) -> str:
    """Return a text as the report shows it: at most so many characters, with an ellipsis."""
    known = text or ""
    return known if len(known) <= most else f"{known[: most - 1]}…"


def asset(name: str) -> str:
    """Return the text of an asset of this package."""
    return (ASSETS / name).read_text(encoding="utf-8")


def html(name: str, values: Mapping[str, object]) -> str:
    """Return a template of this package, filled; every value is escaped."""
    from shoal.report import environment

    return environment(ASSETS).get_template(name).render(values)


def fragment(stage: Stage, title: str, body: str, style: str = "", script: str = "") -> pa.Table:
    """Return the one row that a visualiser answers with."""
    row = {"id": stage.name, "title": title, "html": body, "style": style, "script": script}
    return pa.Table.from_pylist([row], schema=pa.schema([ID, *stage.produces()]))
