/*
 * The per-user runtime directory (design, decision 8; XDG Base Directory Specification).
 *
 * /tmp is writable by everybody, so the directory counts only when it is a real directory of this
 * user that nobody else may enter. It is opened without following a symbolic link, checked through
 * that descriptor, and never named again: everything below is opened relative to it.
 */
#include "loader/ob/runtime.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
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

nt_status ob_runtime_dir(int *fd, struct pe_error *err)
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
