/* What the parts of PID 1 know of each other.
 *
 * One thread and one select: nothing here may block, or a deadline would wait for it. Nor does a job that runs
 * need memory or descriptors that are yet to be had, as the program can deny them to this process (prlimit):
 * all are there before the first one. Pages that nobody touched cost nothing.
 */

#ifndef PID1_H
#define PID1_H

#define _GNU_SOURCE /* so this comes before all others */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "protocol.h"

/* ---- ends.c: how PID 1 itself ends, and the only two ways */

/* The number of the job that runs, or that comes next. */
extern unsigned job_at_hand;
/* The host is gone: nobody would hear of anything any more. */
_Noreturn void host_is_gone(void);
/* The host has sent what the protocol does not allow. */
_Noreturn void protocol_is_broken(const char *why);

/* ---- seal.c: makes PID 1 untouchable for the program, which runs under the same user id */

bool make_undumpable(void);
void close_inherited(void);
void ignore_signals(void);
/* The descriptor that can be read when a child has ended; whether one may have, since the last call. */
extern int child_ends;
bool a_child_has_ended(void);

/* ---- words.c: numbers and texts in frames */

uint32_t get_u32(const unsigned char *from);
uint64_t get_u64(const unsigned char *from);
double get_double(const unsigned char *from);
unsigned char *put_u32(unsigned char *to, uint32_t number);
unsigned char *put_u64(unsigned char *to, uint64_t number);
unsigned char *put_double(unsigned char *to, double number);
double now_in_seconds(void);

/* ---- channel.c: the frames from and to the host, on descriptors 0 and 1 */

typedef void frame_handler(int kind, unsigned job, unsigned char *payload, size_t size);

void channel_open(void);
/* Whether all that was sent has left: to be asked before much is sent. */
bool channel_is_clear(void);
/* Takes in what is there and hands on each frame that is complete. */
void channel_receive(frame_handler *handle);
void channel_send(int kind, unsigned job, const void *payload, size_t size);
/* The same for a payload that has HEADER_SIZE bytes of room before it: one write, and no copy. */
void channel_send_in_place(int kind, unsigned job, unsigned char *payload, size_t size);
void channel_flush(void);
/* Sends what is left, with a last patience for the host. */
void channel_finish(void);

/* ---- job.c: the payload of JOB */

struct job {
    char **argv, **env, **patterns; /* each ends with NULL */
    char *cwd, *kernel;
    double wall_time, cpu_time;
    uint64_t output, artifact_size, artifact_bytes;
    uint32_t artifact_count;
    bool session;
};

/* Takes the payload apart, in its place; it lives as long as that does. */
void job_read(struct job *job, unsigned char *payload, size_t size);

/* ---- entries.c: the entries of a folder */

/* Is given a name and a type of readdir(3); false ends it. */
typedef bool entry_handler(const char *name, unsigned char type, void *with);
/* False where it was ended. Not to be called from what it calls. */
bool each_entry(int folder, entry_handler *take, void *with);

/* ---- program.c: the program of a job: started, reaped, killed */

struct program {
    pid_t pid;
    int in, out, err; /* our ends of its pipes */
};

struct given {
    int ours, theirs;
};

/* What could not be done, for a FAILED frame; and why, unless errno says it all. */
extern char failed_name[];
extern const char *failed_why;
void note_failed_name(const char *name);

/* The working folder as PID 1 starts, and PID 1's own oom_score_adj, or -1. On descriptors 3 and 4. */
extern int home_folder, oom_score;
void open_places(void);
/* Starts it in a session of its own. -1 with errno, and `failed_name`. */
int program_spawn(struct program *program, char *const argv[], char *const env[], const char *cwd,
                  const struct given *given, size_t count);
