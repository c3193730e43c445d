"""A seccomp profile compiled by us, for crun, which takes it in an annotation.

Compiling costs 2 ms or more for each container, so what was compiled is kept. And crun answers calls
that are newer than the profile as it answers those that the profile refuses, where runc says ENOSYS, on
which libraries fall back: here they get what they get from runc.
https://github.com/containers/crun/blob/main/crun.1.md, seccomp_export_bpf(3).
"""

import base64
import hashlib
import json
import os
import struct
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sandbox_runner.engines.oci.bundles import RUN_FOLDER
from sandbox_runner.engines.oci.filter import seccomp_section

if TYPE_CHECKING:
    import ctypes

ANNOTATION = "run.oci.seccomp_bpf_data"
_FOLDER = RUN_FOLDER / "filters"
_FORMAT = "1"  # of what is kept
_ENOSYS = 38
_X32 = 0x40000000  # unistd.h: the bit of the x32 calls, which the filter itself ends
_AUDIT_ARCH = {"SCMP_ARCH_X86_64": 0xC000003E, "SCMP_ARCH_AARCH64": 0xC00000B7}  # linux/audit.h
_ACTIONS = {
    "SCMP_ACT_KILL": 0x00000000,
    "SCMP_ACT_KILL_THREAD": 0x00000000,
    "SCMP_ACT_KILL_PROCESS": 0x80000000,
    "SCMP_ACT_ERRNO": 0x00050000,
    "SCMP_ACT_ALLOW": 0x7FFF0000,
}  # seccomp.h, as the rest
_OPERATORS = {
    name: number for number, name in enumerate(("NE", "LT", "LE", "EQ", "GE", "GT", "MASKED_EQ"), start=1)
}
_LOAD, _EQUAL, _GREATER, _AT_LEAST, _RETURN = 0x20, 0x15, 0x25, 0x35, 0x06  # linux/bpf_common.h
_RET_ERRNO = 0x00050000  # linux/seccomp.h


def filter_annotation(profile: str) -> dict[str, str]:
    """The annotation with the filter of ``profile``; none where this machine has no libseccomp to make it."""
    kept = _FOLDER / _key(profile)
    try:
        code = kept.read_bytes()
    except OSError:
        try:
            code = compile_filter(seccomp_section(profile))
        except OSError:
            return {}
        _keep(kept, code)
    return {ANNOTATION: base64.b64encode(code).decode()}


@cache
def _key(profile: str) -> str:
    parts = (_FORMAT, json.dumps(seccomp_section(profile)))
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def _keep(file: Path, code: bytes) -> None:
    _FOLDER.mkdir(mode=0o700, parents=True, exist_ok=True)
    new = file.with_name(f"{file.name}.{os.getpid()}")
    new.write_bytes(code)
    new.replace(file)


def compile_filter(section: dict[str, Any]) -> bytes:
    """The instructions for the kernel. Raises OSError where libseccomp is missing or refuses."""
    import ctypes  # noqa: PLC0415 - 4 ms, once in a machine's uptime

    library = ctypes.CDLL("libseccomp.so.2", use_errno=True)
    library.seccomp_init.restype = ctypes.c_void_p
    default = _action(section["defaultAction"], section["defaultErrnoRet"])
    context = ctypes.c_void_p(library.seccomp_init(ctypes.c_uint32(default)))
    if not context:
        raise OSError("libseccomp made no filter")
    try:
        newest = 0
        for rule in section["syscalls"]:
            action = _action(rule["action"], rule.get("errnoRet", section["defaultErrnoRet"]))
            for name in rule["names"]:
                number = library.seccomp_syscall_resolve_name(name.encode())
                if number < 0:  # newer than this libseccomp, or of another machine
                    continue
                newest = max(newest, number)
                if action != default:
                    _add(library, context, action, number, rule.get("args", []))
        return _prefix(section["architectures"][0], newest) + _export(library, context)
    finally:
        library.seccomp_release(context)


def _action(name: str, errno: int) -> int:
    return _ACTIONS[name] | (errno if name == "SCMP_ACT_ERRNO" else 0)


def _add(
    library: "ctypes.CDLL", context: "ctypes.c_void_p", action: int, number: int, arguments: list[Any]
) -> None:
    import ctypes  # noqa: PLC0415 - as above

    for conditions in _together(arguments):
        # struct scmp_arg_cmp: the argument's number, the operator, and two values.
        packed = b"".join(
            struct.pack(
                "=IiQQ",
                each["index"],
                _OPERATORS[each["op"].removeprefix("SCMP_CMP_")],
                each["value"],
                each["valueTwo"],
            )
            for each in conditions
        )
        result = library.seccomp_rule_add_array(
            context, ctypes.c_uint32(action), number, len(conditions), packed
        )
        if result != 0:
            raise OSError(-result, "libseccomp refuses a rule")


def _together(arguments: list[Any]) -> Iterator[list[Any]]:
    """As runc reads them: all must hold, but where one argument has several, each is a rule of its own."""
    if max(Counter(each["index"] for each in arguments).values(), default=0) > 1:
        yield from ([each] for each in arguments)
    else:
        yield arguments


def _export(library: "ctypes.CDLL", context: "ctypes.c_void_p") -> bytes:
    descriptor = os.memfd_create("filter", os.MFD_CLOEXEC)
    try:
        result = library.seccomp_export_bpf(context, descriptor)
        if result != 0:
            raise OSError(-result, "libseccomp gives no filter out")
        return os.pread(descriptor, os.fstat(descriptor).st_size, 0)
    finally:
        os.close(descriptor)


def _prefix(architecture: str, newest: int) -> bytes:
    """ENOSYS for calls above ``newest``, the last that the profile names; all else goes on to the filter."""
    program = (
        (_LOAD, 0, 0, 4),  # the machine
        (_EQUAL, 0, 4, _AUDIT_ARCH[architecture]),
        (_LOAD, 0, 0, 0),  # the call's number
        (_AT_LEAST, 2, 0, _X32),
        (_GREATER, 0, 1, newest),
        (_RETURN, 0, 0, _RET_ERRNO | _ENOSYS),
    )
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in program)
