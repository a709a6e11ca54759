/*
 * Processes: this one, its children, others of the same user in which peldr runs; and what one of
 * them answers to the others.
 *
 * Every process that takes part has a service: a thread that listens on a socket in the abstract
 * namespace, "peldr/UID/PID", which leaves nothing behind however the process ends. Both ends check
 * by SO_PEERCRED that the other is of the same user (and, the client, that it is the process
 * meant). The socket carries descriptors (SCM_RIGHTS), so objects are given to a process that has
 * not asked for them, which pidfd_getfd(2) cannot do; and no right to trace is needed. The same
 * thread waits for the end of processes that somebody here waits for (pidfds), and takes the exit
 * status of children.
 *
 * A process's record is one page of shared memory (memfd) with its exit code, for everybody who has
 * a handle: 32 bits, where waitpid(2) has 8.
 */
#ifndef OB_PROCESS_H
#define OB_PROCESS_H

#include "loader/ob/object.h"
#include "loader/ob/parcel.h"

/* ---- the process object -----------------------------------------------------------------------
 */

extern const struct ob_type ob_process_type; /* signaled once the process has ended */

#define OB_STILL_ACTIVE 259u

/* A new reference to this process's own object; NULL = no memory. */
struct ob_object *ob_process_current(void);
/* Another process in which peldr runs, or this one. STATUS_INVALID_CID when there is none. */
nt_status ob_process_open(uint32_t id, struct ob_object **out, struct pe_error *err);
/*
 * A child that was just started: takes `pidfd` and `record_fd` (ob_process_record_create()), on
 * failure too. The child is reaped when it ends, whether or not the object is still there.
 */
nt_status ob_process_adopt(uint32_t id, int pidfd, int record_fd, struct ob_object **out,
                           struct pe_error *err);
uint32_t ob_process_id(struct ob_object *process);
bool ob_process_is_current(struct ob_object *process);
/* OB_STILL_ACTIVE while it runs. One that was killed from outside: STATUS_CONTROL_C_EXIT for
 * SIGINT, otherwise what is nearest to the signal. */
uint32_t ob_process_exit_code(struct ob_object *process);
/* 100 ns units since 1601; `exit` 0 while it runs. */
void ob_process_times(struct ob_object *process, int64_t *creation, int64_t *exit);
/* STATUS_ACCESS_DENIED, STATUS_PROCESS_IS_TERMINATING. Not for the current process. */
nt_status ob_process_terminate(struct ob_object *process, uint32_t exit_code);

/* ---- this process's own record ------------------------------------------------------------------
 */

/* A fresh record for a child; close-on-exec. */
nt_status ob_process_record_create(int *fd, struct pe_error *err);
/* The child's side: takes the record that its parent made; before ob_service_start(). */
nt_status ob_process_record_take(int fd, struct pe_error *err);
/* The code that others will read; called when the process is about to end. Async-signal-safe. */
void ob_process_set_exit_code(uint32_t exit_code);

/* Is the process that had `id` when `start` was taken still the one, and alive (no zombie)? */
uint64_t ob_process_start(uint32_t id); /* clock ticks since boot; 0 = there is none, or a zombie */

/* ---- the service -------------------------------------------------------------------------------
 */

enum ob_request {
    OB_REQUEST_PROCESS = 1,   /* reply: fds[0] = record */
    OB_REQUEST_DUPLICATE_IN,  /* parcel + access + flags -> handle */
    OB_REQUEST_DUPLICATE_OUT, /* handle + options -> parcel + access */
    OB_REQUEST_CLOSE,         /* handle (DUPLICATE_CLOSE_SOURCE) */
    OB_REQUEST_REGIONS,       /* -> the process's regions, peldr walk */
    OB_REQUEST_MODULES,       /* -> the images it has loaded */
    OB_REQUEST_THREAD,        /* suspend and resume of the first thread */
    OB_REQUEST_MAP_VIEW,      /* a section's parcel + where -> base and size: NtMapViewOfSection */
    OB_REQUEST_UNMAP_VIEW,
    OB_REQUEST_INFO, /* -> what it runs: image path, word size, handles (win32/otherprocess.c) */
    OB_REQUEST_COUNT
};

