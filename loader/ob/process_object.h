/*
 * Processes and the service: ob's inside (see process.h).
 */
#ifndef OB_PROCESS_OBJECT_H
#define OB_PROCESS_OBJECT_H

#include "loader/ob/process.h"

extern const struct ob_courier ob_process_courier;

/* What a process object is made of; the descriptors are owned. */
struct ob_process_parts {
    uint32_t id;
    uint64_t start;
    int pidfd, record_fd;
};
void ob_process_close_parts(struct ob_process_parts *parts);
/* procstart.c: as ob_process_start(), of zombies too. */
uint64_t ob_process_started(uint32_t id, bool *is_zombie);

struct process {
    struct ob_object object;
    struct process *next, **link; /* in the table; link NULL = not in it */
    struct ob_process_parts parts;
    struct ob_watch *watch;
    bool child;       /* ours to reap; holds a reference to itself until then */
    bool reaped;      /* end lock (process_end.c) */
    bool ended;       /* wait lock */
    int64_t end_time; /* when that was seen; end lock */
};

/* process_end.c: the user is a struct process that a watch tells about. */
void ob_process_told_end(void *user);
/* Whether it has; then what is to be done about it is done. */
bool ob_process_has_ended(struct process *process);
void ob_process_end_before_fork(void);
void ob_process_end_after_fork(void);

/* process_courier.c: asks the process on the other side of a connection. */
nt_status ob_process_introduce(uint32_t id, int connection, struct ob_process_parts *parts,
                               struct pe_error *err);
/* process.c: the object of that process, an existing one where there is one. Takes the descriptors.
 */
nt_status ob_process_from_parts(struct ob_process_parts *parts, struct ob_object **out,
                                struct pe_error *err);
/* The same the other way round: duplicates. */
nt_status ob_process_to_parts(struct ob_object *process, struct ob_process_parts *parts,
                              struct pe_error *err);

/* ---- records (process_record.c) ----------------------------------------------------------------
 */

/* This process's own record, made when there is none; it stays the callee's. */
nt_status ob_process_record_own(int *fd, struct pe_error *err);
/* Whether this process has said that it ends. */
bool ob_process_is_ending(void);
/* Whether `fd` is a record: safe to read and to map. */
bool ob_process_record_check(int fd);
/* False when the exit code was not set. `time` (may be NULL): 100 ns since 1601. */
bool ob_process_record_read(int fd, uint32_t *code, int64_t *time);
/* Sets the exit code of another process unless there is one; false = there was, or no memory. */
bool ob_process_record_end(int fd, uint32_t code);
/* Takes that back. */
void ob_process_record_undo(int fd, uint32_t code);

/* ---- fork (service_fork.c): a child begins without service, record and locks
 * ---------------------
 */
void ob_process_watch_fork(void); /* once; cheap afterwards */
void ob_process_before_fork(void);
void ob_process_after_fork(bool child);
void ob_process_record_before_fork(void);
void ob_process_record_after_fork(bool child);
void ob_service_before_fork(void);
void ob_service_after_fork(bool child);

/* 100 ns units since 1601; async-signal-safe. */
int64_t ob_process_now(void);

#endif
