"""foundation.object_store on a real server: whole writes, listing, and what an operator reads when it will not do."""

from __future__ import annotations

import pickle

import pytest
from object_stores import BUSY, EXPIRED, KEYS, busy

from foundation import object_store
from foundation.errors import AfterfactError
from foundation.object_store import (
    BucketMissing,
    ObjectMissing,
    StoreError,
    StoreRefused,
    StoreUnavailable,
    is_remote,
    open_object,
    open_store,
)


@pytest.fixture
def store(s3):
    return open_store(f"{s3.new_bucket()}/some/prefix")


def test_what_is_written_is_read_listed_and_removed(store):
    store.write("a/one", b"hello")
    store.write("a/b/two", b"")
    store.write("three", memoryview(b"12345678"))
    assert store.read("a/one") == b"hello"
    assert store.read("three", 2, 3) == b"345"
    assert store.read("three", 6, 10) == b"78"
    assert store.read("a/b/two") == b""
    assert {one.name: one.size for one in store.list()} == {"a/one": 5, "a/b/two": 0, "three": 8}
    assert [one.name for one in store.list("a")] == ["a/b/two", "a/one"]
    assert [one.name for one in store.list("a", recursive=False)] == ["a/one"]
    assert list(store.folders()) == ["a"] and list(store.folders("a")) == ["a/b"]
    assert store.info("three").modified_ns > 1_600_000_000_000_000_000
    store.delete("three")
    store.delete_below("a")
    assert list(store.list()) == [] and store.info("three") is None


def test_what_is_not_there_is_told_and_removing_it_is_no_error(store):
    assert store.info("nothing") is None and list(store.list("nothing")) == []
    store.delete("nothing")
    store.delete_below("nothing")
    with pytest.raises(ObjectMissing, match=r"s3://bucket-\d+/some/prefix/nothing is not there"):
        store.read("nothing")
    with pytest.raises(FileNotFoundError):
        store.open("nothing")


def test_a_store_travels_as_its_location_alone(store):
    store.write("one", b"1")
    carried = pickle.dumps(store)
    assert not any(secret.encode() in carried for secret in KEYS.values())
    assert pickle.loads(carried).read("one") == b"1"
    bucket, name = open_object(store.at("one"))
    assert bucket.read(name) == b"1"


@pytest.mark.parametrize("location", ["/a/path", "file:///a", "s3://", "http://host/bucket", "s3:/bucket"])
def test_what_is_no_place_in_a_store_is_refused(location):
    with pytest.raises(StoreError, match="write s3://BUCKET/PREFIX or gs://BUCKET/PREFIX"):
        open_store(location)


def test_paths_are_not_taken_for_stores(tmp_path):
    assert is_remote("s3://bucket") and is_remote("gs://bucket/x")
    assert not is_remote(tmp_path) and not is_remote("s3/bucket")


def test_a_bucket_that_is_not_there_is_named(s3):
    absent = open_store("s3://no-such-bucket/galleries")
    for ask in (absent.require, lambda: absent.write("x", b"1")):
        with pytest.raises(BucketMissing, match=r"there is no bucket 'no-such-bucket' at http://127.* AWS_REGION"):
            ask()


def ways(store):
    return {
        "require": store.require,
        "read": lambda: store.read("one"),
        "write": lambda: store.write("one", b"2"),
        "info": lambda: store.info("one"),
        "list": lambda: list(store.list()),
    }


@pytest.mark.parametrize("way", ["require", "read", "write", "info", "list"])
@pytest.mark.parametrize(
    "answer",
    [EXPIRED, (403, b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>")],
    ids=["expired", "denied"],
)
def test_a_refusal_says_what_credentials_are_read_and_never_which(s3, proxy, way, answer):
    store = open_store(s3.new_bucket())
    store.write("one", b"1")
    proxy.answer = lambda _asked: answer
    with pytest.raises(StoreRefused) as caught:
        ways(store)[way]()
    said = str(caught.value)
    assert "AWS_ACCESS_KEY_ID" in said and "not expired" in said and store.location in said and "\n" not in said
    assert not any(secret in said for secret in KEYS.values())


def test_wrong_credentials_are_refused_by_a_server_that_proves_who_asks(s3, store, monkeypatch):
    if not s3.proves_who_asks:
        pytest.skip("moto's server takes any credentials; AFTERFACT_S3_SERVER names one that does not")
    store.write("one", b"1")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "another")
    object_store._client.cache_clear()
    for ask in ways(store).values():
        with pytest.raises(StoreRefused, match="AWS_SECRET_ACCESS_KEY"):
            ask()


def test_a_store_that_is_busy_for_a_while_is_asked_again(s3, proxy):
    store = open_store(s3.new_bucket())
    proxy.answer = busy(2)
    store.write("one", b"1")
    proxy.answer = busy(2)
    assert store.read("one") == b"1"


def test_a_store_that_stays_busy_is_given_up_with_one_line(s3, proxy, monkeypatch):
    monkeypatch.setattr(object_store, "ATTEMPTS", 3)
    object_store._client.cache_clear()
    store = open_store(s3.new_bucket())
    proxy.answer = lambda _asked: BUSY
    with pytest.raises(StoreUnavailable, match=r"asked 3 times .*run the same command again") as caught:
        list(store.list())
    object_store._client.cache_clear()
    assert isinstance(caught.value, AfterfactError) and "\n" not in str(caught.value)
    assert len(proxy.asked) == 3
