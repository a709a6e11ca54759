/*
 * The index of the image cache: which entries are known to be what they should be, and when they
 * were used last (cache_store.h).
 *
 * One file of a fixed size, a table of sets as processors have them: a digest picks the set, any of
 * whose records may be its own. It is read and written, never mapped: whoever cut it short could
 * raise SIGBUS in us. Records are written without a lock; one that comes out mixed has a wrong sum
 * and is none, and one that is lost costs a comparison.
 *
 * The records are also a place for locks (of open file descriptions, so that threads and forked
 * children keep apart and the kernel drops them with the process): on bytes beyond the file's end.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "loader/mm/cache_store.h"

#define SETS       1024u
#define SETS_AT    4096u
#define INDEX_SIZE (SETS_AT + SETS * sizeof(struct mm_cache_set))

#define LOCKS_AT   ((off_t)1 << 40)
#define TOTAL_LOCK ((off_t)1 << 39)
#define WAIT_NSEC  500000
#define TOTAL_WAIT 100 /* milliseconds */

struct head {
    char magic[16];
    struct mm_cache_total total;
    uint64_t sum;
};
static const char magic[16] = "peldr index 1\n";

#define MOST_ADDED 512u

/* Behind the head. */
struct clock_note {
    uint64_t boot, dev, clock, sum;
};
#define CLOCK_AT 1024

_Static_assert(sizeof(struct mm_cache_record) == 72, "both word sizes read it");
_Static_assert(sizeof(struct head) == 48, "both word sizes read it");
_Static_assert(sizeof(struct clock_note) == 32, "both word sizes read it");

/* ---- the file -------------------------------------------------------------------------------- */

static bool is_index(const struct stat *st)
{
    return S_ISREG(st->st_mode) && st->st_uid == geteuid() && (st->st_mode & 07777) == 0600 &&
           st->st_nlink == 1;
}

/* Any size but the right one: it is new, or somebody has cut it; no record is worth a question. */
static bool set_size(int fd, struct stat *st)
{
    struct rlimit most;

    if ((uint64_t)st->st_size == INDEX_SIZE)
        return true;
    /* Beyond the limit there would be a signal. */
    if (getrlimit(RLIMIT_FSIZE, &most) != 0 || most.rlim_cur < INDEX_SIZE)
        return false;
    if (st->st_size != 0 && ftruncate(fd, 0) != 0)
        return false;
    return ftruncate(fd, (off_t)INDEX_SIZE) == 0 && fstat(fd, st) == 0;
}

int mm_cache_index_open(int dir, struct stat *st)
{
    const int flags = O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY;

    for (int attempt = 0; attempt < 2; attempt++) {
        int fd = openat(dir, MM_CACHE_INDEX, flags, 0600);

        if (fd >= 0 && fstat(fd, st) == 0 && is_index(st) && set_size(fd, st))
            return fd;
        if (fd >= 0)
            close(fd);
        /* Whatever it is, it is in our folder, and a new one is as good. */
        if (fstatat(dir, MM_CACHE_INDEX, st, AT_SYMLINK_NOFOLLOW) != 0 || is_index(st) ||
            !mm_cache_unlink(dir, MM_CACHE_INDEX, st->st_dev, st->st_ino))
            return -1;
    }
    return -1;
}

/* ---- sets ------------------------------------------------------------------------------------ */

static uint64_t record_sum(const struct mm_cache_record *record)
{
    return mm_cache_sum(record, offsetof(struct mm_cache_record, sum));
}

int mm_cache_set_find(const struct mm_cache_set *set, const uint8_t digest[MM_CACHE_DIGEST])
{
    for (uint32_t i = 0; i < MM_CACHE_WAYS; i++)
        if (memcmp(set->ways[i].digest, digest, MM_CACHE_DIGEST) == 0 &&
            set->ways[i].sum == record_sum(&set->ways[i]))
            return (int)i;
    return -1;
}

uint32_t mm_cache_set_choose(const struct mm_cache_set *set, const struct mm_cache_record *record)
{
    uint32_t chosen = 0;
    int64_t oldest = INT64_MAX;
    int own = mm_cache_set_find(set, record->digest);

    if (own >= 0)
        return (uint32_t)own;
    for (uint32_t i = 0; i < MM_CACHE_WAYS; i++) {
        const struct mm_cache_record *way = &set->ways[i];
        /* Of another boot it is good for the time of the last use only. */
        int64_t used = way->sum != record_sum(way) ? INT64_MIN
                       : way->boot != record->boot ? way->last_used / 2
                                                   : way->last_used;

        if (used < oldest) {
            oldest = used;
            chosen = i;
        }
    }
    return chosen;
}

static off_t set_offset(const uint8_t digest[MM_CACHE_DIGEST])
{
    uint32_t set = (digest[0] | (uint32_t)digest[1] << 8) % SETS;

    return (off_t)(SETS_AT + set * sizeof(struct mm_cache_set));
}

/* ---- records --------------------------------------------------------------------------------- */

bool mm_cache_index_get(const struct mm_cache_place *place, const uint8_t digest[MM_CACHE_DIGEST],
                        struct mm_cache_record *out)
{
    struct mm_cache_set set;
    int way;

    if (pread(place->index, &set, sizeof(set), set_offset(digest)) != (ssize_t)sizeof(set))
        return false;
    way = mm_cache_set_find(&set, digest);
    if (way >= 0)
        *out = set.ways[way];
    return way >= 0;
}

