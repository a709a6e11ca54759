/*
 * Entries of the image cache: finding, trusting, closing (cache.h).
 *
 * An entry is trusted by its change time, which the kernel sets with every write and nobody can set
 * back: as long as it is the one that is in the record, nobody has written. A write within the same
 * tick of the file system's clock as the change before it would not show. So a record is trusted
 * only if the clock had moved on when the content was known, or if the file system gives every
 * change that follows a look another time (Linux 6.13: ext4, XFS, Btrfs, tmpfs), which a builder
 * finds out.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "loader/mm/cache_store.h"

/* Clock ticks of file systems: 10 ms at CONFIG_HZ=100, and some keep whole (even) seconds only. */
#define FINE_TICK_NSEC   40000000
#define COARSE_TICK_NSEC 2500000000
/* An eviction or a list that looks whether an entry is in use takes some microseconds. */
#define MARK_ROUNDS 40
#define MARK_NSEC   50000
/* Seconds between two notes of the last use. */
#define USE_NOTED 60

#define ENTRY_FLAGS (O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY)

/* ---- what fits ------------------------------------------------------------------------------- */

bool mm_cache_mark(int fd)
{
    const struct timespec pause = {.tv_nsec = MARK_NSEC};

    for (int i = 0; i < MARK_ROUNDS; i++) {
        if (i > 0)
            nanosleep(&pause, NULL);
        if (flock(fd, LOCK_SH | LOCK_NB) == 0)
            return true;
        if (errno != EWOULDBLOCK)
            break;
    }
    return false;
}

bool mm_cache_is_entry(const struct stat *st)
{
    return S_ISREG(st->st_mode) && st->st_uid == geteuid() && (st->st_mode & 07777) == 0400 &&
           st->st_nlink == 1 && (uint64_t)st->st_size > MM_PAGE;
}

bool mm_cache_entry_read(int fd, const struct stat *st, uint8_t bytes[MM_PAGE],
                         struct mm_cache_page *page)
{
    uint64_t image_size = (uint64_t)st->st_size - MM_PAGE;

    return pread(fd, bytes, (size_t)MM_PAGE, (off_t)image_size) == (ssize_t)MM_PAGE &&
           mm_cache_page_read(bytes, page) && page->image_size == image_size;
}

