/*
 * Backing files and who is alive (design, decision 8).
 *
 * Two bytes of each file carry open-file-description locks (fcntl(2)), which belong to the
 * descriptor and go with it, however the process ends. Byte 0 is a mutex around opening and
 * closing. Byte 1 is held shared by every user: who can get it exclusively is alone. So the opener
 * who is alone starts the content afresh, whatever a killed process left, and the closer who is
 * alone removes the file. A file may be removed between an opener's open() and its lock; it then
 * sees that the name no longer leads to its file, and tries again.
 */
#include "loader/ob/backing.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "loader/ob/runtime.h"

enum lock_byte { OPENING = 0, ALIVE = 1 };

/* Each attempt that fails means that another process got on, so this many in a row do not happen.
 */
#define MAX_ATTEMPTS 10000
#define MAX_KEY      200

struct ob_backing {
    int dir, fd;
    char key[MAX_KEY + 1];
};

/* ---- locks ------------------------------------------------------------------------------------
 */

static int set_lock(int fd, enum lock_byte byte, short type, int command)
{
    struct flock lock = {.l_type = type, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1};
    int result;
    do
        result = fcntl(fd, command, &lock);
    while (result != 0 && errno == EINTR);
    return result;
}

static bool lock_opening(int fd)
{
    return set_lock(fd, OPENING, F_WRLCK, F_OFD_SETLKW) == 0;
}

static void unlock_opening(int fd)
{
    set_lock(fd, OPENING, F_UNLCK, F_OFD_SETLK);
}

/* Holding OPENING: true (and ALIVE held exclusively) when no other descriptor uses the file. */
static bool is_alone(int fd)
{
    return set_lock(fd, ALIVE, F_WRLCK, F_OFD_SETLK) == 0;
}

/* Does the name still lead to the file that is open? */
static bool is_current(const struct ob_backing *backing)
{
    struct stat open_file, named;
    return fstat(backing->fd, &open_file) == 0 &&
           fstatat(backing->dir, backing->key, &named, AT_SYMLINK_NOFOLLOW) == 0 &&
           open_file.st_dev == named.st_dev && open_file.st_ino == named.st_ino;
}

/* ---- opening ----------------------------------------------------------------------------------
 */

static bool is_key(const char *key)
{
    size_t len = strlen(key);
    return len > 0 && len <= MAX_KEY && key[0] != '.' &&
           strspn(key, "0123456789abcdefghijklmnopqrstuvwxyz.-") == len;
}

/*
 * The sticky bit tells cleaners of temporary directories to leave the file alone, however long it
 * is not touched (XDG Base Directory Specification).
 */
