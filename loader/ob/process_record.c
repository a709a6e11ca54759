/*
 * A process's record: one page of shared memory that everybody who has a handle to the process
 * reads its exit code from (process.h).
 *
 * The code and the flag that says that there is one share a 64-bit word, so that nobody sees half
 * of it, whoever writes: the process itself, who terminates it, the parent that reaped it. Other
 * processes' records are read with pread(2) and mapped only for a write; they are sealed, so none
 * of it can fault.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "loader/mm/data.h"
#include "loader/ob/process_object.h"

#define RECORD_SIZE  4096u
#define RECORD_MAGIC 0x31434F52u /* "ROC1" */
#define HAS_ENDED    (UINT64_C(1) << 32)

/* Alike in both word sizes. */
struct record {
    uint32_t magic;
    uint32_t reserved;
    uint64_t end; /* HAS_ENDED | exit code, or 0 */
    int64_t time; /* of the end: 100 ns since 1601 */
};
_Static_assert(sizeof(struct record) == 24, "both word sizes read it");

static struct {
    pthread_mutex_t lock;
    struct record *record; /* read without the lock: set once the page is complete */
    int fd;
    bool at_exit;
} own = {.lock = PTHREAD_MUTEX_INITIALIZER, .fd = -1};

int64_t ob_process_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return INT64_C(116444736000000000) + (int64_t)now.tv_sec * 10000000 + now.tv_nsec / 100;
}

/* ---- any record ---------------------------------------------------------------------------------
 */

nt_status ob_process_record_create(int *fd, struct pe_error *err)
{
    const struct record fresh = {.magic = RECORD_MAGIC};
    int memory = -1;
    nt_status status = mm_host_memory("peldr:process", RECORD_SIZE, true, &memory, err);
    if (!nt_ok(status))
        return status;
    if (pwrite(memory, &fresh, sizeof fresh, 0) == sizeof fresh) {
        *fd = memory;
        return STATUS_SUCCESS;
    }
    status = pe_fail(err, STATUS_NO_MEMORY, "cannot write a process record: %s", strerror(errno));
    close(memory);
    return status;
}

static bool read_record(int fd, struct record *out)
{
    return pread(fd, out, sizeof *out, 0) == sizeof *out && out->magic == RECORD_MAGIC;
}

bool ob_process_record_check(int fd)
{
    struct record record;
    return mm_host_is_memory(fd, RECORD_SIZE) && read_record(fd, &record);
}

bool ob_process_record_read(int fd, uint32_t *code, int64_t *time)
{
    struct record record;
    if (!read_record(fd, &record) || !(record.end & HAS_ENDED))
        return false;
    *code = (uint32_t)record.end;
    if (time)
        *time = record.time;
    return true;
}

static bool swap_end(struct record *record, uint64_t from, uint64_t to)
{
    return __atomic_compare_exchange_n(&record->end, &from, to, false, __ATOMIC_ACQ_REL,
                                       __ATOMIC_ACQUIRE);
}

/* The time is written before the word that makes it count. */
static bool end_record(struct record *record, uint32_t code)
{
    if (__atomic_load_n(&record->end, __ATOMIC_ACQUIRE) & HAS_ENDED)
        return false;
    record->time = ob_process_now();
    return swap_end(record, 0, HAS_ENDED | code);
}

bool ob_process_record_end(int fd, uint32_t code)
{
    void *record;
    if (!nt_ok(mm_host_map(fd, 0, RECORD_SIZE, &record, NULL)))
        return false;
    bool is_first = end_record(record, code);
    mm_host_unmap(record, RECORD_SIZE);
    return is_first;
}

void ob_process_record_undo(int fd, uint32_t code)
{
    void *record;
    if (!nt_ok(mm_host_map(fd, 0, RECORD_SIZE, &record, NULL)))
        return;
    swap_end(record, HAS_ENDED | code, 0);
    mm_host_unmap(record, RECORD_SIZE);
}

/* ---- this process's own -------------------------------------------------------------------------
 */

static struct record *own_record(void)
{
    return __atomic_load_n(&own.record, __ATOMIC_ACQUIRE);
}

bool ob_process_is_ending(void)
{
    struct record *record = own_record();
    return record && (__atomic_load_n(&record->end, __ATOMIC_ACQUIRE) & HAS_ENDED);
}

void ob_process_set_exit_code(uint32_t exit_code)
{
    struct record *record = own_record();
    if (!record)
        return;
    record->time = ob_process_now();
    __atomic_store_n(&record->end, HAS_ENDED | exit_code, __ATOMIC_RELEASE);
}

/* A host program that returns from main or calls exit(): the status that it gives. */
static void end_at_exit(int status, void *unused)
{
    struct record *record = own_record();
    if (record)
        end_record(record, (uint32_t)status);
}

/* Own lock held. Takes `fd` when it succeeds. */
static nt_status adopt(int fd, struct pe_error *err)
{
    void *record;
    nt_status status = mm_host_map(fd, 0, RECORD_SIZE, &record, err);
    if (!nt_ok(status))
        return status;
    if (!own.at_exit)
        own.at_exit = on_exit(end_at_exit, NULL) == 0;
    own.fd = fd;
    __atomic_store_n(&own.record, (struct record *)record, __ATOMIC_RELEASE);
    return STATUS_SUCCESS;
}

nt_status ob_process_record_take(int fd, struct pe_error *err)
{
    nt_status status;
    ob_process_watch_fork();
    pthread_mutex_lock(&own.lock);
    if (!ob_process_record_check(fd))
        status = pe_fail(err, STATUS_INVALID_PARAMETER, "descriptor %d is no process record", fd);
    else if (own.record)
        status = pe_fail(err, STATUS_INVALID_PARAMETER, "the process has a record already");
    else
        status = adopt(fd, err);
    pthread_mutex_unlock(&own.lock);
    if (!nt_ok(status))
        close(fd);
    return status;
}

nt_status ob_process_record_own(int *fd, struct pe_error *err)
{
    nt_status status = STATUS_SUCCESS;
    ob_process_watch_fork();
    pthread_mutex_lock(&own.lock);
    if (!own.record) {
        int fresh = -1;
        status = ob_process_record_create(&fresh, err);
        if (nt_ok(status))
            status = adopt(fresh, err);
        if (!nt_ok(status) && fresh >= 0)
            close(fresh);
    }
    *fd = own.fd;
    pthread_mutex_unlock(&own.lock);
    return status;
}

void ob_process_record_before_fork(void)
{
    pthread_mutex_lock(&own.lock);
}

/* The record stays the parent's. */
void ob_process_record_after_fork(bool child)
{
    struct record *record = own.record;
    if (child && record) {
        __atomic_store_n(&own.record, NULL, __ATOMIC_RELEASE);
        mm_host_unmap(record, RECORD_SIZE);
        close(own.fd);
        own.fd = -1;
    }
    pthread_mutex_unlock(&own.lock);
}