/* The next child that has ended, or 0; then ``left`` tells whether there are others. */
pid_t reap(int *status, bool *left);
void kill_everything(void);
void signal_group(const struct program *program, int number);
bool group_is_left(const struct program *program);
/* Kills its process group, and others of its session as far as they are seen. */
void kill_session(const struct program *program);
bool is_dying(pid_t pid);
void close_all(const int *descriptors, size_t count);
void close_kept(int *descriptor);
/* Hands each process of the container but PID 1 on, by its /proc/PID/stat after the name. */
void each_process(void (*look)(pid_t pid, char *fields, void *with), void *with);

/* ---- evidence.c: what the kernel counted for this container */

#define UNKNOWN UINT64_MAX

void evidence_open(void);
void evidence_begin(void); /* counts from now on */
bool evidence_needs_samples(void);
void evidence_sample(void);
uint64_t cpu_time_used(void); /* nanoseconds, by all but PID 1 */
uint64_t peak_memory(void);
uint64_t oom_kills(void);
uint64_t pids_refused(void);
uint64_t is_full(const char *path);

/* ---- streams.c: what the program prints and reads */

enum { BUFFER_SIZE = (1 << 16) - HEADER_SIZE };
extern unsigned char *const buffer; /* of that size, with room for a header before it */

struct output {
    int pipe; /* -1 once it has ended */
    int kind;
    bool widened;
    uint64_t sent;
};

struct streams {
    struct output *outputs; /* two */
    unsigned job;
    uint64_t allowed; /* bytes that may still be sent */
    bool overflowed, small;
    double pause_end, pumped;
};

struct input {
    int pipe;
    uint32_t credit;
    bool ended;
    size_t begin, end; /* what waits, in a buffer of its own */
};

ssize_t streams_pump(struct streams *streams, struct output *output);
void streams_pump_ready(struct streams *streams, double now);
bool streams_want_more(const struct streams *streams, double now);
void input_take(struct input *input, const unsigned char *data, size_t size);
void input_end(struct input *input);
void input_feed(struct input *input);

/* ---- value.c: the value channel, two files in memory */

/* -1 with errno. */
int value_take(const unsigned char *data, size_t size);
bool value_is_there(void);
/* Our descriptors, each with the number that the program knows it by; how many. */
size_t value_given(struct given *given);
/* The file and the size of what was given, or of what came back. There is no value any more; who calls closes it. */
int value_take_out(size_t *size);
int value_returned(size_t *size);
void value_close(void);

/* ---- workspace.c: the files that the host sends ahead of a job */

/* -1 with errno, and `failed_name`. */
int workspace_take(int kind, const unsigned char *payload, size_t size);
void workspace_close(void);

/* ---- patterns.c: which files may be given back; `patterns.py` is the host's side of the same rules */

bool plain_path(const char *path);
bool path_fits(const char *path, const char *pattern);
bool path_leads_to(const char *folder, const char *pattern);
size_t characters(const char *text);
/* Bytes of the first character: one where it is none in UTF-8. */
size_t character_size(const char *text);

/* ---- tree.c: what lies below the workspace, as hostile as those who put it there */

typedef void change_handler(const char *path, bool regular);

void tree_note(char *const *patterns); /* takes what is there now for known */
void tree_changed(change_handler *changed);
int tree_open(const char *path, uint64_t *size, bool *executable);

/* ---- giveback.c: what goes back when no process is left */

void giveback_begin(const struct job *job);
/* Sends as much as the host takes; whether all is sent. */
bool giveback_pump(unsigned job);
uint32_t giveback_omitted(void);

/* ---- waiting.c: the interpreter that waits to be the program */

void waiting_start(const char *kernel, char **argv);
bool waiting_is_there(void);
/* Takes in that a child has been reaped. Whether it was this one, and an answer of it is waited for. */
bool waiting_note_ended(pid_t pid);
/* Whether it is worth keeping for a kernel that may come. */
bool waiting_can_be_kernel(void);
/* The descriptor to wait for while it imports modules, or -1. */
int waiting_answers(void);
bool waiting_load(const unsigned char *names, size_t size);
/* Takes in names of modules; whether that were all, or it has been ended for what it answers. */
bool waiting_take_answer(void);
/* Lets it run the program of the job. False where it cannot be that; either way nothing waits any more. */
bool waiting_begin(const struct job *job, struct program *program);
bool waiting_begin_kernel(const struct job *job, struct program *program, int *code, int *messages);
void waiting_end(void);

