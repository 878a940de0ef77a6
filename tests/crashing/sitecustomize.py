"""On PYTHONPATH, makes a helper process do what marked bytes behind a photo tell it to: crash, hang or hoard.

Only processes started as `python -m indexer.helper` are touched, so that the decoder's own process really dies of a
real signal while everything around it is the shipped code.
"""

import os
import signal
import sys
import time

if "indexer.helper" in sys.orig_argv:
    import numpy

    import indexer.photo

    honest = indexer.photo.decode_reduced

    def decode_reduced(content, limits, side):
        if content.endswith(b"CRASH"):
            os.kill(os.getpid(), signal.SIGSEGV)
        if content.endswith(b"HANG"):
            time.sleep(3600)
        if content.endswith(b"HOARD"):
            return [numpy.empty(100_000_000, numpy.uint8) for _ in range(1000)]
        if content.endswith(b"CHATTER"):
            os.write(1, b"a decoder talks to itself\n")
            os.write(2, b"a decoder complains\n")
        return honest(content, limits, side)

    indexer.photo.decode_reduced = decode_reduced
