/*
 * Process objects (process.h): one for each process that this one knows.
 *
 * An object is two descriptors: a pidfd, which means this process and no later one of the same id,
 * and the process's record. The service thread waits on the pidfd from the beginning, so the object
 * is signaled when anybody waits for it. The object of a child is held until the child has ended,
 * so that it is reaped whoever closes its handles.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "loader/ob/duplicate.h"
#include "loader/ob/process_object.h"
#include "loader/ob/wire.h"

static struct {
    pthread_mutex_t lock;
    struct process *first;
    struct process *current; /* one reference is the table's */
} table = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* ---- the table ----------------------------------------------------------------------------------
 */

/* A new reference, unless the last one is being dropped right now. */
static bool try_ref(struct process *process)
{
    int32_t *references = &process->object.references;
    int32_t count = __atomic_load_n(references, __ATOMIC_RELAXED);
    while (count > 0)
        if (__atomic_compare_exchange_n(references, &count, count + 1, true, __ATOMIC_ACQUIRE,
                                        __ATOMIC_RELAXED))
            return true;
    return false;
}

/* Table lock held. `start` 0 = whichever has the id. A new reference. */
static struct process *find(uint32_t id, uint64_t start)
{
    for (struct process *at = table.first; at; at = at->next)
        if (at->parts.id == id && (start == 0 || at->parts.start == start) && try_ref(at))
            return at;
    return NULL;
}

static void link_process(struct process *process)
{
    process->next = table.first;
    process->link = &table.first;
    if (process->next)
        process->next->link = &process->next;
    table.first = process;
}

static void process_destroy(struct ob_object *object)
{
    struct process *process = (struct process *)object;
    pthread_mutex_lock(&table.lock);
    if (process->link) {
        *process->link = process->next;
        if (process->next)
            process->next->link = process->link;
    }
    pthread_mutex_unlock(&table.lock);
    ob_unwatch(process->watch);
    if (process->parts.pidfd >= 0)
        close(process->parts.pidfd);
    if (process->parts.record_fd >= 0)
        close(process->parts.record_fd);
}

static bool process_signaled(struct ob_object *object, uint32_t thread_id)
{
    return ((struct process *)object)->ended;
}

const struct ob_type ob_process_type = {
    .name = "Process",
    .destroy = process_destroy,
    .signaled = process_signaled,
};

static bool is_current(const struct process *process)
{
    return process == __atomic_load_n(&table.current, __ATOMIC_ACQUIRE);
}

/* ---- making objects -----------------------------------------------------------------------------
 */

struct ob_object *ob_process_current(void)
{
    ob_process_watch_fork();
    pthread_mutex_lock(&table.lock);
    if (!table.current) {
        struct process *process = ob_object_create(&ob_process_type, sizeof *process);
        if (process)
            process->parts =
                (struct ob_process_parts){.id = (uint32_t)getpid(), .pidfd = -1, .record_fd = -1};
        __atomic_store_n(&table.current, process, __ATOMIC_RELEASE);
    }
    struct process *current = table.current;
    if (current)
        ob_object_ref(&current->object);
    pthread_mutex_unlock(&table.lock);
    return current ? &current->object : NULL;
}

void ob_process_close_parts(struct ob_process_parts *parts)
{
    if (parts->pidfd >= 0)
        close(parts->pidfd);
    if (parts->record_fd >= 0)
        close(parts->record_fd);
}

/* Takes the descriptors. The object is watched before anybody can find it. */
static nt_status make(struct ob_process_parts *parts, bool child, struct process **out,
                      struct pe_error *err)
{
    struct process *process = ob_object_create(&ob_process_type, sizeof *process);
    if (!process) {
        ob_process_close_parts(parts);
        return pe_fail(err, STATUS_NO_MEMORY, "no memory for process %u", (unsigned)parts->id);
    }
    process->parts = *parts;
    process->child = child;
    if (child)
        ob_object_ref(&process->object); /* ob_process_told_end() drops it */
    nt_status status = ob_watch(parts->pidfd, ob_process_told_end, process, &process->watch, err);
    if (nt_ok(status)) {
        *out = process;
        return status;
    }
    if (child)
        ob_object_unref(&process->object);
    ob_object_unref(&process->object);
    return status;
}

static bool is_self(uint32_t id, int pidfd)
{
    return id == (uint32_t)getpid() && !ob_pidfd_ended(pidfd);
}