static nt_status open_file(struct ob_backing *backing, struct pe_error *err)
{
    struct stat st;
    backing->fd = openat(backing->dir, backing->key,
                         O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, S_ISVTX | 0600);
    if (backing->fd < 0)
        return ob_fail_errno(err, errno, "cannot open the backing file %s", backing->key);
    if (fstat(backing->fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_uid == geteuid())
        return STATUS_SUCCESS;
    return pe_fail(err, STATUS_ACCESS_DENIED, "the backing file %s is not a file of this user",
                   backing->key);
}

/* Room is reserved now, so that no later write through a mapping meets a full disk (SIGBUS). */
static nt_status reserve(const struct ob_backing *backing, uint64_t size, struct pe_error *err)
{
    int error = 0;
    if (size > INT64_MAX)
        error = EFBIG;
    else if (ftruncate(backing->fd, 0) != 0)
        error = errno;
    else if (size != 0)
        do
            error = posix_fallocate(backing->fd, 0, (off_t)size);
        while (error == EINTR);
    if (error == 0)
        return STATUS_SUCCESS;
    return ob_fail_errno(err, error, "cannot reserve %llu bytes for the backing file %s",
                         (unsigned long long)size, backing->key);
}

/* Nobody else uses the file; OPENING and ALIVE are held exclusively. */
static nt_status start_afresh(const struct ob_backing *backing, uint64_t size, ob_backing_init init,
                              void *user, struct pe_error *err)
{
    nt_status status = reserve(backing, size, err);
    if (nt_ok(status) && init)
        status = init(user, backing->fd, err);
    if (nt_ok(status) && set_lock(backing->fd, ALIVE, F_RDLCK, F_OFD_SETLK) != 0)
        status = ob_fail_errno(err, errno, "cannot lock the backing file %s", backing->key);
    if (!nt_ok(status))
        unlinkat(backing->dir, backing->key, 0);
    return status;
}

/* Somebody else uses the file. */
static nt_status join(const struct ob_backing *backing, uint64_t size, struct pe_error *err)
{
    struct stat st;
    if (set_lock(backing->fd, ALIVE, F_RDLCK, F_OFD_SETLK) != 0 || fstat(backing->fd, &st) != 0)
        return ob_fail_errno(err, errno, "cannot lock the backing file %s", backing->key);
    if ((uint64_t)st.st_size != size)
        return pe_fail(err, STATUS_FILE_INVALID,
                       "the backing file %s has %llu bytes where %llu are expected", backing->key,
                       (unsigned long long)st.st_size, (unsigned long long)size);
    return STATUS_SUCCESS;
}

/* One attempt; `*stale` when the file was removed under our feet. */
static nt_status attempt(struct ob_backing *backing, uint64_t size, ob_backing_init init,
                         void *user, bool *created, bool *stale, struct pe_error *err)
{
    nt_status status = open_file(backing, err);
    if (!nt_ok(status))
        return status;
    if (!lock_opening(backing->fd))
        return ob_fail_errno(err, errno, "cannot lock the backing file %s", backing->key);
    *stale = !is_current(backing);
    if (!*stale) {
        *created = is_alone(backing->fd);
        status = *created ? start_afresh(backing, size, init, user, err) : join(backing, size, err);
    }
    unlock_opening(backing->fd);
    return status;
}

static nt_status open_current(struct ob_backing *backing, uint64_t size, ob_backing_init init,
                              void *user, bool *created, struct pe_error *err)
{
    for (int i = 0; i < MAX_ATTEMPTS; i++) {
        bool stale = false;
        nt_status status = attempt(backing, size, init, user, created, &stale, err);
        if (!nt_ok(status) || !stale)
            return status;
        close(backing->fd);
        backing->fd = -1;
    }
    return pe_fail(err, STATUS_SHARING_VIOLATION, "the backing file %s is replaced all the time",
                   backing->key);
}

nt_status ob_backing_open(const char *key, uint64_t size, ob_backing_init init, void *user,
                          struct ob_backing **out, bool *created, struct pe_error *err)
{
    bool is_new = false;
    nt_status status = STATUS_SUCCESS;

    if (!is_key(key))
        return pe_fail(err, STATUS_OBJECT_NAME_INVALID, "\"%s\" cannot name a backing file", key);
    struct ob_backing *backing = calloc(1, sizeof *backing);
    if (!backing)
        return pe_fail(err, STATUS_NO_MEMORY, "no memory for the backing file %s", key);
    backing->dir = backing->fd = -1;
    strcpy(backing->key, key);

    status = ob_runtime_dir(&backing->dir, err);
    if (!nt_ok(status))
        goto out;
    status = open_current(backing, size, init, user, &is_new, err);
    if (!nt_ok(status))
        goto out;
    *out = backing;
    if (created)
        *created = is_new;
    backing = NULL;
out:
    if (backing && backing->fd >= 0)
        close(backing->fd);
    if (backing && backing->dir >= 0)
        close(backing->dir);
    free(backing);
    return status;
}

int ob_backing_fd(const struct ob_backing *backing)
{
    return backing->fd;
}

void ob_backing_close(struct ob_backing *backing)
{
    if (!backing)
        return;
    if (lock_opening(backing->fd)) {
        if (is_current(backing) && is_alone(backing->fd))
            unlinkat(backing->dir, backing->key, 0);
        /* Not left to close(): a mapping keeps the file description, and so the lock, alive. */
        unlock_opening(backing->fd);
    }
    close(backing->fd);
    close(backing->dir);
    free(backing);
}
