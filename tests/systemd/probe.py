"""What a process in veod's sandbox can do: prints {"what": "yes" or the error's name}."""

import ctypes
import errno
import json
import mmap
import os
import pathlib
import socket
import sys

libc = ctypes.CDLL(None, use_errno=True)


def check(result):
    if result < 0:
        raise OSError(ctypes.get_errno(), "")


def write_in(folder):
    path = pathlib.Path(folder) / "veod-probe"
    path.write_text("x")
    path.unlink()


def mount():
    check(libc.mount(b"none", b"/mnt", b"tmpfs", 0, None))


ATTEMPTS = {
    "read home": lambda: pathlib.Path("/home/alice/open").read_text(),
    "see homes": lambda: os.listdir("/home/alice"),
    "read tmp": lambda: pathlib.Path("/tmp/open").read_text(),
    "read key": lambda: pathlib.Path("/etc/veod/gemini-api-key").read_text(),
    "read srv": lambda: pathlib.Path("/srv/open").read_text(),
    "read credential": lambda: (pathlib.Path(os.environ["CREDENTIALS_DIRECTORY"])
                                / "gemini-api-key").read_text(),
    "write state": lambda: write_in(os.environ["STATE_DIRECTORY"]),
    "write usr": lambda: write_in("/usr/local/share"),
    "write etc": lambda: write_in("/etc/veod"),
    "write srv": lambda: write_in("/srv"),
    "write var": lambda: write_in("/var/lib"),
    "see others": lambda: os.listdir("/proc/1"),
    "see the machine": lambda: pathlib.Path("/proc/meminfo").read_text(),
    "raw socket": lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP),
    "packet socket": lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW),
    "netlink socket": lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW),
    "tcp socket": lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM),
    "look a name up": lambda: socket.getaddrinfo("localhost", 80),
    "become root": lambda: os.setuid(0),
    "make a namespace": lambda: check(libc.unshare(0x10000000)),
    "mount": mount,
    "trace": lambda: check(libc.ptrace(0, 0, 0, 0)),
    "write and execute": lambda: mmap.mmap(-1, 4096, prot=mmap.PROT_WRITE | mmap.PROT_EXEC),
    "real time": lambda: os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1)),
    "a program of root's": lambda: os.chmod(sys.argv[1], 0o4755),
}


def outcome(attempt):
    try:
        attempt()
        return "yes"
    except OSError as error:
        return errno.errorcode.get(error.errno, str(error))


if __name__ == "__main__":
    open(sys.argv[1], "w").close()
    print("PROBE " + json.dumps({name: outcome(attempt) for name, attempt in ATTEMPTS.items()}),
          flush=True)
    os.unlink(sys.argv[1])
