/* The numbers of `protocol.py`, which explains them; a test compares the two. */

#ifndef PROTOCOL_H
#define PROTOCOL_H

enum {
    VERSION = 4,
    HEADER_SIZE = 8,
    MAX_PAYLOAD = 1 << 20,
    MAX_SECONDS = 1000000000,
};

enum from_host {
    FILE_BEGIN = 0x01,
    FILE_DATA = 0x02,
    FILE_END = 0x03,
    JOB = 0x04,
    STDIN = 0x05,
    STDIN_EOF = 0x06,
    SIGNAL = 0x07,
    CANCEL = 0x08,
    VALUE = 0x0A,
    PRELOAD = 0x0B,
};

enum to_host {
    HELLO = 0x40,
    STARTED = 0x41,
    STDOUT = 0x42,
    STDERR = 0x43,
    CREDIT = 0x44,
    EXIT = 0x45,
    FAILED = 0x46,
    ARTIFACT = 0x47,
    ARTIFACT_DATA = 0x48,
    RETURNED = 0x49,
    PRELOADED = 0x4A,
};

enum flags {
    UNDUMPABLE = 0x01, /* of HELLO */
    WARM = 0x02,       /* of HELLO, STARTED and PRELOADED */
    EXECUTABLE = 0x01, /* of ARTIFACT */
    SESSION = 0x01,    /* of JOB */
};

enum {
    STDIN_WINDOW = 256 * 1024,
    MAX_VALUE = 1 << 20,
    MAX_RETURNED = 8 << 20,
    MAX_PATTERNS = 32,
    MAX_PRELOAD = 1024,
    MAX_KERNELS = 16,
    GRACE = 2,
    MAX_ENTRIES = 1 << 15,
    MAX_NAME = 255,
    MAX_PATH = 1024,
    MAX_DEPTH = 32,
};

enum cause { NO_CAUSE = -1, EXITED, SIGNALED, TIMED_OUT, CPU_LIMIT, OUTPUT_LIMIT, CANCELLED };
enum stage { STAGE_FILE, STAGE_EXEC, STAGE_PROTOCOL };

#endif
