from importlib.util import find_spec

import pytest

from shoal.errors import StageError
from shoal_plugins.embed import _torchvision

if find_spec("torch") is None:
    pytest.skip("PyTorch is not installed", allow_module_level=True)


def test_timm_and_transformers_can_be_imported_afterwards():
    if find_spec("torchvision") is None:
        pytest.skip("torchvision is not installed")
    _torchvision.mend_torchvision()
    _torchvision.mend_torchvision()
    import torchvision.transforms as transforms

    assert transforms.Resize(4).size == 4


def test_a_torchvision_that_does_not_fit_in_another_way_is_said(monkeypatch):
    def fail(_name):
        raise RuntimeError("operator torchvision::something does not exist\nand more")

    monkeypatch.setattr(_torchvision, "import_module", fail)
    monkeypatch.setattr(_torchvision, "find_spec", lambda _name: True)
    with pytest.raises(StageError, match=r"torchvision does not fit PyTorch .* install the pair that belongs together$"):
        _torchvision.mend_torchvision()