static void remove_unfit(struct mm_cache_place *place, const char *name)
{
    struct stat st;

    if (fstatat(place->dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0)
        mm_cache_unlink(place->dir, name, st.st_dev, st.st_ino);
}

/* Errors that come from what the name stands for, not from a process without descriptors. */
static bool is_unfit(int error)
{
    return error == ELOOP || error == ENXIO || error == EACCES || error == ENODEV;
}

bool mm_cache_entry_open(struct mm_cache_place *place, const struct mm_cache_key *key,
                         const char *name, struct mm_cache_entry *out, uint8_t bytes[MM_PAGE],
                         struct mm_cache_page *page)
{
    int fd = openat(place->dir, name, ENTRY_FLAGS);
    struct stat st;

    if (fd < 0) {
        if (is_unfit(errno))
            remove_unfit(place, name);
        return false;
    }
    /* Once it is marked, it keeps its name. */
    if (!mm_cache_mark(fd) || fstat(fd, &st) != 0 || st.st_nlink == 0) {
        close(fd);
        return false;
    }
    if (!mm_cache_is_entry(&st) || !mm_cache_entry_read(fd, &st, bytes, page) ||
        memcmp(&page->key, key, sizeof(*key)) != 0) {
        mm_cache_unlink(place->dir, name, st.st_dev, st.st_ino);
        close(fd);
        return false;
    }
    *out = (struct mm_cache_entry){.fd = fd,
                                   .image_size = page->image_size,
                                   .dev = st.st_dev,
                                   .ino = st.st_ino,
                                   .ctime = st.st_ctim};
    return true;
}

/* ---- trust ----------------------------------------------------------------------------------- */

/* A write from now on will change the change time. */
static bool is_settled(const struct mm_cache_place *place, const struct timespec *changed)
{
    int64_t tick = changed->tv_nsec == 0 ? COARSE_TICK_NSEC : FINE_TICK_NSEC, seconds;
    struct timespec now;

    if (__atomic_load_n(&place->clock, __ATOMIC_RELAXED) == MM_CACHE_CLOCK_FINE)
        return true;
    clock_gettime(CLOCK_REALTIME, &now);
    seconds = (int64_t)now.tv_sec - changed->tv_sec;
    if (seconds > 3600) /* keeps the product below in range */
        return true;
    return seconds >= 0 && seconds * 1000000000 + (now.tv_nsec - changed->tv_nsec) > tick;
}

bool mm_cache_entry_record(struct mm_cache_place *place, const uint8_t digest[MM_CACHE_DIGEST],
                           const struct mm_cache_entry *entry)
{
    struct mm_cache_record record = {.dev = entry->dev,
                                     .ino = entry->ino,
                                     .ctime_sec = entry->ctime.tv_sec,
                                     .ctime_nsec = (uint32_t)entry->ctime.tv_nsec,
                                     .trusted = entry->trusted && entry->settled,
                                     .boot = place->boot,
                                     .last_used = time(NULL)};

    memcpy(record.digest, digest, MM_CACHE_DIGEST);
    return mm_cache_index_put(place, &record);
}

/* Whether the record says that it is known; notes the use now and then. */
static void judge(struct mm_cache_place *place, const uint8_t digest[MM_CACHE_DIGEST],
                  struct mm_cache_entry *entry)
{
    struct mm_cache_record record;
    int64_t unused;

    entry->settled = entry->trusted =
        mm_cache_index_get(place, digest, &record) && record.trusted == 1 && place->boot != 0 &&
        record.boot == place->boot && record.dev == entry->dev && record.ino == entry->ino &&
        record.ctime_sec == entry->ctime.tv_sec &&
        record.ctime_nsec == (uint32_t)entry->ctime.tv_nsec;
    if (!entry->trusted) {
        entry->settled = is_settled(place, &entry->ctime);
        return;
    }
    unused = time(NULL) - record.last_used;
    if (unused >= USE_NOTED || unused < 0)
        mm_cache_entry_record(place, digest, entry);
}

/* One system call. */
static bool is_as_found(const struct mm_cache_entry *entry)
{
    struct stat st;

    return fstat(entry->fd, &st) == 0 && st.st_dev == entry->dev && st.st_ino == entry->ino &&
           st.st_nlink == 1 && st.st_ctim.tv_sec == entry->ctime.tv_sec &&
           st.st_ctim.tv_nsec == entry->ctime.tv_nsec;
}

/* ---- the contract ---------------------------------------------------------------------------- */

bool mm_cache_find(const struct mm_cache_key *key, struct mm_cache_entry *out, void *note,
                   uint32_t *note_size)
{
    struct mm_cache_place *place = mm_cache_place_get();
    uint8_t digest[MM_CACHE_DIGEST], bytes[MM_PAGE];
    struct mm_cache_page page;
    char name[MM_CACHE_NAME];
    bool found;

    if (place == NULL)
        return false;
    mm_cache_name(key, digest, name);
    found = mm_cache_entry_open(place, key, name, out, bytes, &page);
    if (found) {
        memcpy(note, page.note, page.note_size);
        *note_size = page.note_size;
        judge(place, digest, out);
    }
    mm_cache_place_put(place);
    return found;
}

bool mm_cache_is_there(void)
{
    struct mm_cache_place *place = mm_cache_place_get();

    mm_cache_place_put(place);
    return place != NULL;
}

bool mm_cache_still_trusted(const struct mm_cache_entry *entry)
{
    return entry->trusted && entry->settled && is_as_found(entry);
}

void mm_cache_trust(const struct mm_cache_key *key, struct mm_cache_entry *entry)
{
    struct mm_cache_place *place;
    uint8_t digest[MM_CACHE_DIGEST];
    char name[MM_CACHE_NAME];

    /* Written to while it was compared: nobody knows what it holds. */
    if (!is_as_found(entry))
        return;
    entry->trusted = true;
    mm_cache_name(key, digest, name);
    place = mm_cache_place_get();
    if (place != NULL)
        mm_cache_entry_record(place, digest, entry);
    mm_cache_place_put(place);
}

void mm_cache_reject(const struct mm_cache_key *key, struct mm_cache_entry *entry)
{
    struct mm_cache_place *place = mm_cache_place_get();
    uint8_t digest[MM_CACHE_DIGEST];
    char name[MM_CACHE_NAME];

    if (place != NULL) {
        mm_cache_name(key, digest, name);
        mm_cache_unlink(place->dir, name, entry->dev, entry->ino);
    }
    mm_cache_place_put(place);
    mm_cache_close(entry);
}

void mm_cache_close(struct mm_cache_entry *entry)
{
    if (entry->fd >= 0)
        close(entry->fd);
    entry->fd = -1;
}
