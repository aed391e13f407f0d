"""A client to be killed: for every line that it reads, a process of its own downloads the files.

    python client.py MIRROR FOLDER JSON

``all`` fetches all files; ``kill SECONDS`` does too, and is killed after so long; ``step FOLDER N``
fetches the first file into a folder of its own, and ends without any goodbye at the Nth change of
a name or a length on disk. The answer is how the process ended.
"""

import itertools
import json
import os
import signal
import sys
import time
from pathlib import Path

from bat.acquisition import part
from bat.acquisition.downloads import fetch_all
from bat.acquisition.network import Network
from bat.acquisition.remote import RemoteFile
from bat.acquisition.transfer import fetch

CRASHED = 77


def main():
    mirror, folder, listing = sys.argv[1:]
    files = [RemoteFile(name=name, urls=tuple(urls)) for name, urls in json.loads(listing)]
    network = Network(mirror=mirror, connections=2, timeout_s=5.0, backoff_s=0.01)
    print("ready", flush=True)
    for line in sys.stdin:
        order, *details = line.split()
        child = os.fork()
        if child == 0:
            if order == "step":
                end_at_step(int(details[1]))
                fetch(files[0], Path(folder, details[0]), network)
            else:
                list(fetch_all(files, Path(folder), network))
            os._exit(0)
        if order == "kill":
            time.sleep(float(details[0]))
            os.kill(child, signal.SIGKILL)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


def end_at_step(last):
    steps = itertools.count()

    def counting(step):
        def run(*arguments, **named):
            if next(steps) == last:
                os._exit(CRASHED)
            return step(*arguments, **named)

        return run

    for owner, names in ((Path, ("replace", "unlink")), (part.os, ("ftruncate", "fsync", "open"))):
        for name in names:
            setattr(owner, name, counting(getattr(owner, name)))


if __name__ == "__main__":
    main()
