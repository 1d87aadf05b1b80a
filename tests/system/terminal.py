"""A terminal with veoctl on it, and somebody who types."""

import fcntl
import os
import pty
import select
import struct
import subprocess
import termios
import threading
import time

from scripted import HANG, VEOCTL, plain, until


class Terminal:
    """`shell` is a command of bash that runs veoctl as "$@"."""

    def __init__(self, socket, *words, columns=100, env=None, stdout=None, shell=None):
        main, other = pty.openpty()
        self.main = main
        self.resize(columns, other)
        self.process = subprocess.Popen(
            [*(["bash", "-c", shell, "bash"] if shell else []), VEOCTL, "--socket", socket,
             "ask", *map(str, words)], stdin=other,
            stdout=stdout or other, stderr=other, env=env, start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
        os.close(other)
        self.text = ""
        self.is_hung_up = False
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    def resize(self, columns, fd=None):
        fcntl.ioctl(fd or self.main, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))

    def _read(self):
        while not self.is_hung_up:
            if not select.select([self.main], [], [], 0.05)[0]:
                continue
            try:
                piece = os.read(self.main, 65536)
            except OSError:
                return
            if not piece:
                return
            self.text += piece.decode(errors="replace")

    @property
    def plain(self):
        return plain(self.text)

    def see(self, text):
        """Waits until it was shown."""
        end = time.monotonic() + HANG
        while text not in self.plain:
            assert time.monotonic() < end and self.process.poll() is None or text in self.plain, (
                f"{text!r} never came: {self.text}")
            time.sleep(0.005)

    def forget(self):
        self.text = ""

    def type(self, text):
        os.write(self.main, text.encode() if isinstance(text, str) else text)

    def is_as_before(self):
        """Whether the terminal makes lines of what is typed, and shows it."""
        wanted = termios.ICANON | termios.ECHO | termios.ISIG
        return termios.tcgetattr(self.main)[3] & wanted == wanted

    def ready(self):
        """Waits until keys are taken one by one: before, some would be the terminal's own."""
        until(lambda: not self.is_as_before())

    def begin(self):
        self.see("Ctrl-D leaves.")
        self.ready()

    def leave(self):
        self.ready()
        self.type("\x04")

    def hang_up(self):
        self.is_hung_up = True
        self.thread.join(HANG)
        os.close(self.main)

    def end(self):
        status = self.process.wait(HANG)
        self.hang_up()
        assert "Sanitizer" not in self.text and "runtime error" not in self.text, self.text
        return status
