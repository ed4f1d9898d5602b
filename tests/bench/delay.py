#!/usr/bin/env python3
"""Adds latency to a connection, half of it each way.

    delay.py tcp MS LISTEN_PORT TARGET_PORT     a proxy on the loopback
    delay.py pipe MS ARGV...                    a filter around a command

Bytes are delayed, not slowed down: what was sent together arrives together.
"""
import collections
import os
import socket
import subprocess
import sys
import threading
import time


def pump(read, write, close, seconds):
    """Passes on what READ gives, SECONDS later."""
    queue, ready = collections.deque(), threading.Condition()

    def reader():
        while True:
            try:
                data = read()
            except OSError:
                data = b""
            with ready:
                queue.append((time.monotonic() + seconds, data))
                ready.notify()
            if not data:
                return

    threading.Thread(target=reader, daemon=True).start()
    while True:
        with ready:
            while not queue:
                ready.wait()
            due, data = queue.popleft()
        left = due - time.monotonic()
        if left > 0:
            time.sleep(left)
        if not data:
            break
        try:
            write(data)
        except OSError:
            break
    close()


def both(left, right):
    threads = [threading.Thread(target=pump, args=a) for a in (left, right)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()


def shut(s):
    try:
        s.shutdown(socket.SHUT_WR)
    except OSError:
        pass


def serve(conn, target, half):
    out = socket.create_connection(("127.0.0.1", target))
    for s in (conn, out):
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    both((lambda: conn.recv(1 << 18), out.sendall, lambda: shut(out), half),
         (lambda: out.recv(1 << 18), conn.sendall, lambda: shut(conn), half))
    conn.close()
    out.close()


def tcp(half, port, target):
    with socket.create_server(("127.0.0.1", port)) as listener:
        while True:
            conn, _ = listener.accept()
            threading.Thread(target=serve, args=(conn, target, half),
                             daemon=True).start()


def write_all(fd, data):
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view):]


def pipe(half, argv):
    child = subprocess.Popen(argv, stdin=subprocess.PIPE,
                             stdout=subprocess.PIPE)
    to, back = child.stdin.fileno(), child.stdout.fileno()
    both((lambda: os.read(0, 1 << 18), lambda d: write_all(to, d),
          child.stdin.close, half),
         (lambda: os.read(back, 1 << 18), lambda d: write_all(1, d),
          lambda: os.close(1), half))
    return child.wait()


def main():
    half = float(sys.argv[2]) / 2000
    if sys.argv[1] == "tcp":
        tcp(half, int(sys.argv[3]), int(sys.argv[4]))
    else:
        sys.exit(pipe(half, sys.argv[3:]))


main()
