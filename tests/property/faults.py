"""A disk that fails: every system call of a write path can be counted, refused, cut short, or the last one."""

from __future__ import annotations

import errno
import os
from contextlib import contextmanager
from dataclasses import dataclass, field

CALLS = ("open", "write", "fsync", "close", "link", "rename", "replace", "unlink", "mkdir")


class Killed(BaseException):
    """The process is dead: nothing that it would still do happens."""


@dataclass
class Disk:
    """Counts the system calls made under `faulty`, and does something else at one of them."""

    at: int = 0
    fault: object = None
    calls: list = field(default_factory=list)
    dead: bool = False
    descriptors: set = field(default_factory=set)

    def call(self, name, real, *args, **kwargs):
        """Make one system call, or what is done in its place."""
        if self.dead:
            raise Killed
        self.calls.append((name, args))
        if len(self.calls) == self.at:
            return self.fault(self, name, lambda *given: self.do(name, real, given or args, kwargs))
        return self.do(name, real, args, kwargs)

    def do(self, name, real, args, kwargs):
        """Make the real call and remember open descriptors."""
        result = real(*args, **kwargs)
        if name == "open":
            self.descriptors.add(result)
        if name == "close":
            self.descriptors.discard(args[0])
        return result


@contextmanager
def faulty(disk):
    """Send the calls of this process through a faulty disk."""
    real = {name: getattr(os, name) for name in CALLS}

    def through(name):
        return lambda *args, **kwargs: disk.call(name, real[name], *args, **kwargs)

    try:
        for name in CALLS:
            setattr(os, name, through(name))
        yield disk
    finally:
        for name in CALLS:
            setattr(os, name, real[name])
        for descriptor in disk.descriptors:
            os.close(descriptor)


def killed_before(disk, name, go):
    """Die in place of the call."""
    del name, go
    disk.dead = True
    raise Killed


def killed_after(disk, name, go):
    """Die right after the call."""
    del name
    go()
    disk.dead = True
    raise Killed


def refused(number):
    """Return a fault: the call fails and does nothing; a descriptor is closed nevertheless, as Linux does."""

    def fault(disk, name, go):
        del disk
        if name == "close":
            go()
        raise OSError(number, os.strerror(number))

    return fault


def lost_reply(disk, name, go):
    """Do it, and say that it failed."""
    del disk, name
    go()
    raise OSError(errno.EIO, os.strerror(errno.EIO))


def short_write(disk, name, go):
    """Write a third of it, as a kernel may."""
    if name != "write":
        return go()
    _, (descriptor, content) = disk.calls[-1]
    return go(descriptor, bytes(content)[: max(1, len(content) // 3)])


def short_write_then_full(disk, name, go):
    """Write a third of it, and from then on nothing: the disk is full."""
    if name != "write":
        return go()
    _, (descriptor, content) = disk.calls[-1]
    go(descriptor, bytes(content)[: max(1, len(content) // 3)])
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


FAULTS = {
    "killed before": killed_before,
    "killed after": killed_after,
    "EIO": refused(errno.EIO),
    "ENOSPC": refused(errno.ENOSPC),
    "EDQUOT": refused(errno.EDQUOT),
    "lost reply": lost_reply,
    "short write": short_write,
    "short, then full": short_write_then_full,
}
