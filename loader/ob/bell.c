/*
 * The bell (see bell.h): a page with a futex word and the number of those who sleep on it.
 *
 * The number is only to save the ringing a system call. Sleepers count themselves before the kernel
 * compares the word, ringers change the word before they look at the number, all sequentially
 * consistent: a ringer that sees nobody has changed the word before a sleeper compares it. A
 * process that is killed asleep stays counted, which costs that system call for ever after.
 */
#include "loader/ob/bell.h"

#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "loader/mm/data.h"
#include "loader/ob/backing.h"

enum { BELL_SIZE = 4096 };

struct bell {
    uint32_t word;
    uint32_t sleepers;
};

/* Rings in this process only, as long as there is no other: nobody is kept from sleeping. */
static struct bell own_bell;
static struct bell *bell = &own_bell;
static pthread_mutex_t opening = PTHREAD_MUTEX_INITIALIZER;
static bool is_open; /* by this process: a forked child holds nothing of its parent's */

static void reopen_in_child(void)
{
    __atomic_store_n(&is_open, false, __ATOMIC_RELEASE);
    pthread_mutex_init(&opening, NULL);
}

static nt_status open_bell(struct pe_error *err)
{
    static bool installed;
    struct ob_backing *backing;
    void *page;
    nt_status status = ob_backing_open("bell", BELL_SIZE, NULL, NULL, &backing, NULL, err);
    if (nt_ok(status)) {
        status = mm_host_map(ob_backing_fd(backing), 0, BELL_SIZE, &page, err);
        if (!nt_ok(status))
            ob_backing_close(backing);
    }
    if (!nt_ok(status))
        return status;
    /* Kept, mapping and hold, until the process ends. A child keeps the old mapping as well. */
    __atomic_store_n(&bell, (struct bell *)page, __ATOMIC_RELEASE);
    __atomic_store_n(&is_open, true, __ATOMIC_RELEASE);
    if (!installed)
        installed = pthread_atfork(NULL, NULL, reopen_in_child) == 0;
    return status;
}

nt_status ob_bell_open(struct pe_error *err)
{
    if (__atomic_load_n(&is_open, __ATOMIC_ACQUIRE))
        return STATUS_SUCCESS;
    pthread_mutex_lock(&opening);
    nt_status status = is_open ? (nt_status)STATUS_SUCCESS : open_bell(err);
    pthread_mutex_unlock(&opening);
    return status;
}

bool ob_bell_is_open(void)
{
    return __atomic_load_n(&is_open, __ATOMIC_ACQUIRE);
}

static struct bell *current_bell(void)
{
    return __atomic_load_n(&bell, __ATOMIC_ACQUIRE);
}

uint32_t ob_bell_read(void)
{
    return __atomic_load_n(&current_bell()->word, __ATOMIC_SEQ_CST);
}

bool ob_bell_sleep(uint32_t seen, int64_t nanoseconds)
{
    struct bell *at = current_bell();
    struct {
        long seconds, nanoseconds; /* the kernel's own layout for SYS_futex */
    } pause = {(long)(nanoseconds / 1000000000), (long)(nanoseconds % 1000000000)};
    __atomic_add_fetch(&at->sleepers, 1, __ATOMIC_SEQ_CST);
    long result =
        syscall(SYS_futex, &at->word, FUTEX_WAIT, seen, nanoseconds < 0 ? NULL : &pause, NULL, 0);
    bool late = result != 0 && errno == ETIMEDOUT;
    __atomic_sub_fetch(&at->sleepers, 1, __ATOMIC_SEQ_CST);
    return !late;
}

void ob_bell_ring(void)
{
    struct bell *at = current_bell();
    int saved = errno;
    __atomic_add_fetch(&at->word, 1, __ATOMIC_SEQ_CST);
    if (__atomic_load_n(&at->sleepers, __ATOMIC_SEQ_CST) != 0)
        syscall(SYS_futex, &at->word, FUTEX_WAKE, INT32_MAX, NULL, NULL, 0);
    errno = saved;
}
