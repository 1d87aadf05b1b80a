"""Several providers for one model, and the budget of one of them has no room. One VEO is $3.20."""

import time

from harness import VEO, Daemon, until

TWO = """
[provider first]
dialect = {dialect}
base_url = {url}
models = veo-*
[provider second]
dialect = predict
base_url = {url}
models = veo-*
weight = {weight}
daily_budget_usd = {budget}
"""


class Two(Daemon):
    """A daemon with a file that can be written anew."""

    def __init__(self, directory, sim):
        super().__init__(directory, sim, {"daemon.default_model": VEO})

    def write(self, dialect="predict", weight=1, budget=4):
        (self.directory / "veod.conf").write_text(
            TWO.format(dialect=dialect, url=self.sim.url, weight=weight, budget=budget))

    def command_line(self, options=None, providers=None):
        line = super().command_line(options, providers)
        mine = [("-o", word) for word in line[4::2] if not word.startswith("provider ")]
        return [line[0], "-c", str(self.directory / "veod.conf"),
                *(word for pair in mine for word in pair)]


def rest(daemon, id):
    """The job once it is held, and stays so: what is done about it costs commits."""
    daemon.wait_state(id, "held")
    before = daemon.ok("STATS")["store"]["commits"]
    time.sleep(0.5)
    assert daemon.ok("STATS")["store"]["commits"] - before <= 4
    return daemon.job(id)


def why(daemon, id):
    return daemon.ok(f"WHY {id}")["text"]


def spend(daemon, **fields):
    """What `second` has for today."""
    job = daemon.generate("the first", model=VEO, provider="second", **fields)
    assert daemon.wait(job["id"])[0]["state"] == "done"


def test_room_where_it_is_not_taken_is_no_room(directory, sim):
    """/v1/videos takes no seed: that it has money is nothing to a job with one."""
    daemon = Two(directory, sim)
    daemon.write(dialect="videos")
    daemon.start()
    spend(daemon)
    job = rest(daemon, daemon.generate("a cat", model=VEO, seed=2)["id"])
    assert "[provider second] daily_budget_usd" in job["error"]["message"]
    assert daemon.ok(f"STATUS {job['id']}")["attempts"] == 0
    daemon.write(dialect="videos", budget=7)
    daemon.ok("RELOAD")
    assert daemon.wait_state(job["id"], "done")["provider"] == "second"
    daemon.close()


def test_room_where_it_was_refused_is_no_room(directory, sim):
    """It isn't sent there again and again."""
    daemon = Two(directory, sim)
    daemon.write()
    daemon.start()
    spend(daemon)
    sim.rules([{"on": "submit", "do": "status", "status": 404}])
    asked = sim.stats()["submissions"]
    job = rest(daemon, daemon.generate("a cat", model=VEO)["id"])
    assert "[provider second] daily_budget_usd" in job["error"]["message"]
    assert sim.stats()["submissions"] - asked <= 2
    sim.clear_rules()
    daemon.write(budget=7)
    daemon.ok("RELOAD")
    daemon.wait_state(job["id"], "done")
    daemon.close()


def test_a_raised_budget_is_seen_by_who_waits_for_the_other(directory, sim):
    """The first is shut for an hour."""
    daemon = Two(directory, sim)
    daemon.write()
    daemon.start()
    spend(daemon)
    sim.rules([{"on": "submit", "do": "status", "status": 429, "retry_after": "3600", "times": 1}])
    job = daemon.generate("a cat", model=VEO)
    until(lambda: "no room" in why(daemon, job["id"]), "it waits for the first")
    daemon.write(budget=7)
    assert daemon.ok("RELOAD")["changed"] == ["provider second.daily_budget_usd"]
    assert daemon.wait_state(job["id"], "done")["provider"] == "second"
    assert "no room" not in why(daemon, job["id"])
    daemon.close()
