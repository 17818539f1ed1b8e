"""What a cluster can reach of what a user types."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.errors import UsageError
from shoal.submitting.places import is_this_machine, reachable

HERE, THERE = "http://127.0.0.1:8265", "http://head:8265"


@pytest.mark.parametrize(
    ("host", "here"),
    [
        ("localhost", True), ("LOCALHOST", True), ("127.0.0.1", True), ("127.8.0.3", True), ("::1", True), ("[::1]", True),
        ("head", False), ("10.0.0.1", False), ("0.0.0.0", False), ("127.0.0.1.example.org", False), ("", False),
    ],
)  # fmt: skip
def test_which_hosts_are_this_machine(host: str, here: bool) -> None:
    assert is_this_machine(host) is here


def test_uris_go_as_they_are() -> None:
    for place in ("s3://bucket/in", "gs://bucket/in", "s3://b/in?endpoint_override=minio:9000&scheme=http&region=x"):
        assert reachable(place, "IMAGES", THERE) == place


def test_a_path_is_this_machine_s_or_shared_or_refused() -> None:
    assert reachable("photos", "IMAGES", HERE).startswith("/")
    assert reachable("/mnt/x/photos", "IMAGES", THERE, ["/mnt/x"]) == "/mnt/x/photos"
    assert reachable("file:///mnt/x/photos", "IMAGES", THERE, ["/mnt/x"]) == "/mnt/x/photos"
    for place in ("/mnt/xy/photos", "/mnt/x/../y", "photos", "file:///home/photos"):
        with pytest.raises(UsageError, match=r"IMAGES .* lies on this machine.*s3://.*--shared"):
            reachable(place, "IMAGES", THERE, ["/mnt/x"])


@given(st.text("abc/._-", max_size=20), st.text("abc/._-", max_size=20))
def test_a_path_that_is_let_through_lies_in_the_shared_folder(shared: str, below: str) -> None:
    folder = "/mnt/" + shared.replace("..", "")
    try:
        place = reachable(f"{folder}/{below}", "IMAGES", THERE, [folder])
    except UsageError:
        assert ".." in below
        return
    root = reachable(folder, "IMAGES", HERE)
    assert place == root or place.startswith(root.rstrip("/") + "/")


@pytest.mark.parametrize("server", ["127.0.0.1:9000", "localhost:9000", "http://127.0.0.1:9000"])
def test_an_object_store_of_this_machine_is_not_the_cluster_s(server: str) -> None:
    place = f"s3://bucket/in?endpoint_override={server}&scheme=http"
    assert reachable(place, "IMAGES", HERE) == place
    with pytest.raises(UsageError, match="the cluster's own machine"):
        reachable(place, "IMAGES", THERE)


@pytest.mark.parametrize("name", ["access_key", "secret_key", "session_token", "secretAccessKey", "password"])
def test_keys_in_a_uri_are_refused_and_not_shown(name: str) -> None:
    with pytest.raises(UsageError) as caught:
        reachable(f"s3://bucket/in?{name}=hunter2", "IMAGES", HERE)
    assert "hunter2" not in str(caught.value)
    assert name in str(caught.value)


@pytest.mark.parametrize(
    "place",
    [
        "s3://AKIA:hunter2@bucket/in", "S3://hunter2@bucket", "gs://hunter2@bucket/in", "abfs://c:hunter2@account/in",
        "abfs://:hunter2@account.blob.core.windows.net/c/in", "abfs://c@account/in?sp=r&sig=hunter2",
        "s3://bucket/in?endpoint_override=http://me:hunter2@minio:9000", "s3://bucket/a/b@c?secret_key=",
    ],
)  # fmt: skip
@pytest.mark.parametrize("address", [HERE, THERE])
def test_logins_in_a_uri_are_refused_and_not_shown(place: str, address: str) -> None:
    with pytest.raises(UsageError, match=r"--out holds .* command is shown to everybody") as caught:
        reachable(place, "--out", address)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    "place",
    [
        "abfss://container@account.dfs.core.windows.net/in?credential_kind=cli", "hdfs://user@namenode:8020/in",
        "s3://bucket/mail/a@b:c/in", "s3://bucket/in?scheme=http&endpoint_override=minio:9000",
    ],
)  # fmt: skip
def test_names_that_are_no_secrets_are_let_through(place: str) -> None:
    assert reachable(place, "--out", THERE) == place
