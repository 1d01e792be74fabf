"""The AWS side: a folder per function, and `stores`, the only one that talks to AWS."""

import gc

__all__ = ()

# A start-up makes hundreds of thousands of objects that stay; looking for garbage among them is a tenth of its time.
# An environment serves one request at a time, so what garbage it makes later can wait as long.
gc.set_threshold(100_000, 20, 100)