/* ---- messages.c: what a kernel writes */

enum { LONGEST_LINE = 40 };

struct messages {
    int code; /* of the job that is done, or -1 */
    unsigned job;
    size_t left, room; /* bytes of the display that are still to come; bytes that may still be shown */
    bool dropped;
    size_t held;
    char line[LONGEST_LINE + 1];
};

typedef void show_handler(const unsigned char *piece, size_t size, void *with);

void messages_begin(struct messages *messages, unsigned job);
/* Hands pieces of displays on, a newline after each display. False where there is anything else. */
bool messages_feed(struct messages *messages, const unsigned char *data, size_t size, show_handler *show,
                   void *with);

/* ---- kernel.c: a process that runs one piece of code after another and keeps what they leave behind */

enum { MAX_KERNEL_NAME = 255 };

struct kernel {
    char name[MAX_KERNEL_NAME + 1]; /* empty where there is none */
    struct program program;
    int code_pipe, message_pipe, stdin_reader;
    bool ended;
    int status;
    struct messages messages;
    struct output outputs[2];
};

/* The kernel for the job, with the flags of STARTED, and whether it replaces one that has ended. NULL with errno. */
struct kernel *kernel_for(const struct job *job, unsigned char *flags, bool *state_lost);
/* A descriptor for the standard input of this job, or -1. */
int kernel_begin(struct kernel *kernel, unsigned job);
void kernels_note_ended(pid_t pid, int status);
void kernel_close(struct kernel *kernel);

/* ---- run.c, program_run.c, kernel_run.c: a job while it runs */

enum phase { RUNNING, LINGERING, INTERRUPTED = LINGERING, KILLING, EMPTYING, OVER };

struct run {
    const struct kind *kind;
    enum phase phase;
    unsigned number;
    bool session;
    bool gives_back;
    double started, deadline, look; /* look: when to ask for the CPU time again */
    double cpu_limit;
    double wall_time;
    int cause, status;
    struct input input;
    struct streams streams;

    struct program program; /* of a job without a kernel */
    struct output outputs[2];
    bool reaped;
    double linger_end, killed;

    struct kernel *kernel;
    int code_file; /* what is left of the code: of the line ahead of it, and of the file */
    char code_line[48];
    size_t code_line_begin, code_line_end;
    size_t code_begin, code_end;
    double again, grace_end, mute_end;
    int rounds[2]; /* reads of each output that are left after the end */
    bool state_lost;
};

/* What differs between the two kinds of jobs. */
struct kind {
    void (*end)(struct run *run, enum cause cause);
    void (*enforce)(struct run *run, double now);
    void (*move)(struct run *run); /* bytes that only this kind has */
    bool (*empty)(struct run *run); /* whether all that was printed is sent */
    double (*next_look)(const struct run *run);
    int (*listen)(const struct run *run);  /* the descriptors to wait for, or -1 */
    int (*write_to)(const struct run *run);
};

extern const struct kind program_kind, kernel_kind;
extern const double SECONDS_LINGER, SECONDS_NEVER;

void run_begin(struct run *run, const struct kind *kind, unsigned number, const struct job *job, double started);
void program_run_start(struct run *run, const struct program *program);
void kernel_run_start(struct run *run, struct kernel *kernel, int code_file, size_t size, bool state_lost);
void program_run_note_ended(struct run *run, pid_t pid, int status);
void kernel_run_note_ended(struct run *run, pid_t pid);
void run_note_none_left(struct run *run);
void run_handle(struct run *run, int kind, const unsigned char *payload, size_t size);
void run_advance(struct run *run, double now);
double run_next_look(const struct run *run, double now);
/* The cause that a limit is for the job's end, or NO_CAUSE. */
enum cause limit_exceeded(struct run *run, double now);

/* ---- main.c: the select */

bool is_ready(int descriptor);

#endif
