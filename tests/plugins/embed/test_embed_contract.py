"""Every embedder keeps the contract that the kit for plugin authors checks."""

from importlib.util import find_spec

import pytest

from shoal.contract import Context
from shoal.testing import check_stage
from shoal_plugins.embed.lite0 import Lite0
from shoal_plugins.embed.onnx import Onnx
from tests.models.onnx_models import make_conv


def test_lite0(tmp_path):
    check_stage(Lite0(), context=Context(cache=tmp_path))


def test_onnx(tmp_path):
    check_stage(Onnx(path=str(make_conv(tmp_path / "model.onnx"))))


@pytest.mark.skipif(find_spec("timm") is None, reason="the extra timm is not installed")
def test_timm(tmp_path):
    from shoal_plugins.embed.timm import Timm
    from tests.models.tiny_timm import make_tiny

    make_tiny("test_efficientnet", tmp_path)
    check_stage(Timm(model=str(tmp_path)))


@pytest.mark.skipif(find_spec("transformers") is None, reason="the extra transformers is not installed")
def test_transformers(tmp_path):
    from shoal_plugins.embed.transformers import Transformers
    from tests.models.tiny_transformers import make_tiny

    make_tiny("dinov2_reg", tmp_path)
    check_stage(Transformers(model=str(tmp_path)))
