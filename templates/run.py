# What a hook has Python run in the background: `python -I -S -c THIS HELPER --hook STATE CONFIG`.
#
# HELPER is loaded as a module, since Python keeps the bytecode of modules, and of scripts it does
# not.  It may be cut in half or have a bug, and nobody sees this process, so a traceback goes to
# STATE/helper.log, and to STATE/helper.fail a line for the next prompt.  A run that goes well has
# the helper remove that.  What does this is a string, since each run would compile it.  The run is
# too short for garbage to be collected in it.
#
# What comes after the first blank line stands in each hook, in single quotes: it has none itself,
# no backslash and no comment, and an older Python must be able to read it.

import gc
import os
import sys

helper, state = sys.argv.pop(1), sys.argv[2]
failed = """
import os
import traceback

def write(path, text, most=65536):
    temporary = path + ".tmp"
    if os.path.lexists(temporary):
        os.unlink(temporary)
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    os.write(fd, text.encode(errors="replace")[-most:])
    os.close(fd)
    os.rename(temporary, path)

lines = traceback.format_exception(*error)
above = state
while not os.path.lexists(above):
    above = os.path.dirname(above)
if os.lstat(above).st_uid == os.geteuid():
    os.umask(0o077)
    os.makedirs(state, exist_ok=True)
    log = state + "/helper.log"
    write(log, "".join(lines))
    last = lines.pop().strip().splitlines().pop()[:400]
    told = f"the helper failed: {last}; open a new terminal, and report {log}"
    write(state + "/helper.fail", "".join(c if c.isprintable() else " " for c in told))
"""
sys.excepthook = lambda *error: exec(failed, {"state": state, "error": error})
if sys.hexversion < 0x030B0000:
    raise ImportError(f"{sys.executable} is Python {sys.version.split()[0]}, not 3.11 or newer")
sys.path.append(os.path.dirname(helper))
gc.disable()
os._exit(__import__(os.path.basename(helper)[:-3]).main())
