#!/usr/bin/python3
"""A sandbox that lies: liar.py LIE sh -c ... runs what it is given, unless the
file LIE exists. That holds a line "list" or "fetch" and then what a listing's
or a fetch's script is to have printed. A line "endless" repeats it for ever.
"""
import os
import sys


def main():
    lie, words = sys.argv[1], sys.argv[2:]
    # sh -c FRAME sh NONCE FILE SCRIPT [ARG...]
    if not os.path.exists(lie) or len(words) < 7:
        os.execvp(words[0], words)
    nonce, script = words[4], words[6]
    with open(lie, "rb") as f:
        kind = f.readline().strip().split()
        text = f.read()
    # What again.sh and fetch.sh have.
    mark = {b"list": "$3/script", b"fetch": "no-unquote"}[kind[0]]
    if mark not in script:
        os.execvp(words[0], words)
    out = sys.stdout.buffer
    out.write(b"sandmount:%s:start\n" % nonce.encode())
    out.write(text)
    while b"endless" in kind:
        out.write(text)
    out.write(b"sandmount:%s:end:0\n" % nonce.encode())


try:
    main()
except BrokenPipeError:
    os._exit(1)
