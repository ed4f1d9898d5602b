"""A program on a pseudo-terminal: what it draws, what it is typed.

    with Terminal([program, "status"], env=env) as t:
        t.wait_for("mounted")
        t.type("q")
        assert t.wait() == 0
"""
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time

LIMIT = 60


class Terminal:
    def __init__(self, argv, env=None, cwd=None, rows=40, columns=100):
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ,
                    struct.pack("HHHH", rows, columns, 0, 0))
        env = dict(os.environ if env is None else env)
        env.setdefault("TERM", "xterm")
        self.raw = b""
        self.child = subprocess.Popen(
            [str(a) for a in argv], stdin=slave, stdout=slave, stderr=slave,
            env=env, cwd=cwd, start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
        self.name = os.ttyname(slave)
        os.close(slave)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        if self.child.poll() is None:
            self.child.send_signal(signal.SIGKILL)
            self.child.wait()
        os.close(self.master)

    def read_some(self, seconds):
        """False at the end of everything or when nothing came."""
        if not select.select([self.master], [], [], seconds)[0]:
            return False
        try:
            data = os.read(self.master, 65536)
        except OSError:
            return False
        self.raw += data
        return bool(data)

    @property
    def text(self):
        """All that was written, without escape sequences."""
        return plain(self.raw)

    def wait_for(self, pattern, seconds=LIMIT):
        end = time.monotonic() + seconds
        while not re.search(pattern, self.text):
            assert time.monotonic() < end, (pattern, self.text)
            self.read_some(0.2)
        return re.search(pattern, self.text)

    def type(self, text):
        os.write(self.master, text.encode())

    def wait(self, seconds=LIMIT):
        """The exit code; everything written is read first."""
        end = time.monotonic() + seconds
        while self.child.poll() is None:
            assert time.monotonic() < end, self.text
            self.read_some(0.1)
        while self.read_some(0.2):
            pass
        return self.child.returncode


def plain(raw):
    text = raw.decode(errors="replace")
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)
    return text.replace("\r\n", "\n")
