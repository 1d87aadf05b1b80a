"""Every verb and every member of its argument, good and bad, against the real daemon."""

import harness


def test_ping(client):
    assert client.ok("PING") == {"pong": True}


def test_generate(daemon, client):
    job = client.generate("a cat")
    assert job["state"] == "queued"
    done, = client.wait(job["id"])
    assert done["state"] == "done", done
    data, head = client.get(job["id"])
    assert data == daemon.path_of(done).read_bytes()
    assert harness.ENDED
