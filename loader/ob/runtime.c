/*
 * The per-user runtime directory (design, decision 8; XDG Base Directory Specification).
 *
 * /tmp is writable by everybody, so the directory counts only when it is a real directory of this
 * user that nobody else may enter. It is opened without following a symbolic link, checked through
 * that descriptor, and never named again: everything below is opened relative to it. The descriptor
 * is kept as long as a backing is open, and taken anew when the environment names another place or
 * the directory was removed.
 */
#include "loader/ob/runtime.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "loader/ob/backing.h"

static nt_status status_of_errno(int error)
{
    switch (error) {
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
        return STATUS_DISK_FULL;
    case ENOMEM:
        return STATUS_NO_MEMORY;
    case EMFILE:
    case ENFILE:
    case ENOLCK:
        return STATUS_INSUFFICIENT_RESOURCES;
    case EACCES:
    case EPERM:
    case EROFS:
    case ELOOP:
    case ENOTDIR:
        return STATUS_ACCESS_DENIED;
    case ENOENT:
        return STATUS_OBJECT_PATH_NOT_FOUND;
    default:
        return STATUS_UNSUCCESSFUL;
    }
}

nt_status ob_fail_errno(struct pe_error *err, int error, const char *fmt, ...)
{
    char text[PATH_MAX + 128];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    return pe_fail(err, status_of_errno(error), "%s: %s", text, strerror(error));
}

struct place {
    int parent;
    const char *parent_path; /* for messages */
    char name[32];
};

static bool is_own_directory(int fd)
{
    struct stat st;
    return fstat(fd, &st) == 0 && S_ISDIR(st.st_mode) && st.st_uid == geteuid();
}

