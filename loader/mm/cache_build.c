/*
 * Building entries of the image cache (cache.h).
 *
 * An entry is written under no name: the kernel frees it with whoever dies building it. On file
 * systems without such files it has a name of its own meanwhile and is marked, so that leftovers
 * can be told. The link makes it complete or absent, and gives way to whoever was first.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "loader/mm/cache_store.h"

#define BUILDER_WAIT 2000 /* milliseconds that another builder is waited for */
/* Attempts at seeing several changes within one tick of the coarse clock. */
#define CLOCK_ATTEMPTS 5
#define CLOCK_CHANGES  4

/* ---- room ------------------------------------------------------------------------------------ */

/* Nobody is to get a signal for want of room, which would be SIGXFSZ. A disk without room refuses
 * writes; only for large images is it worth knowing that before. */
static bool has_room(const struct mm_cache_place *place, uint64_t size)
{
    struct rlimit most;
    struct statvfs vfs;

    return getrlimit(RLIMIT_FSIZE, &most) == 0 && size <= most.rlim_cur &&
           (size < MM_CACHE_TURNS ||
            (fstatvfs(place->dir, &vfs) == 0 &&
             size / (vfs.f_frsize != 0 ? vfs.f_frsize : 1) < vfs.f_bavail));
}

/* ---- the file while it is built -------------------------------------------------------------- */

/* O_TMPFILE is an open of the folder itself for kernels and file systems that do not know it. */
static bool is_unknown(int error)
{
    return error == EOPNOTSUPP || error == EISDIR || error == EINVAL || error == ENOSYS;
}

static int create_named(struct mm_cache_place *place, char name[32])
{
    static uint32_t count;
    struct timespec now;

    for (int attempt = 0; attempt < 8; attempt++) {
        int fd;

        clock_gettime(CLOCK_REALTIME, &now);
        snprintf(name, 32, MM_CACHE_LEFTOVER "%lx-%lx-%x", (unsigned long)getpid(),
                 (unsigned long)now.tv_nsec, __atomic_add_fetch(&count, 1, __ATOMIC_RELAXED));
        fd = openat(place->dir, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0400);
        if (fd >= 0 || errno != EEXIST)
            return fd;
    }
    return -1;
}

static bool create_file(struct mm_cache_place *place, struct mm_cache_build *out)
{
    out->name[0] = '\0';
    out->fd = openat(place->dir, ".", O_RDWR | O_TMPFILE | O_CLOEXEC, 0400);
    if (out->fd < 0 && is_unknown(errno))
        out->fd = create_named(place, out->name);
    if (out->fd < 0) {
        out->name[0] = '\0';
        return false;
    }
    return mm_cache_mark(out->fd);
}

/* ---- beginning ------------------------------------------------------------------------------- */

static bool exists(struct mm_cache_place *place, const struct mm_cache_key *key, const char *name)
{
    struct mm_cache_entry entry;
    struct mm_cache_page page;
    uint8_t bytes[MM_PAGE];

    if (!mm_cache_entry_open(place, key, name, &entry, bytes, &page))
        return false;
    mm_cache_close(&entry);
    return true;
}

/* True: there is an entry by now. */
static bool take_turn(struct mm_cache_place *place, const struct mm_cache_key *key,
                      struct mm_cache_build *out)
{
    uint8_t digest[MM_CACHE_DIGEST];
    char name[MM_CACHE_NAME];
    struct stat st;
    bool waited;

    mm_cache_name(key, digest, name);
    out->lock = mm_cache_index_open(place->dir, &st);
    if (out->lock >= 0 && !mm_cache_index_lock(out->lock, digest, BUILDER_WAIT, &waited)) {
        close(out->lock);
        out->lock = -1;
    }
    return out->lock >= 0 && exists(place, key, name);
}

enum mm_cache_begun mm_cache_begin(const struct mm_cache_key *key, uint64_t image_size,
                                   struct mm_cache_build *out)
{
    struct mm_cache_place *place = mm_cache_place_get();

    if (place != NULL && !mm_cache_place_holds(place)) {
        mm_cache_place_forget(place);
        mm_cache_place_put(place);
        place = mm_cache_place_get();
    }
    *out = (struct mm_cache_build){.fd = -1, .lock = -1, .image_size = image_size, .place = place};
    if (place == NULL)
        return MM_CACHE_UNUSABLE;
    if (image_size == 0 || image_size % MM_PAGE != 0 || image_size > UINT32_MAX ||
        !has_room(place, image_size + MM_PAGE)) {
        mm_cache_abandon(out);
        return MM_CACHE_UNUSABLE;
    }
    if (image_size >= MM_CACHE_TURNS && take_turn(place, key, out)) {
        mm_cache_abandon(out);
        return MM_CACHE_LOOK_AGAIN;
    }
    if (!create_file(place, out)) {
        mm_cache_abandon(out);
        return MM_CACHE_UNUSABLE;
    }
    return MM_CACHE_BEGUN;
}

void mm_cache_abandon(struct mm_cache_build *build)
{
    if (build->name[0] != '\0' && build->place != NULL)
        unlinkat(build->place->dir, build->name, 0);
    if (build->fd >= 0)
        close(build->fd);
    if (build->lock >= 0)
        close(build->lock);
    mm_cache_place_put(build->place);
    *build = (struct mm_cache_build){.fd = -1, .lock = -1};
}

