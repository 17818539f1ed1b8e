"""Addresses on the command line: one that is none, or that holds a password, is refused before anything is asked."""

import pytest

from shoal.cli import main


@pytest.mark.parametrize("option", ["--backend", "--backend-seen-at", "--url"])
@pytest.mark.parametrize(
    "address", ["https://ann:5ecret@pictures.example", "pictures.example:9090", "ftp://pictures.example"]
)
def test_an_address_with_a_password_or_without_a_scheme_is_refused(option, address, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", "x")
    others = [] if option == "--url" else ["--url", "http://127.0.0.1:9"]
    with pytest.raises(SystemExit) as ended:
        main(["review", "open", str(tmp_path), *others, option, address])
    assert ended.value.code == 2
    told = capsys.readouterr().err
    assert option in told
    assert "address" in told
    assert "5ecret" not in told