/* A host may have closed descriptors that it does not know: nothing of another file's is
 * overwritten. */
static bool is_ours(const struct mm_cache_place *place)
{
    struct stat st;

    return fstat(place->index, &st) == 0 && st.st_dev == place->index_dev &&
           st.st_ino == place->index_ino && st.st_nlink != 0;
}

bool mm_cache_index_put(struct mm_cache_place *place, struct mm_cache_record *record)
{
    off_t at = set_offset(record->digest);
    struct mm_cache_set set;

    if (!is_ours(place) || pread(place->index, &set, sizeof(set), at) != (ssize_t)sizeof(set)) {
        mm_cache_place_forget(place);
        return false;
    }
    record->sum = record_sum(record);
    at += (off_t)(mm_cache_set_choose(&set, record) * sizeof(*record));
    /* A record cut short has a wrong sum. */
    return pwrite(place->index, record, sizeof(*record), at) == (ssize_t)sizeof(*record);
}

/* ---- the clock ------------------------------------------------------------------------------- */

bool mm_cache_index_get_clock(struct mm_cache_place *place)
{
    struct clock_note note;

    if (place->boot == 0 ||
        pread(place->index, &note, sizeof(note), CLOCK_AT) != (ssize_t)sizeof(note) ||
        note.sum != mm_cache_sum(&note, offsetof(struct clock_note, sum)) ||
        note.boot != place->boot || note.dev != place->dir_dev ||
        (note.clock != MM_CACHE_CLOCK_FINE && note.clock != MM_CACHE_CLOCK_COARSE))
        return false;
    __atomic_store_n(&place->clock, (int)note.clock, __ATOMIC_RELAXED);
    return true;
}

void mm_cache_index_put_clock(struct mm_cache_place *place)
{
    struct clock_note note = {.boot = place->boot,
                              .dev = place->dir_dev,
                              .clock = (uint64_t)__atomic_load_n(&place->clock, __ATOMIC_RELAXED)};

    note.sum = mm_cache_sum(&note, offsetof(struct clock_note, sum));
    /* One cut short has a wrong sum. */
    if (is_ours(place) &&
        pwrite(place->index, &note, sizeof(note), CLOCK_AT) != (ssize_t)sizeof(note))
        return;
}

/* ---- locks ----------------------------------------------------------------------------------- */

static bool lock_byte(int fd, off_t byte, short type)
{
    struct flock lock = {.l_type = type, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1};

    return fcntl(fd, F_OFD_SETLK, &lock) == 0;
}

static bool wait_for_byte(int fd, off_t byte, uint32_t milliseconds, bool *waited)
{
    const struct timespec pause = {.tv_nsec = WAIT_NSEC};
    struct timespec begin, now;

    *waited = false;
    clock_gettime(CLOCK_MONOTONIC, &begin);
    while (!lock_byte(fd, byte, F_WRLCK)) {
        if (errno != EAGAIN && errno != EACCES)
            return false;
        *waited = true;
        nanosleep(&pause, NULL);
        clock_gettime(CLOCK_MONOTONIC, &now);
        if ((now.tv_sec - begin.tv_sec) * 1000 + (now.tv_nsec - begin.tv_nsec) / 1000000 >=
            (long)milliseconds)
            return false;
    }
    return true;
}

bool mm_cache_index_lock(int index, const uint8_t digest[MM_CACHE_DIGEST], uint32_t milliseconds,
                         bool *waited)
{
    uint32_t byte;

    memcpy(&byte, digest, sizeof(byte));
    return wait_for_byte(index, LOCKS_AT + (off_t)byte, milliseconds, waited);
}

/* ---- the total ------------------------------------------------------------------------------- */

static bool read_total(int index, struct mm_cache_total *out)
{
    struct head head;

    if (pread(index, &head, sizeof(head), 0) != (ssize_t)sizeof(head) ||
        memcmp(head.magic, magic, sizeof(magic)) != 0 ||
        head.sum != mm_cache_sum(&head, offsetof(struct head, sum)))
        return false;
    *out = head.total;
    return true;
}

static bool write_total(int index, const struct mm_cache_total *total)
{
    struct head head = {.total = *total};

    memcpy(head.magic, magic, sizeof(magic));
    head.sum = mm_cache_sum(&head, offsetof(struct head, sum));
    return pwrite(index, &head, sizeof(head), 0) == (ssize_t)sizeof(head);
}

bool mm_cache_total_add(int index, uint64_t bytes, struct mm_cache_total *out)
{
    bool waited, known;

    /* Whoever holds it was stopped: the sum is a little off until the next eviction. */
    if (!wait_for_byte(index, TOTAL_LOCK, TOTAL_WAIT, &waited))
        return read_total(index, out);
    known = read_total(index, out) && out->bytes <= UINT64_MAX - bytes;
    if (known) {
        out->bytes += bytes;
        known = ++out->added <= MOST_ADDED && write_total(index, out);
    }
    lock_byte(index, TOTAL_LOCK, F_UNLCK);
    return known;
}

void mm_cache_total_set(int index, const struct mm_cache_total *total)
{
    bool waited;

    if (!wait_for_byte(index, TOTAL_LOCK, TOTAL_WAIT, &waited))
        return;
    write_total(index, total);
    lock_byte(index, TOTAL_LOCK, F_UNLCK);
}
