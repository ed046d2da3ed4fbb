"""Says in one line that a Python is too old, on any Python; owns nothing else.

No annotation, f-string or function may stand here: Python 2 has to get as far as the message.
"""

import sys

if sys.version_info < (3, 11):  # noqa: UP036 (the one file that older versions run)
    sys.exit(
        "crush needs Python 3.11 or newer and this one is "
        + ".".join(str(part) for part in sys.version_info[:3])
        + " ("
        + sys.executable
        + "): install a newer one and name it, as in `make PYTHON=python3.12 demo`"
    )