nt_status ob_process_from_parts(struct ob_process_parts *parts, struct ob_object **out,
                                struct pe_error *err)
{
    struct process *fresh;
    if (is_self(parts->id, parts->pidfd)) {
        ob_process_close_parts(parts);
        *out = ob_process_current();
        return *out ? STATUS_SUCCESS : (nt_status)STATUS_NO_MEMORY;
    }
    nt_status status = make(parts, false, &fresh, err);
    if (!nt_ok(status))
        return status;
    pthread_mutex_lock(&table.lock);
    struct process *existing = find(parts->id, parts->start);
    if (!existing)
        link_process(fresh);
    pthread_mutex_unlock(&table.lock);
    if (existing)
        ob_object_unref(&fresh->object);
    *out = existing ? &existing->object : &fresh->object;
    return status;
}

nt_status ob_process_adopt(uint32_t id, int pidfd, int record_fd, struct ob_object **out,
                           struct pe_error *err)
{
    bool is_zombie;
    struct ob_process_parts parts = {id, ob_process_started(id, &is_zombie), pidfd, record_fd};
    struct process *process;
    if (!ob_process_record_check(record_fd)) {
        ob_process_close_parts(&parts);
        return pe_fail(err, STATUS_INVALID_PARAMETER, "descriptor %d is no process record",
                       record_fd);
    }
    nt_status status = make(&parts, true, &process, err);
    if (!nt_ok(status))
        return status;
    pthread_mutex_lock(&table.lock);
    link_process(process);
    pthread_mutex_unlock(&table.lock);
    *out = &process->object;
    return status;
}

/* The object that is here already, if its process still has the id or nobody has it now. */
static struct process *find_open(uint32_t id)
{
    pthread_mutex_lock(&table.lock);
    struct process *process = find(id, 0);
    pthread_mutex_unlock(&table.lock);
    if (!process || !ob_process_has_ended(process))
        return process;
    uint64_t start = ob_process_start(id);
    if (start == 0 || start == process->parts.start)
        return process;
    ob_object_unref(&process->object);
    return NULL;
}

nt_status ob_process_open(uint32_t id, struct ob_object **out, struct pe_error *err)
{
    struct ob_process_parts parts;
    int connection;
    if (id == (uint32_t)getpid()) {
        *out = ob_process_current();
        return *out ? STATUS_SUCCESS : pe_fail(err, STATUS_NO_MEMORY, "no memory for a process");
    }
    struct process *existing = find_open(id);
    if (existing) {
        *out = &existing->object;
        return STATUS_SUCCESS;
    }
    nt_status status = ob_service_connect(id, -1, OB_CALL_MILLISECONDS, &connection, err);
    if (!nt_ok(status))
        return status;
    status = ob_process_introduce(id, connection, &parts, err);
    close(connection);
    return nt_ok(status) ? ob_process_from_parts(&parts, out, err) : status;
}

nt_status ob_process_to_parts(struct ob_object *object, struct ob_process_parts *parts,
                              struct pe_error *err)
{
    const struct process *process = (const struct process *)object;
    int record_fd = process->parts.record_fd;
    nt_status status = STATUS_SUCCESS;
    *parts = process->parts;
    if (is_current((struct process *)object)) {
        status = ob_process_record_own(&record_fd, err);
        parts->start = ob_process_start(parts->id);
        parts->pidfd = pidfd_open((pid_t)parts->id, 0);
    } else {
        parts->pidfd = fcntl(process->parts.pidfd, F_DUPFD_CLOEXEC, 3);
    }
    parts->record_fd = nt_ok(status) ? fcntl(record_fd, F_DUPFD_CLOEXEC, 3) : -1;
    if (nt_ok(status) && (parts->pidfd < 0 || parts->record_fd < 0))
        status = pe_fail(err, STATUS_INSUFFICIENT_RESOURCES, "no descriptor for process %u: %s",
                         (unsigned)parts->id, strerror(errno));
    if (!nt_ok(status))
        ob_process_close_parts(parts);
    return status;
}

/* ---- questions ----------------------------------------------------------------------------------
 */

uint32_t ob_process_id(struct ob_object *process)
{
    return ((struct process *)process)->parts.id;
}

bool ob_process_is_current(struct ob_object *process)
{
    return is_current((struct process *)process);
}

/* ---- fork ---------------------------------------------------------------------------------------
 */

void ob_process_before_fork(void)
{
    pthread_mutex_lock(&table.lock);
    ob_process_end_before_fork();
}

void ob_process_after_fork(bool child)
{
    if (child && table.current)
        table.current->parts.id = (uint32_t)getpid();
    ob_process_end_after_fork();
    pthread_mutex_unlock(&table.lock);
}
