"""What the lives of model.py run: the helper with another clock and boot, and who is in its way."""

from __future__ import annotations

from packed import LOAD, PATCH

# Runs the helper, or starts or stops the service, as the arguments after the crash say.
RUN = f"""{PATCH}
import time, types
oracle, ahead, boot, patience, crash, *argv = sys.argv[1:]
clock = {{
    "time": lambda: time.time() + float(ahead),
    "time_ns": lambda: time.time_ns() + int(float(ahead) * 1e9),
}}
patch("time", lambda real: types.SimpleNamespace(**{{**vars(real), **clock}}))
patch("realm", lambda real: lambda: (boot, *real()[1:]))

def noting(real):
    def send(pid, start, number):
        with open(f"{{oracle}}/signalled", "a") as file:
            file.write(f"{{pid}}\\n")
        real(pid, start, number)
    return send

patch("send_signal", noting)
if crash:
    where, when, name = crash.split()
    parent = os.getpid()
    def crashing(real):
        def wrapped(*args, **options):
            here = (os.getpid() == parent) == (where == "parent")
            if here and when == "before":
                os.kill(os.getpid(), 9)
            done = real(*args, **options)
            if here and when == "after":
                os.kill(os.getpid(), 9)
            return done
        return wrapped
    patch(name, crashing)
if argv[0] == "stop":
    service = ensure.load_config().services[0]
    try:
        print("stopped" if ensure.stop(service, ensure.state_dir()) else "was not running")
    except ensure.Problem as problem:
        sys.exit(str(problem))
elif argv[0] == "start":
    service = ensure.load_config().services[0]
    try:
        done = ensure.ensure(service, ensure.state_dir(), timeout=float(patience), revive=True)
        print(done.outcome)
    except ensure.Problem as problem:
        sys.exit(str(problem))
else:
    sys.exit(ensure.main(argv))
"""

# Holds the lifetime lock from another pid namespace, as a container would.
OTHER_NAMESPACE = ("unshare", "--user", "--map-root-user", "--pid", "--fork", "--kill-child")
OTHER_REALM = f"""{LOAD}
import fcntl, time
fd = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT, 0o600)
fcntl.flock(fd, fcntl.LOCK_EX)
service = ensure.Service()
os.pwrite(fd, ensure.Identity(1, "1", ensure.realm(), os.getuid(), service.bind, "-").encode(), 0)
print("held", flush=True)
while True:
    time.sleep(60)
"""

# Listens on an address, and answers nobody: connections wait in its queue.
LISTEN = """
import socket, sys
host, port = sys.argv[1], int(sys.argv[2])
family = socket.AF_INET6 if ":" in host else socket.AF_INET
listener = socket.create_server((host, port), family=family, backlog=4096)
print("listening", flush=True)
input()
"""