/* $XDG_RUNTIME_DIR when it is usable (an su'd shell may still have another user's), else /tmp. */
static nt_status find_place(struct place *place, struct pe_error *err)
{
    place->parent_path = secure_getenv("XDG_RUNTIME_DIR");
    snprintf(place->name, sizeof place->name, "peldr");
    if (place->parent_path && place->parent_path[0] == '/') {
        place->parent = open(place->parent_path, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (place->parent >= 0 && is_own_directory(place->parent))
            return STATUS_SUCCESS;
        if (place->parent >= 0)
            close(place->parent);
    }
    place->parent_path = "/tmp";
    snprintf(place->name, sizeof place->name, "peldr-%u", (unsigned)geteuid());
    place->parent = open(place->parent_path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (place->parent < 0)
        return ob_fail_errno(err, errno, "cannot open /tmp for the runtime directory");
    return STATUS_SUCCESS;
}

/* Another process may make or remove the directory in between: a few attempts settle that. */
static int open_or_create(const struct place *place)
{
    for (int attempt = 0; attempt < 8; attempt++) {
        int fd =
            openat(place->parent, place->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (fd >= 0 || errno != ENOENT)
            return fd;
        if (mkdirat(place->parent, place->name, 0700) != 0 && errno != EEXIST)
            return -1;
    }
    return -1;
}

static nt_status check_directory(const struct place *place, int fd, struct pe_error *err)
{
    struct stat st;
    if (fstat(fd, &st) != 0)
        return ob_fail_errno(err, errno, "cannot examine the runtime directory %s/%s",
                             place->parent_path, place->name);
    if (st.st_uid != geteuid())
        return pe_fail(err, STATUS_ACCESS_DENIED,
                       "the runtime directory %s/%s belongs to user %u, not to user %u",
                       place->parent_path, place->name, (unsigned)st.st_uid, (unsigned)geteuid());
    if (st.st_mode & 077)
        return pe_fail(
            err, STATUS_ACCESS_DENIED,
            "the runtime directory %s/%s is open to other users (mode %04o instead of 0700)",
            place->parent_path, place->name, (unsigned)(st.st_mode & 07777));
    return STATUS_SUCCESS;
}

static nt_status open_directory(int *fd, struct pe_error *err)
{
    struct place place;
    nt_status status = find_place(&place, err);
    if (!nt_ok(status))
        return status;

    int dir = open_or_create(&place);
    if (dir < 0 && (errno == ENOTDIR || errno == ELOOP))
        status = pe_fail(err, STATUS_ACCESS_DENIED,
                         "the runtime directory %s/%s is a symbolic link or no directory",
                         place.parent_path, place.name);
    else if (dir < 0)
        status = ob_fail_errno(err, errno, "cannot open the runtime directory %s/%s",
                               place.parent_path, place.name);
    else
        status = check_directory(&place, dir, err);

    close(place.parent);
    if (nt_ok(status))
        *fd = dir;
    else if (dir >= 0)
        close(dir);
    return status;
}

nt_status ob_runtime_dir(int *fd, struct pe_error *err)
{
    return open_directory(fd, err);
}

/* ---- the directory in use -----------------------------------------------------------------------
 */

struct ob_runtime {
    int fd;
    int32_t references;
    char *parent; /* the environment's word when it was opened */
};

static pthread_mutex_t current_lock = PTHREAD_MUTEX_INITIALIZER;
static struct ob_runtime *current; /* no reference of its own: NULL when nobody uses one */
static char *swept;                /* the `parent` of the directory that was swept last */

static const char *wanted_parent(void)
{
    const char *parent = secure_getenv("XDG_RUNTIME_DIR");
    return parent ? parent : "";
}

static bool is_usable(const struct ob_runtime *runtime)
{
    struct stat st;
    return strcmp(runtime->parent, wanted_parent()) == 0 && fstat(runtime->fd, &st) == 0 &&
           st.st_nlink > 0;
}

/* Once per process and directory. Lock held. */
static bool sweep_is_due(const struct ob_runtime *runtime)
{
    if (swept && strcmp(swept, runtime->parent) == 0)
        return false;
    free(swept);
    swept = strdup(runtime->parent);
    return true;
}

/* Lock held. */
static nt_status open_runtime(struct ob_runtime **out, struct pe_error *err)
{
    struct ob_runtime *runtime = calloc(1, sizeof *runtime);
    char *parent = strdup(wanted_parent());
    nt_status status = runtime && parent
                           ? open_directory(&runtime->fd, err)
                           : pe_fail(err, STATUS_NO_MEMORY, "no memory for the runtime directory");
    if (!nt_ok(status)) {
        free(runtime);
        free(parent);
        return status;
    }
    runtime->references = 1;
    runtime->parent = parent;
    *out = runtime;
    return STATUS_SUCCESS;
}

nt_status ob_runtime_get(struct ob_runtime **out, struct pe_error *err)
{
    nt_status status = STATUS_SUCCESS;
    bool sweep = false;
    pthread_mutex_lock(&current_lock);
    if (current && is_usable(current)) {
        *out = current;
        current->references++;
    } else {
        status = open_runtime(out, err);
        if (nt_ok(status)) {
            current = *out;
            sweep = sweep_is_due(current);
        }
    }
    pthread_mutex_unlock(&current_lock);
    if (sweep)
        ob_runtime_sweep((*out)->fd);
    return status;
}

void ob_runtime_put(struct ob_runtime *runtime)
{
    if (!runtime)
        return;
    pthread_mutex_lock(&current_lock);
    bool last = --runtime->references == 0;
    if (last && current == runtime)
        current = NULL;
    pthread_mutex_unlock(&current_lock);
    if (!last)
        return;
    close(runtime->fd);
    free(runtime->parent);
    free(runtime);
}

int ob_runtime_fd(const struct ob_runtime *runtime)
{
    return runtime->fd;
}

bool ob_more_descriptors(int error)
{
    struct rlimit limit;
    if (error != EMFILE || getrlimit(RLIMIT_NOFILE, &limit) != 0 ||
        limit.rlim_cur >= limit.rlim_max)
        return false;
    limit.rlim_cur = limit.rlim_max;
    return setrlimit(RLIMIT_NOFILE, &limit) == 0;
}
