/*
 * Backing files and who is alive (design, decision 8).
 *
 * Two bytes of each file carry locks (filelock.h). OPENING is a mutex around opening and closing.
 * ALIVE is held shared by every user: who can get it exclusively is alone. So the opener who is
 * alone begins with a fresh file, whatever a killed process left, and the closer who is alone
 * removes the file. A file may be removed between an opener's open() and its lock; it then sees
 * that the name no longer leads to its file, and tries again.
 */
#include "loader/ob/backing.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "loader/mm/data.h"
#include "loader/ob/filelock.h"
#include "loader/ob/runtime.h"

/* Each attempt that fails means that another process got on, so this many in a row do not happen.
 */
#define MAX_ATTEMPTS 10000
#define MAX_KEY      200

struct ob_backing {
    struct ob_backing *next, *prev; /* in the list of all that this process holds */
    struct ob_runtime *dir;         /* NULL: anonymous */
    int fd;
    pid_t process; /* whose hold it is: a forked child has none */
    char key[];
};

/* ---- all that this process holds ----------------------------------------------------------------
 */

static pthread_mutex_t held_lock = PTHREAD_MUTEX_INITIALIZER;
static struct ob_backing held = {.next = &held, .prev = &held};
static bool has_left, used_directory;

static void list_add(struct ob_backing *backing)
{
    pthread_mutex_lock(&held_lock);
    backing->next = held.next;
    backing->prev = &held;
    held.next->prev = backing;
    held.next = backing;
    used_directory = used_directory || backing->dir;
    pthread_mutex_unlock(&held_lock);
}

static void list_remove(struct ob_backing *backing)
{
    pthread_mutex_lock(&held_lock);
    backing->next->prev = backing->prev;
    backing->prev->next = backing->next;
    pthread_mutex_unlock(&held_lock);
}

/* ---- files --------------------------------------------------------------------------------------
 */

/* Does the name still lead to the file that is open? */
static bool is_current(const struct ob_backing *backing)
{
    struct stat open_file, named;
    return fstat(backing->fd, &open_file) == 0 &&
           fstatat(ob_runtime_fd(backing->dir), backing->key, &named, AT_SYMLINK_NOFOLLOW) == 0 &&
           open_file.st_dev == named.st_dev && open_file.st_ino == named.st_ino;
}

static bool is_key(const char *key)
{
    size_t len = strlen(key);
    return len > 0 && len <= MAX_KEY && key[0] != '.' &&
           strspn(key, "0123456789abcdefghijklmnopqrstuvwxyz.-") == len;
}

static void remove_file(const struct ob_backing *backing)
{
    unlinkat(ob_runtime_fd(backing->dir), backing->key, 0);
}

static nt_status fail_lock(const struct ob_backing *backing, struct pe_error *err)
{
    return ob_fail_errno(err, errno, "cannot lock the backing file %s", backing->key);
}

/*
 * The sticky bit tells cleaners of temporary directories to leave the file alone, however long it
 * is not touched (XDG Base Directory Specification).
 */
