"""What dead processes leave in an object store is found, and what is alive is not touched."""

import uuid

import pytest

from pipelines.stages import object_leftovers as leftovers
from pipelines.stages.leases import take
from pipelines.stages.object_leftovers import object_leftovers, remove_object
from pipelines.stages.plan import write_plan
from pipelines.stages.store import Store

MIB = 1 << 20


@pytest.fixture
def bucket(s3) -> Store:
    return Store(f"{s3.bucket()}/run")


@pytest.fixture(params=["memory", "s3"])
def store(request) -> Store:
    if request.param == "s3":
        return Store(f"{request.getfixturevalue('s3').bucket()}/run")
    return Store(f"memory://{uuid.uuid4()}/run")


def shard(store, path, num_bytes=100):
    for end in ("tar", "parquet", "json"):
        store.write(f"{path}.{end}", bytes(num_bytes))


def test_shards_beyond_the_plan_go_and_the_others_stay(store):
    for name in ("shards/00000", "shards/00001", "held_out/shards/00000", "held_out/shards/00001", "unplanned/00000"):
        shard(store, name)
    write_plan(store, "shards", ["00000"])
    write_plan(store, "held_out/shards", ["00000"])
    found = object_leftovers(store, {"held_out/shards": ["00000", "00001"]})
    assert [(one.key, one.kind, one.num_bytes) for one in found] == [
        ("held_out/shards/00001", "shard beyond the plan", 300),
        ("shards/00001", "shard beyond the plan", 300),
    ]
    assert "this profile plans it" in found[0].why and "this profile" not in found[1].why
    assert found[1].path == store.url("shards/00001.tar")
    for one in found:
        remove_object(store, one)
    assert object_leftovers(store, {}) == []
    assert [path for path in store.tree() if path.endswith(".tar")] == [
        *("held_out/shards/00000.tar", "shards/00000.tar", "unplanned/00000.tar")
    ]


def test_a_shard_that_is_being_made_is_left_alone(store):
    shard(store, "shards/00001")
    write_plan(store, "shards", [])
    (found,) = object_leftovers(store, {})
    held = take(store, "shards/.00001.lock")
    remove_object(store, found)
    assert store.exists("shards/00001.json")
    held.release()


def begin_upload(store, path):
    objects = store.objects
    about = {"Key": objects.key(path)}
    upload = objects.run(objects.call("create_multipart_upload", **about))["UploadId"]
    objects.run(objects.call("upload_part", **about, UploadId=upload, PartNumber=1, Body=bytes(5 * MIB)))


def test_unfinished_uploads_are_found_and_aborted(bucket, monkeypatch):
    for path in ("a/00000.tar", "a/00000.tar"):
        begin_upload(bucket, path)
    begin_upload(Store(bucket.root + " of another"), "a/00000.tar")
    found = object_leftovers(bucket, {})
    assert [(one.kind, one.key, one.num_bytes) for one in found] == [("unfinished upload", "a/00000.tar", 5 * MIB)] * 2
    monkeypatch.setattr(leftovers, "UPLOAD_AGE_S", 1e12)
    assert object_leftovers(bucket, {}) == []
    for one in (*found, found[0]):
        remove_object(bucket, one)
    monkeypatch.setattr(leftovers, "UPLOAD_AGE_S", 0.0)
    assert object_leftovers(bucket, {}) == []
    assert len(object_leftovers(Store(bucket.root + " of another"), {})) == 1


def test_abandoned_leases_go_and_renewed_ones_stay(bucket, monkeypatch):
    first, second = take(bucket, "a/.00000.lock"), take(bucket, "a/.00001.lock")
    assert object_leftovers(bucket, {}) == []
    monkeypatch.setattr(leftovers, "LEASE_AGE_S", -10.0)
    found = object_leftovers(bucket, {})
    assert [(one.kind, one.key) for one in found] == [
        ("abandoned lease", "a/.00000.lock"),
        ("abandoned lease", "a/.00001.lock"),
    ]
    first.renew()
    for one in found:
        remove_object(bucket, one)
    assert bucket.exists("a/.00000.lock")
    assert not bucket.exists("a/.00001.lock")
    first.release()
    second.release()
