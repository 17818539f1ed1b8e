"""Pictures on S3: images and a store in a bucket, addresses that Label Studio signs when it shows a task."""

from pathlib import Path

import httpx
import pytest

import shoal
from shoal.catalogue import Run
from shoal.runner import RunOptions
from shoal_ls.client import Server
from shoal_ls.picturing import Source
from shoal_ls.thumbnails import Pictures
from tests.label_studio.runs import PIPELINE
from tests.label_studio.server import fresh
from tests.label_studio.test_open import number, open_
from tests.loopback_s3 import serve

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def test_label_studio_signs_the_addresses_of_pictures_in_a_bucket(
    made_run: Run, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOAL_MLFLOW", "off")
    monkeypatch.setenv("SHOAL_DATABASE", f"sqlite:///{tmp_path / 'decisions.db'}")
    with serve(monkeypatch, "pictures") as bucket:
        place = bucket.query.partition("endpoint_override=")[2].partition("&")[0].replace("%3A", ":")
        (tmp_path / "reviewing.yaml").write_text(PIPELINE)
        for path in Path(made_run.record.source).iterdir():
            bucket.put(f"images/{path.name}", path.read_bytes())
        images, out = bucket.uri("images"), bucket.uri("out")
        run = shoal.run(tmp_path / "reviewing.yaml", images, out, options=RunOptions(where="local"))
        keys = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing", "AWS_DEFAULT_REGION": "us-east-1"}
        studio = fresh(cache, tmp_path / "studio", environment={**keys, "AWS_ENDPOINT_URL": f"http://{place}"})
        try:
            with Server.connect(studio.url, token=studio.token) as server:
                for _ in range(2):
                    opened = open_(run, server, pictures=Source("presigned"))
                one = opened["clusters"]
                assert len(server.listed("/api/storages/s3/", number(one), "list storages")) == 1
                first = next(server.task_list(number(one)))["id"]
                shown = server.ask("GET", f"/api/tasks/{first}/", "read it", resolve_uri="true")["data"]["items"][0]["html"]
                stored = server.ask("GET", f"/api/tasks/{first}/", "read it", resolve_uri="false")["data"]["items"][0]
            assert f"s3://pictures/out/thumbnails/{stored['id'][:2]}/{stored['id']}.jpg" in stored["html"]
            address = shown.partition('src="')[2].partition('"')[0]
            answer = studio.call("GET", address, follow_redirects=True) if address.startswith("/") else httpx.get(address)
            assert answer.status_code == 200
            assert answer.content == Pictures.of(run).read(stored["id"])
        finally:
            studio.stop()