/* A request or a reply. `bytes` is malloc'ed and at most 64 MiB long. */
struct ob_message {
    uint32_t request;
    nt_status status; /* replies */
    uint32_t size;
    uint32_t fd_count; /* <= OB_PARCEL_FDS */
    uint8_t *bytes;
    int fds[OB_PARCEL_FDS];
};
void ob_message_release(struct ob_message *message);
/* A copy of these as the bytes of a message that has none; STATUS_NO_MEMORY. */
nt_status ob_message_set(struct ob_message *message, const void *bytes, uint32_t size);
/* The first `size` bytes of a message, which may be shorter: false. */
bool ob_message_get(const struct ob_message *message, void *bytes, uint32_t size);

/*
 * Answers `request` into a zeroed reply, on the service thread: no image code, no waiting for other
 * threads of images. The request's bytes come from another process and are checked. Descriptors of
 * the request that it keeps it sets to -1; those of the reply are closed once sent.
 */
typedef void (*ob_service_handler)(struct ob_message *request, struct ob_message *reply);
void ob_service_register(enum ob_request request, ob_service_handler handler);

/*
 * A parcel inside a message: behind the bytes that it has, its descriptors among the message's.
 * Takes the parcel's descriptors, on failure too (STATUS_INVALID_PARAMETER: too many,
 * STATUS_NO_MEMORY).
 */
nt_status ob_message_put_parcel(struct ob_message *message, struct ob_parcel *parcel);
/* The one that lies at `offset`, which all descriptors of the message belong to and go with. What
 * is there is checked: STATUS_INVALID_PARAMETER. */
nt_status ob_message_take_parcel(struct ob_message *message, uint32_t offset,
                                 struct ob_parcel *parcel);

/* Starts the service; idempotent, thread-safe. A forked child has none until it starts its own. */
nt_status ob_service_start(struct pe_error *err);
/* The half of it that others see at once: they find this process and can connect to it. What they
 * ask waits until the service is started. */
nt_status ob_service_listen(struct pe_error *err);
/*
 * Asks another process and waits for its reply, at most 10 seconds (STATUS_IO_TIMEOUT). The reply's
 * own status is the result. STATUS_INVALID_CID when no peldr process has that id. Releases nothing
 * of `request`; the reply is the caller's to release, on failure too. Not on the service thread:
 * two services that wait for each other answer nobody (STATUS_NOT_SUPPORTED).
 * For the same reason, hold no lock that a handler may want.
 */
nt_status ob_service_call(uint32_t process_id, const struct ob_message *request,
                          struct ob_message *reply, struct pe_error *err);

/* The same for the process that the object stands for, whoever has its id now. Another one than
 * this. STATUS_PROCESS_IS_TERMINATING when it has ended. */
nt_status ob_process_call(struct ob_object *process, const struct ob_message *request,
                          struct ob_message *reply, struct pe_error *err);

/*
 * Calls `ended` on the service thread, once, when the process behind `pidfd` (duplicated) ends;
 * starts the service. ob_unwatch() returns after a call that is under way.
 */
struct ob_watch;
nt_status ob_watch(int pidfd, void (*ended)(void *user), void *user, struct ob_watch **out,
                   struct pe_error *err);
void ob_unwatch(struct ob_watch *watch);

/* Ids of the processes of this user that answer, ascending: at most `room`; returns how many. */
uint32_t ob_process_list(uint32_t *ids, uint32_t room);

/* ---- DuplicateHandle ----------------------------------------------------------------------------
 */

/*
 * Mirrors NtDuplicateObject between any two processes (objects of ob_process_type). `*target` gets
 * the handle's value in the target process; NULL when nobody wants to know. A NULL target process
 * only closes the source. STATUS_PROCESS_IS_TERMINATING for a process that has ended.
 */
enum {
    OB_DUPLICATE_CLOSE_SOURCE = 1, /* whether or not the rest succeeds */
    OB_DUPLICATE_SAME_ACCESS = 2,
    OB_DUPLICATE_SAME_ATTRIBUTES = 4, /* the source's flags instead of `flags` */
};
nt_status ob_duplicate(struct ob_object *source_process, uint32_t source,
                       struct ob_object *target_process, uint32_t *target, uint32_t access,
                       uint32_t flags, uint32_t options, struct pe_error *err);
/* A handle in another process, or this one, to an object of this process (pseudo handles). */
nt_status ob_duplicate_object(struct ob_object *object, struct ob_object *target_process,
                              uint32_t *target, uint32_t access, uint32_t flags,
                              struct pe_error *err);

#endif
