/*
 * Share modes as locks on the file (fileshare.h).
 *
 * Every fact about an open file has a stripe of 64 bytes. Byte 0 is locked shared by whoever the
 * fact is true of. A descriptor that is open for writing only cannot take a shared lock
 * (fcntl(2)): it takes another byte of the stripe for itself. So a fact is true when any byte of
 * its stripe is locked, which one F_OFD_GETLK over the stripe tells, or over several stripes that
 * lie side by side.
 */
#include "loader/ob/fileshare.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "loader/mm/pages.h"

enum { STRIPE = 64 };

/* In the order that puts side by side what is asked together. */
enum fact {
    HAS_READ,
    HAS_WRITE,
    HAS_DELETE,
    DENIES_READ,
    DENIES_WRITE,
    DENIES_DELETE,
    IMAGE,
    WRITABLE_SECTION,
    DATA_SECTION,
    WANTS_DELETE,
    FACT_COUNT,
};
#define BIT(fact)    (1u << (fact))
#define HAS(bits)    ((bits) << HAS_READ)
#define DENIES(bits) ((bits) << DENIES_READ)
enum { ALL_SHARE = OB_SHARE_READ | OB_SHARE_WRITE | OB_SHARE_DELETE };

/* Racing claims are taken back and tried again after a pause; one of two gets through soon. */
enum { MAX_RACES = 100 };

static const enum fact fact_of_use[] = {
    [OB_FILE_MAPPED] = DATA_SECTION,
    [OB_FILE_IMAGE] = IMAGE,
    [OB_FILE_WRITABLE] = WRITABLE_SECTION,
};

/* ---- locks ---- */

static bool lock_bytes(int fd, short type, int64_t start, int64_t length)
{
    struct flock lock = {.l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = length};
    return fcntl(fd, F_OFD_SETLK, &lock) == 0;
}

/* The first fact of a run in `mask`, and how many follow each other. */
static enum fact next_run(uint32_t mask, int *count)
{
    int first = __builtin_ctz(mask);
    *count = __builtin_ctz(~(mask >> first));
    return (enum fact)first;
}

static int64_t stripe_start(int fact)
{
    return OB_FILESHARE_START + (int64_t)fact * STRIPE;
}

/*
 * Whether any fact of `mask` is true of another description. Locks that begin below the stripes are
 * of programs that know nothing of this.
 */
static bool any_true(int fd, uint32_t mask)
{
    while (mask) {
        int count;
        enum fact first = next_run(mask, &count);
        struct flock lock = {.l_type = F_WRLCK,
                             .l_whence = SEEK_SET,
                             .l_start = stripe_start(first),
                             .l_len = (int64_t)count * STRIPE};
        if (fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK &&
            lock.l_start >= OB_FILESHARE_START)
            return true;
        mask &= ~(((1u << count) - 1) << first);
    }
    return false;
}

/* Makes one fact true of this description, where its file system lets us. */
static void state(int fd, enum fact fact, bool shared_lock)
{
    int64_t start = stripe_start(fact);
    if (shared_lock) {
        lock_bytes(fd, F_RDLCK, start, 1);
        return;
    }
    for (int slot = 1; slot < STRIPE; slot++) {
        if (lock_bytes(fd, F_WRLCK, start + slot, 1) || (errno != EAGAIN && errno != EACCES))
            return;
    }
}

static bool can_read(int fd)
{
    return (fcntl(fd, F_GETFL) & O_ACCMODE) != O_WRONLY;
}

static void state_all(int fd, uint32_t mask)
{
    bool shared_lock = can_read(fd);
    for (int fact = 0; fact < FACT_COUNT; fact++) {
        if (mask & BIT(fact))
            state(fd, (enum fact)fact, shared_lock);
    }
}

static void retract(int fd, uint32_t mask)
{
    while (mask) {
        int count;
        enum fact first = next_run(mask, &count);
        lock_bytes(fd, F_UNLCK, stripe_start(first), (int64_t)count * STRIPE);
        mask &= ~(((1u << count) - 1) << first);
    }
}

/* ---- share modes ---- */

static bool is_shared_kind(int fd)
{
    struct stat st;
    return fstat(fd, &st) == 0 && (S_ISREG(st.st_mode) || S_ISDIR(st.st_mode));
}

/* What must not be true of anybody else. */
static uint32_t conflicts_of(uint32_t access, uint32_t denied)
{
    uint32_t mask = DENIES(access) | HAS(denied);
    if (access & OB_SHARE_WRITE)
        mask |= BIT(IMAGE);
    if (denied & OB_SHARE_WRITE)
        mask |= BIT(WRITABLE_SECTION);
    return mask;
}

/* 50 us on average, longer when it goes on. */
static void pause_after_race(int race)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    uint32_t spread = ((uint32_t)now.tv_nsec ^ (uint32_t)getpid() * 2654435761u) % 100000;
    struct timespec span = {.tv_nsec = spread * (1 + race / 10)};
    nanosleep(&span, NULL);
}

nt_status ob_fileshare_claim(int fd, uint32_t access, uint32_t share)
{
    access &= ALL_SHARE;
    uint32_t denied = ~share & ALL_SHARE;
    if (!access || !is_shared_kind(fd))
        return STATUS_SUCCESS;
    uint32_t conflicts = conflicts_of(access, denied), facts = HAS(access) | DENIES(denied);
    /*
     * Who sees the conflict before having stated anything has met one that is there to stay. Who
     * sees it only afterwards has met another newcomer, who may be about to see the same.
     */
    for (int race = 0; race < MAX_RACES && !any_true(fd, conflicts); race++) {
        state_all(fd, facts);
        if (!any_true(fd, conflicts))
            return STATUS_SUCCESS;
        retract(fd, facts);
        pause_after_race(race);
    }
    return (nt_status)STATUS_SHARING_VIOLATION;
}

void ob_fileshare_deny_all(int fd)
{
    state_all(fd, DENIES((uint32_t)ALL_SHARE));
}

nt_status ob_fileshare_check(int fd, uint32_t access)
{
    bool denied = any_true(fd, conflicts_of(access & ALL_SHARE, 0));
    return denied ? (nt_status)STATUS_SHARING_VIOLATION : STATUS_SUCCESS;
}

bool ob_fileshare_open_elsewhere(int fd)
{
    return any_true(fd, HAS((uint32_t)ALL_SHARE));
}

/* ---- uses ---- */

void ob_fileshare_use(int fd, enum ob_file_use use)
{
    state(fd, fact_of_use[use], true); /* what is mapped can be read */
}

bool ob_fileshare_used(int fd, enum ob_file_use use)
{
    return any_true(fd, BIT(fact_of_use[use]));
}

void ob_fileshare_want_delete(int fd)
{
    state(fd, WANTS_DELETE, can_read(fd));
}

bool ob_fileshare_wants_delete(int fd)
{
    return any_true(fd, BIT(WANTS_DELETE));
}

nt_status ob_file_reopen(int fd, int flags, int *out)
{
    char self[32];
    snprintf(self, sizeof self, "/proc/self/fd/%d", fd);
    *out = open(self, flags | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    return *out < 0 ? mm_status_of_errno(errno) : STATUS_SUCCESS;
}
