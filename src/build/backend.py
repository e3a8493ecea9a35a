"""Calls one hook of a build backend (PEP 517) and ends whatever it leaves behind.

Two processes: one looks after the other, in which the backend's code runs. Standard input is a pipe that its maker holds
open; when it closes, the maker is gone or does not want to wait any longer.
"""

import ctypes
import json
import os
import select
import signal
import sys
import time


def call(request):
    """Calls the hook; the result, or None for one that the backend does not have."""
    import importlib

    # The directory of this file is no place for imports, those of the backend are.
    sys.path[0:1] = [os.path.abspath(path) for path in request["path"]]
    module, _, attribute = request["object"].partition(":")
    backend = importlib.import_module(module)
    for path in request["path"][:1] and [getattr(backend, "__file__", None) or ""]:
        inside = [os.path.realpath(path) + os.sep for path in request["path"]]
        if not os.path.realpath(path).startswith(tuple(inside)):
            raise ImportError("the backend %s is not in its backend-path" % module)
    for name in filter(None, attribute.split(".")):
        backend = getattr(backend, name)
    hook = getattr(backend, request["hook"], None)
    if hook is None:
        return {"missing": True}
    return {"result": hook(*request["arguments"])}


def run(request, answer):
    """The process that the backend's code runs in."""
    os.setsid()
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    with open(request) as file:
        request = json.load(file)
    result = call(request)
    sys.stdout.flush()
    with open(answer, "w") as file:
        json.dump(result, file)


def children():
    """The processes whose parent this one is."""
    own, found = os.getpid(), []
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open("/proc/%s/stat" % name, "rb") as file:
                    state, parent = file.read().rsplit(b")", 1)[1].split()[:2]
            except (OSError, ValueError, IndexError):
                continue
            if int(parent) == own and state != b"Z":
                found.append(int(name))
    return found


def end_all():
    """Ends what is left; orphans become children of this process."""
    until = time.monotonic() + 5
    while time.monotonic() < until:
        left = children()
        for child in left:
            try:
                os.kill(child, signal.SIGKILL)
            except OSError:
                pass
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return
        if not left:
            return
        time.sleep(0.01)


def main():
    try:
        # PR_SET_CHILD_SUBREAPER
        ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)
    except (OSError, AttributeError):
        pass
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    child = os.fork()
    if child == 0:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.close(woken)
        os.close(wake)
        run(sys.argv[1], sys.argv[2])
        sys.stdout.flush()
        return 0
    status = None
    while status is None:
        ready = select.select([0, woken], [], [])[0]
        if woken in ready:
            os.read(woken, 512)
            while True:
                try:
                    ended, how = os.waitpid(-1, os.WNOHANG)
                except ChildProcessError:
                    break
                if ended == 0:
                    break
                if ended == child:
                    status = how
        if 0 in ready and status is None and not os.read(0, 1):
            status = signal.SIGKILL
            try:
                os.killpg(child, signal.SIGKILL)
            except OSError:
                pass
    try:
        os.killpg(child, signal.SIGKILL)
    except OSError:
        pass
    end_all()
    if os.WIFSIGNALED(status):
        print("the backend was ended by signal %d" % os.WTERMSIG(status), file=sys.stderr)
        return 1
    return os.WEXITSTATUS(status)


if __name__ == "__main__":
    sys.exit(main())
