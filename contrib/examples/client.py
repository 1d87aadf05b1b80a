#!/usr/bin/env python3
"""Generates a video through veod, by its line protocol alone: client.py PROMPT"""

import json
import os
import socket
import sys


def ask(stream, command, **members):
    """Sends a command. Its answer's lines, each as a word and an object; the last is no EVENT."""
    stream.write(f"{command} {json.dumps(members)}\n")
    stream.flush()
    word = "EVENT"
    while word == "EVENT":
        word, value = stream.readline().split(" ", 1)
        yield word, json.loads(value)
    if word == "ERR":
        sys.exit("veod: " + json.loads(value)["message"])


def generate(prompt):
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(os.environ.get("VEOD_SOCKET", "/run/veod/veod.sock"))
        stream = connection.makefile("rw", encoding="utf-8")
        [(_, job)] = ask(stream, "GENERATE", prompt=prompt)
        for word, news in ask(stream, "WAIT", ids=[job["id"]], events=True):
            if word == "EVENT":
                print(news["at"], news["state"], file=sys.stderr)
        return news["jobs"][0]


if __name__ == "__main__":
    video = generate(" ".join(sys.argv[1:]))
    if video["state"] != "done":
        sys.exit(f"{video['state']}: {video.get('error', {}).get('message', 'ask veoctl why')}")
    print(video["files"][0]["path"])