static nt_status open_file(struct ob_backing *backing, bool existing, struct pe_error *err)
{
    const int flags = O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | (existing ? 0 : O_CREAT);
    struct stat st;
    do
        backing->fd = openat(ob_runtime_fd(backing->dir), backing->key, flags, S_ISVTX | 0600);
    while (backing->fd < 0 && ob_more_descriptors(errno));
    if (backing->fd < 0 && existing && errno == ENOENT)
        return STATUS_OBJECT_NAME_NOT_FOUND;
    if (backing->fd < 0)
        return ob_fail_errno(err, errno, "cannot open the backing file %s", backing->key);
    if (fstat(backing->fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_uid == geteuid())
        return STATUS_SUCCESS;
    return pe_fail(err, STATUS_ACCESS_DENIED, "the backing file %s is not a file of this user",
                   backing->key);
}

/* Room is reserved now, so that no later write through a mapping meets a full disk (SIGBUS). */
static nt_status reserve(const struct ob_backing *backing, const struct ob_backing_how *how,
                         struct pe_error *err)
{
    int error = 0;
    if (how->size > INT64_MAX)
        error = EFBIG;
    else if (ftruncate(backing->fd, 0) != 0)
        error = errno;
    else if (how->sparse && ftruncate(backing->fd, (off_t)how->size) != 0)
        error = errno;
    else if (!how->sparse && how->size != 0)
        do
            error = posix_fallocate(backing->fd, 0, (off_t)how->size);
        while (error == EINTR);
    if (error == 0)
        return STATUS_SUCCESS;
    return ob_fail_errno(err, error, "cannot reserve %llu bytes for the backing file %s",
                         (unsigned long long)how->size, backing->key);
}

/* ---- opening ----------------------------------------------------------------------------------
 */

/* Nobody else uses the file; OPENING and ALIVE are held exclusively. */
static nt_status start_afresh(const struct ob_backing *backing, const struct ob_backing_how *how,
                              struct pe_error *err)
{
    nt_status status =
        how->existing ? (nt_status)STATUS_OBJECT_NAME_NOT_FOUND : reserve(backing, how, err);
    if (nt_ok(status) && how->init)
        status = how->init(how->user, backing->fd, err);
    if (nt_ok(status) && !ob_lock_alive(backing->fd))
        status = fail_lock(backing, err);
    if (!nt_ok(status)) {
        remove_file(backing);
        ob_unlock_alive(backing->fd);
    }
    return status;
}

/* Somebody else uses the file. */
static nt_status join(const struct ob_backing *backing, const struct ob_backing_how *how,
                      struct pe_error *err)
{
    struct stat st;
    if (!ob_lock_alive(backing->fd) || fstat(backing->fd, &st) != 0)
        return fail_lock(backing, err);
    if (how->any_size || (uint64_t)st.st_size == how->size)
        return STATUS_SUCCESS;
    ob_unlock_alive(backing->fd);
    return pe_fail(err, STATUS_FILE_INVALID,
                   "the backing file %s has %llu bytes where %llu are expected", backing->key,
                   (unsigned long long)st.st_size, (unsigned long long)how->size);
}

/*
 * What a killed process left may still be mapped by one that has views but no handle: a fresh
 * object gets a fresh file. OPENING and ALIVE are held exclusively.
 */
static bool give_up_old(const struct ob_backing *backing, const struct ob_backing_how *how)
{
    struct stat st;
    if (how->existing || fstat(backing->fd, &st) != 0 || st.st_size == 0)
        return false;
    remove_file(backing);
    ob_unlock_alive(backing->fd);
    return true;
}

/* One attempt; `*stale` when the file was removed under our feet. */
static nt_status attempt(struct ob_backing *backing, const struct ob_backing_how *how,
                         bool *created, bool *stale, struct pe_error *err)
{
    nt_status status = open_file(backing, how->existing, err);
    if (!nt_ok(status))
        return status;
    if (!ob_lock_opening(backing->fd))
        return fail_lock(backing, err);
    *stale = !is_current(backing);
    if (!*stale) {
        *created = ob_lock_alone(backing->fd);
        *stale = *created && give_up_old(backing, how);
    }
    if (!*stale)
        status = *created ? start_afresh(backing, how, err) : join(backing, how, err);
    ob_unlock_opening(backing->fd);
    return status;
}

static nt_status open_current(struct ob_backing *backing, const struct ob_backing_how *how,
                              bool *created, struct pe_error *err)
{
    for (int i = 0; i < MAX_ATTEMPTS; i++) {
        bool stale = false;
        nt_status status = attempt(backing, how, created, &stale, err);
        if (!nt_ok(status) || !stale)
            return status;
        close(backing->fd);
        backing->fd = -1;
    }
    return pe_fail(err, STATUS_SHARING_VIOLATION, "the backing file %s is replaced all the time",
                   backing->key);
}

static struct ob_backing *make(const char *key, int fd, struct pe_error *err)
{
    struct ob_backing *backing = calloc(1, sizeof *backing + strlen(key) + 1);
    if (!backing) {
        pe_fail(err, STATUS_NO_MEMORY, "no memory for the backing file %s", key);
        return NULL;
    }
    strcpy(backing->key, key);
    backing->fd = fd;
    backing->process = getpid();
    return backing;
}

static void discard(struct ob_backing *backing)
{
    if (backing->fd >= 0)
        close(backing->fd);
    ob_runtime_put(backing->dir);
    free(backing);
}

nt_status ob_backing_open_as(const struct ob_backing_how *how, struct ob_backing **out,
                             bool *created, struct pe_error *err)
{
    bool is_new = false;
    if (!is_key(how->key))
        return pe_fail(err, STATUS_OBJECT_NAME_INVALID, "\"%s\" cannot name a backing file",
                       how->key);
    struct ob_backing *backing = make(how->key, -1, err);
    if (!backing)
        return STATUS_NO_MEMORY;
    nt_status status = ob_runtime_get(&backing->dir, err);
    if (nt_ok(status))
        status = open_current(backing, how, &is_new, err);
    if (!nt_ok(status)) {
        discard(backing);
        return status;
    }
    list_add(backing);
    *out = backing;
    if (created)
        *created = is_new;
    return STATUS_SUCCESS;
}

nt_status ob_backing_open(const char *key, uint64_t size, ob_backing_init init, void *user,
                          struct ob_backing **out, bool *created, struct pe_error *err)
{
    const struct ob_backing_how how = {.key = key, .size = size, .init = init, .user = user};
    return ob_backing_open_as(&how, out, created, err);
}

nt_status ob_backing_create_anonymous(const struct ob_backing_how *how, struct ob_backing **out,
                                      struct pe_error *err)
{
    int fd = -1;
    nt_status status;
    do
        status = mm_host_memory(how->key, how->size, true, &fd, NULL);
    while (status == (nt_status)STATUS_INSUFFICIENT_RESOURCES && ob_more_descriptors(EMFILE));
    if (!nt_ok(status))
        return pe_fail(err, status, "cannot make shared memory of %llu bytes: %s",
                       (unsigned long long)how->size, nt_status_text(status));
    struct ob_backing *backing = make(how->key, fd, err);
    if (!backing) {
        close(fd);
        return STATUS_NO_MEMORY;
    }
    status = how->init ? how->init(how->user, fd, err) : (nt_status)STATUS_SUCCESS;
    if (!nt_ok(status)) {
        discard(backing);
        return status;
    }
    list_add(backing);
    *out = backing;
    return STATUS_SUCCESS;
}

int ob_backing_fd(const struct ob_backing *backing)
{
    return backing->fd;
}

/* ---- to another process -------------------------------------------------------------------------
 */

nt_status ob_backing_share(const struct ob_backing *backing, int *fd, struct pe_error *err)
{
    char path[32];
    int fresh;
    snprintf(path, sizeof path, "/proc/self/fd/%d", backing->fd);
    do
        fresh = open(path, O_RDWR | O_CLOEXEC);
    while (fresh < 0 && ob_more_descriptors(errno));
    if (fresh < 0)
        return ob_fail_errno(err, errno, "cannot open the backing file %s again", backing->key);
    /* No need of OPENING: this process holds it, so nobody can be alone with it. */
    if (backing->dir && !ob_lock_alive(fresh)) {
        nt_status status = fail_lock(backing, err);
        close(fresh);
        return status;
    }
    *fd = fresh;
    return STATUS_SUCCESS;
}

nt_status ob_backing_adopt(const char *key, int fd, struct ob_backing **out, struct pe_error *err)
{
    nt_status status = STATUS_SUCCESS;
    if (key && !is_key(key))
        status = pe_fail(err, STATUS_OBJECT_NAME_INVALID, "\"%s\" cannot name a backing file", key);
    struct ob_backing *backing = nt_ok(status) ? make(key ? key : "", fd, err) : NULL;
    if (!backing) {
        close(fd);
        return nt_ok(status) ? (nt_status)STATUS_NO_MEMORY : status;
    }
    if (key)
        status = ob_runtime_get(&backing->dir, err);
    if (nt_ok(status) && key && !ob_lock_alive(fd)) /* the sender has locked it: to be sure */
        status = fail_lock(backing, err);
    if (!nt_ok(status)) {
        discard(backing);
        return status;
    }
    list_add(backing);
    *out = backing;
    return STATUS_SUCCESS;
}

/* ---- closing ------------------------------------------------------------------------------------
 */

/* The last holder's file goes. Not left to close(): a mapping keeps the description alive. */
static void give_up(const struct ob_backing *backing, bool (*lock_opening)(int fd))
{
    if (!backing->dir || backing->process != getpid())
        return;
    bool locked = lock_opening(backing->fd);
    if (locked && is_current(backing) && ob_lock_alone(backing->fd))
        remove_file(backing);
    ob_unlock_alive(backing->fd);
    if (locked)
        ob_unlock_opening(backing->fd);
}

void ob_backing_close(struct ob_backing *backing)
{
    if (!backing)
        return;
    list_remove(backing);
    give_up(backing, ob_lock_opening);
    discard(backing);
}

/* The lock may belong to a thread that is suspended for good. */
static bool lock_held_soon(void)
{
    const struct timespec pause = {.tv_nsec = 1000000};
    for (int attempt = 0; attempt < 1000; attempt++) {
        if (pthread_mutex_trylock(&held_lock) == 0)
            return true;
        nanosleep(&pause, NULL);
    }
    return false;
}

void ob_backing_leave(void)
{
    int dir;
    if (!lock_held_soon())
        return;
    bool sweep = used_directory && !has_left;
    has_left = true;
    for (struct ob_backing *at = held.next; sweep && at != &held; at = at->next)
        give_up(at, ob_lock_opening_soon);
    pthread_mutex_unlock(&held_lock);
    if (sweep && nt_ok(ob_runtime_dir(&dir, NULL))) {
        ob_runtime_sweep(dir);
        close(dir);
    }
}

__attribute__((destructor)) static void leave_at_exit(void)
{
    ob_backing_leave();
}
