"""`visualize.preparation`: what an embedder sees of some images."""

import hashlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import pyarrow as pa
from pydantic import Field

from shoal.contract import Context, ImageSpec, Stage
from shoal.errors import ImageError, StageError
from shoal.hooks import hookimpl
from shoal.images import decode
from shoal.kinds import Embedder, Visualizer
from shoal.preparing import Preparation
from shoal.schema import NOTHING, columns, vector
from shoal.sources import read_bytes
from shoal_plugins.visualize._shared import asset, count, data_uri, fragment, html

if TYPE_CHECKING:
    from PIL.Image import Image

    from shoal.contract import Pixels

FILE = "preprocessing_comparison.png"
_SIDE = 224
"""Longest side in pixels at which pictures are prepared: what most models want."""
_TRIES = 4
"""Images looked at for each one shown, so that a folder that is gone does not cost a look at every image."""
_GAP = 8
_LABEL = 76
_PAPER, _INK = (255, 255, 255), (40, 46, 52)


@dataclass(frozen=True)
class _Sample:
    path: str
    pictures: "tuple[Image, ...]"  # one for each row of the comparison

    @property
    def name(self) -> str:
        return self.path.rpartition("/")[2]


class PreparationView(Visualizer):
    """Draws some images as they are, as they are prepared for the embedder, and inverted, side by side.

    The same picture lies beside the report as `preprocessing_comparison.png`. How images are prepared is read from the
    embedder: write `from: embed` in the step where a reducer, too, makes vectors; `prepare` shows another preparation. Each
    is prepared at 224 px without stretching or cropping; the inverted row is there where `polarity` is on. The images shown
    are the first by content, which is as good as at random; images that can't be read any more are left out.
    """

    name: ClassVar[str] = "preparation"
    consumes: ClassVar[pa.Schema] = columns(path=pa.string())
    optional: ClassVar[pa.Schema] = columns(embedding=vector())

    heading: str = Field("Preparation", description="Heading of the section.", min_length=1, max_length=80)
    samples: int = Field(8, ge=1, le=100, description="Images shown.")
    thumbnail: int = Field(80, ge=32, le=512, description="Longest side of a picture, in pixels.")
    prepare: Preparation | None = Field(
        None, description="Preparation to show, as the embedder's option of that name; null takes the embedder's."
    )

    def bind(self, makers: Mapping[str, Stage]) -> Stage:
        """Return this stage with the preparation of the embedder, whose vectors it need not read then.

        Raises:
            StageError: the vectors come from another stage than an embedder.
        """
        maker = makers.get("embedding")
        if self.prepare is None and maker is not None and not isinstance(maker, Embedder):
            raise StageError(
                f"visualize.preparation shows what an embedder does to images, and {maker.title()} is none; name the "
                "embedder's step with `from:`"
            )
        prepare = maker.prepare if self.prepare is None and isinstance(maker, Embedder) else self.prepare
        return _Bound(**{**self.model_dump(), "prepare": prepare})

    def run(self, rows: pa.Table, context: Context) -> pa.Table:
        """Return the comparison, and write it as a PNG into `context.folder`."""
        prepare = self.prepare or Preparation()
        names = ["original"]
        if prepare != Preparation():
            names += ["prepared", "inverted"] if prepare.polarity else ["prepared"]
        samples, failed = self._samples(rows, prepare, len(names))
        if samples and context.folder is not None:
            _sheet(names, samples, self.thumbnail).save(context.folder / FILE, "PNG")
        shown = [(name, [(data_uri(_jpeg(s.pictures[row])), s) for s in samples]) for row, name in enumerate(names)]
        values = {"rows": shown, "total": rows.num_rows, "failed": failed, "said": said(prepare), "count": count}
        return fragment(self, self.heading, html("preparation.html", values), asset("preparation.css"))

    def _samples(self, rows: pa.Table, prepare: Preparation, wanted: int) -> tuple[list[_Sample], int]:
        """Return the first images that can be read, and how many before them can't."""
        found: list[_Sample] = []
        failed = 0
        for row in rows.select(["id", "path"]).slice(0, self.samples * _TRIES).to_pylist():
            if len(found) == self.samples:
                break
            try:
                found.append(_Sample(row["path"], self._pictures(row["id"], row["path"], prepare)[:wanted]))
            except ImageError:
                failed += 1
        return found, failed

    def _pictures(self, image: str, path: str, prepare: Preparation) -> "tuple[Image, ...]":
        data = read_bytes(path)
        if hashlib.sha256(data).hexdigest() != image:
            raise ImageError(f"{path} has changed")
        original = decode(data, ImageSpec(self.thumbnail, self.thumbnail, fit="inside"))
        prepared, inverse = prepare.both([decode(data, ImageSpec(_SIDE, _SIDE, fit="inside", trim=prepare.trim.edges))])
        return tuple(self._small(pixels) for pixels in (original, prepared[0], inverse[0]))

    def _small(self, pixels: "Pixels") -> "Image":
        from PIL import Image

        picture = Image.fromarray(pixels)
        picture.thumbnail((self.thumbnail, self.thumbnail), Image.Resampling.LANCZOS)
        return picture


class _Bound(PreparationView):
    """The same, once it is known how images are prepared: it reads no vectors."""

    optional: ClassVar[pa.Schema] = NOTHING

    def bind(self, makers: Mapping[str, Stage]) -> Stage:
        """Return this stage."""
        return self


def said(prepare: Preparation) -> str:
    """Return in one sentence what is done to an image."""
    cuts = [f"{100 * share:.3g} % {edge}" for edge, share in prepare.trim.model_dump().items() if share]
    done = [f"trimmed ({', '.join(cuts)})"] if cuts else []
    done += ["turned to grey"] if prepare.grayscale else []
    tiles = f"{prepare.grid} x {prepare.grid} tiles"
    done += [f"evened out in contrast (CLAHE, clip limit {prepare.clip:g}, {tiles})"] if prepare.clahe else []
    if not done and not prepare.polarity:
        return "Nothing is done to images before the embedder sees them."
    start = f"Images are {', then '.join(done)}" if done else "Images stay as they are"
    twins = "; the vectors of the image and of its negative are averaged" if prepare.polarity else ""
    return f"{start}{twins}."


def _jpeg(picture: "Image") -> bytes:
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=90)
    return file.getvalue()


def _sheet(names: Sequence[str], samples: Sequence[_Sample], cell: int) -> "Image":
    """Return the comparison as one picture: a row for each name, a column for each sample."""
    from PIL import Image, ImageDraw, ImageFont

    step = cell + _GAP
    sheet = Image.new("RGB", (_LABEL + step * len(samples) + _GAP, step * len(names) + _GAP), _PAPER)
    draw = ImageDraw.Draw(sheet)
    for row, name in enumerate(names):
        top = _GAP + row * step
        draw.text((_GAP, top + cell / 2), name, fill=_INK, font=ImageFont.load_default(13), anchor="lm")
        for column, sample in enumerate(samples):
            picture = sample.pictures[row]
            left = _LABEL + _GAP + column * step
            sheet.paste(picture, (left + (cell - picture.width) // 2, top + (cell - picture.height) // 2))
    return sheet


@hookimpl
def shoal_stages() -> tuple[type[Stage], ...]:
    """Return the stage of this module."""
    return (PreparationView,)
