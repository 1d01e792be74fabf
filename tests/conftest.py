"""What holds for every test."""

import signal

from hypothesis import settings

# A busy machine is no finding: speed is shown by bench/.
settings.register_profile("pointsman", deadline=None)
settings.load_profile("pointsman")

# A run in the background starts with interrupts ignored, and would hand that on to the processes that tests interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