/* ---- change times ---------------------------------------------------------------------------- */

static bool same_time(const struct timespec *a, const struct timespec *b)
{
    return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

/* Whether each of a few changes, seen one by one, gets another time. */
static bool changes_differ(int fd)
{
    struct timespec before = {0};
    struct stat st;

    for (int i = 0; i < CLOCK_CHANGES; i++) {
        if (fchmod(fd, 0400) != 0 || fstat(fd, &st) != 0 || same_time(&st.st_ctim, &before))
            return false;
        before = st.st_ctim;
    }
    return true;
}

/*
 * If they do within one tick of the clock that coarse change times are taken from, the file system
 * tells changes apart that follow a look however closely.
 */
static void learn_clock(struct mm_cache_place *place, int fd)
{
    struct timespec before, after;
    int clock = MM_CACHE_CLOCK_COARSE;

    if (__atomic_load_n(&place->clock, __ATOMIC_RELAXED) != MM_CACHE_CLOCK_UNKNOWN ||
        mm_cache_index_get_clock(place))
        return;
    for (int i = 0; i < CLOCK_ATTEMPTS; i++) {
        bool differ;

        clock_gettime(CLOCK_REALTIME_COARSE, &before);
        differ = changes_differ(fd);
        clock_gettime(CLOCK_REALTIME_COARSE, &after);
        if (!differ)
            break;
        if (same_time(&before, &after)) {
            clock = MM_CACHE_CLOCK_FINE;
            break;
        }
    }
    __atomic_store_n(&place->clock, clock, __ATOMIC_RELAXED);
    mm_cache_index_put_clock(place);
}

/* ---- committing ------------------------------------------------------------------------------ */

static bool write_page(const struct mm_cache_build *build, const struct mm_cache_key *key,
                       const void *note, uint32_t note_size, const char *path)
{
    uint8_t bytes[MM_PAGE];

    if (note_size > MM_CACHE_NOTE)
        return false;
    mm_cache_page_write(bytes, key, build->image_size, note, note_size, path);
    return pwrite(build->fd, bytes, sizeof(bytes), (off_t)build->image_size) ==
           (ssize_t)sizeof(bytes);
}

static bool give_name(struct mm_cache_build *build, const char *name)
{
    int dir = build->place->dir;
    char path[40];

    if (build->name[0] != '\0') {
        bool named =
            renameat2(dir, build->name, dir, name, RENAME_NOREPLACE) == 0 ||
            /* What is replaced is the same; whoever has it mapped keeps it. */
            ((errno == EINVAL || errno == ENOSYS) && renameat(dir, build->name, dir, name) == 0);

        if (named)
            build->name[0] = '\0';
        return named;
    }
    if (linkat(build->fd, "", dir, name, AT_EMPTY_PATH) == 0)
        return true;
    /* Before Linux 6.10 only some processes may do that: for others there is no such file. */
    snprintf(path, sizeof(path), "/proc/self/fd/%d", build->fd);
    return errno != EEXIST && linkat(AT_FDCWD, path, dir, name, AT_SYMLINK_FOLLOW) == 0;
}

/* The finished entry, `built`, by a description that cannot write. `build` keeps it marked
 * meanwhile. */
static bool open_finished(const struct mm_cache_build *build, const char *name,
                          const struct stat *built, struct mm_cache_entry *out)
{
    struct stat st;
    int fd = openat(build->place->dir, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);

    if (fd >= 0 && mm_cache_mark(fd) && fstat(fd, &st) == 0 && st.st_dev == built->st_dev &&
        st.st_ino == built->st_ino && mm_cache_is_entry(&st)) {
        *out = (struct mm_cache_entry){
            .fd = fd,
            .image_size = build->image_size,
            .trusted = true,
            .dev = st.st_dev,
            .ino = st.st_ino,
            .ctime = st.st_ctim,
            .settled =
                __atomic_load_n(&build->place->clock, __ATOMIC_RELAXED) == MM_CACHE_CLOCK_FINE,
        };
        return true;
    }
    if (fd >= 0)
        close(fd);
    return false;
}

bool mm_cache_commit(const struct mm_cache_key *key, struct mm_cache_build *build, const void *note,
                     uint32_t note_size, const char *path, struct mm_cache_entry *out)
{
    uint8_t digest[MM_CACHE_DIGEST];
    char name[MM_CACHE_NAME];
    struct stat st = {0};
    bool done;

    mm_cache_name(key, digest, name);
    done = write_page(build, key, note, note_size, path) && fstat(build->fd, &st) == 0 &&
           (uint64_t)st.st_size == build->image_size + MM_PAGE &&
           (uint64_t)st.st_blocks * 512 <= build->place->limit;
    if (done) {
        learn_clock(build->place, build->fd);
        done = give_name(build, name) && open_finished(build, name, &st, out);
    }
    if (done) {
        bool recorded = mm_cache_entry_record(build->place, digest, out);

        mm_cache_evict(build->place, build->lock, recorded, (uint64_t)st.st_blocks * 512);
    }
    mm_cache_abandon(build);
    return done;
}
