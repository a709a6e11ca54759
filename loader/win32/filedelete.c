/*
 * Deleting and renaming files (Microsoft, "DeleteFileW", FILE_DISPOSITION_INFORMATION; MS-FSA
 * 2.1.5.15.3).
 *
 * A deleted file that is open elsewhere is marked, by an extended attribute: nobody can open it any
 * more, and whoever closes it as the last one removes the name. If that one was killed, the next
 * who wants to open the file removes it and finds none. The mark tells the inode and the path that
 * it was put on, so that copies and restored files do not inherit it. Where the file system has no
 * such attributes the name goes at once, as Windows's POSIX deletion does it.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "loader/ob/fileshare.h"
#include "loader/win32/errors.h"
#include "loader/win32/file.h"

#define MARK "user.peldr.deleted"

struct mark {
    uint64_t ino;
    char path[PATH_MAX];
};

/* ---- names ---- */

static bool leads_to(const char *path, int fd)
{
    struct stat named, open_file;
    return stat(path, &named) == 0 && fstat(fd, &open_file) == 0 &&
           named.st_dev == open_file.st_dev && named.st_ino == open_file.st_ino;
}

/*
 * Two who remove the same name take turns (flock(2), which asks for no right to the file), so that
 * the second one does not remove what was created in between. Programs that lock a file that way
 * for long are not waited for.
 */
static void take_turn(int fd)
{
    enum { ATTEMPTS = 100, PAUSE = 100 /* us */ };
    for (int i = 0; i < ATTEMPTS && flock(fd, LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK; i++)
        usleep(PAUSE);
}

static int remove_host(const char *path, int fd)
{
    struct stat st;
    return fd >= 0 && fstat(fd, &st) == 0 && S_ISDIR(st.st_mode) ? rmdir(path) : unlink(path);
}

/* Removes the name of what is open as `fd`, if it still is its name. */
static nt_status remove_name(const char *path, int fd)
{
    nt_status status = STATUS_SUCCESS;
    if (fd >= 0)
        take_turn(fd);
    if ((fd < 0 || leads_to(path, fd)) && remove_host(path, fd) < 0 && errno != ENOENT)
        status = win32_status_of_errno(errno);
    if (fd >= 0)
        flock(fd, LOCK_UN);
    return status;
}

/* ---- the mark ---- */

/* A mark that was meant for this file. The bytes are anybody's who may write the file. */
static bool read_mark(int fd, struct mark *out)
{
    struct stat st;
    ssize_t size = fgetxattr(fd, MARK, out, sizeof(*out) - 1);
    ssize_t head = (ssize_t)offsetof(struct mark, path);
    if (size <= head || fstat(fd, &st) < 0)
        return false;
    out->path[size - head] = 0;
    return out->ino == st.st_ino && out->path[0] == '/' && leads_to(out->path, fd);
}

static bool set_mark(int fd, const char *path)
{
    struct mark mark;
    struct stat st;
    size_t length = strlen(path);
    if (length >= sizeof(mark.path) || path[0] != '/' || fstat(fd, &st) < 0)
        return false;
    mark.ino = st.st_ino;
    memcpy(mark.path, path, length);
    return fsetxattr(fd, MARK, &mark, offsetof(struct mark, path) + length, 0) == 0;
}

/*
 * Removes the name, or leaves that to the last one who has the file open. It is asked again after
 * the mark was set: who closes in between may not have seen it.
 */
static nt_status remove_or_mark(int fd, const char *path)
{
    if (!ob_fileshare_open_elsewhere(fd) || !set_mark(fd, path) || !ob_fileshare_open_elsewhere(fd))
        return remove_name(path, fd);
    return STATUS_SUCCESS;
}

nt_status win32_file_check_deleted(int fd, bool *gone)
{
    struct mark mark;
    *gone = false;
    if (!read_mark(fd, &mark))
        return STATUS_SUCCESS;
    if (ob_fileshare_open_elsewhere(fd))
        return (nt_status)STATUS_DELETE_PENDING;
    *gone = true;
    return remove_name(mark.path, fd);
}

bool win32_file_is_deleted(const struct win32_file *file)
{
    struct mark mark;
    bool at_close = file->flags & FILE_FLAG_DELETE_ON_CLOSE; /* not before */
    return file->path && file->type == FILE_TYPE_DISK &&
           ((file->delete_on_close && !at_close) || read_mark(file->fd, &mark));
}

/* ---- what may be deleted ---- */

static bool is_mapped(int fd)
{
    return ob_fileshare_used(fd, OB_FILE_IMAGE) || ob_fileshare_used(fd, OB_FILE_MAPPED);
}

static nt_status check_deletable(int fd)
{
    struct stat st;
    if (fstat(fd, &st) < 0)
        return win32_status_of_errno(errno);
    if (S_ISREG(st.st_mode) && !(st.st_mode & 0222))
        return (nt_status)STATUS_CANNOT_DELETE;
    return is_mapped(fd) ? (nt_status)STATUS_CANNOT_DELETE : STATUS_SUCCESS;
}

nt_status win32_file_set_deleted(struct win32_file *file, bool deleted)
{
    if (!file->path || file->type != FILE_TYPE_DISK)
        return (nt_status)STATUS_INVALID_PARAMETER;
    if (!deleted) {
        fremovexattr(file->fd, MARK);
        file->delete_on_close = file->flags & FILE_FLAG_DELETE_ON_CLOSE; /* that one is final */
        return STATUS_SUCCESS;
    }
    nt_status status = check_deletable(file->fd);
    if (nt_ok(status) && !set_mark(file->fd, file->path)) {
        file->delete_on_close = true;
        ob_fileshare_want_delete(file->fd);
    }
    return status;
}

/* ---- closing ---- */

/* A description without claims, to look at the file once that of the handle is gone. */
static int observer_of(int fd)
{
    int other;
    if (nt_ok(ob_file_reopen(fd, O_RDONLY, &other)) || nt_ok(ob_file_reopen(fd, O_WRONLY, &other)))
        return other;
    return -1;
}

void win32_file_look(int fd)
{
    struct mark mark;
    if (read_mark(fd, &mark) && !ob_fileshare_open_elsewhere(fd))
        remove_name(mark.path, fd);
}

/*
 * Closes first, then looks: of several who close at the same time the last one sees that it is. So
 * who deletes by a mark and who closes without having seen it do not miss each other.
 */
void win32_file_close_and_look(int fd, const char *own)
{
    int other = observer_of(fd);
    if (other >= 0 && own)
        ob_fileshare_deny_all(other); /* nobody gets in between closing and deleting */
    close(fd);
    if (other < 0) {
        if (own)
            remove_name(own, -1);
        return;
    }
    /* Another process may have the same file object, and then the last word. */
    if (own && !ob_fileshare_wants_delete(other))
        remove_or_mark(other, own);
    win32_file_look(other);
    close(other);
}

static bool may_be_deleted(const struct win32_file *file)
{
    /* Nobody can delete what is open without the right for it to be shared. */
    bool may_be_marked = (file->share & FILE_SHARE_DELETE) || (file->access & FILE_DELETE);
    return file->path && file->type == FILE_TYPE_DISK && (may_be_marked || file->delete_on_close) &&
           win32_file_claims(file->access);
}

void win32_file_close(struct win32_file *file)
{
    if (!file->owns_fd)
        return;
    if (may_be_deleted(file))
        win32_file_close_and_look(file->fd, file->delete_on_close ? file->path : NULL);
    else
        close(file->fd);
}

/* The descriptor leads nowhere afterwards, but its number stays taken: other threads may use it. */
void win32_file_leave(struct win32_file *file)
{
    struct mark mark;
    if (!file->owns_fd || !may_be_deleted(file) ||
        !(file->delete_on_close || read_mark(file->fd, &mark)))
        return;
    int last = fcntl(file->fd, F_DUPFD_CLOEXEC, 0), nowhere = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (last >= 0 && nowhere >= 0 && dup3(nowhere, file->fd, O_CLOEXEC) >= 0) {
        win32_file_close_and_look(last, file->delete_on_close ? file->path : NULL);
        file->delete_on_close = false;
        last = -1;
    }
    if (last >= 0)
        close(last);
    if (nowhere >= 0)
        close(nowhere);
}

/* ---- by path ---- */

/* Opens and claims for deletion. `*fd` -1: nothing that could be claimed. */
static nt_status claim_deletion(const char *path, int *fd, bool *gone)
{
    *gone = false;
    *fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (*fd < 0 && errno == EACCES)
        *fd = open(path, O_WRONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (*fd < 0)
        return errno == ENOENT ? win32_status_of_errno(errno) : STATUS_SUCCESS;
    nt_status status = win32_file_check_deleted(*fd, gone);
    if (nt_ok(status) && !*gone)
        status = ob_fileshare_claim(*fd, OB_SHARE_DELETE,
                                    OB_SHARE_READ | OB_SHARE_WRITE | OB_SHARE_DELETE);
    if (nt_ok(status) && *gone)
        status = (nt_status)STATUS_OBJECT_NAME_NOT_FOUND;
    if (!nt_ok(status)) {
        close(*fd);
        *fd = -1;
    }
    return status;
}

nt_status win32_file_delete(const char *path)
{
    struct stat st;
    bool gone;
    int fd;
    if (lstat(path, &st) < 0)
        return win32_status_of_errno(errno);
    if (S_ISDIR(st.st_mode))
        return (nt_status)STATUS_FILE_IS_A_DIRECTORY;
    if (!S_ISREG(st.st_mode))
        return unlink(path) < 0 ? win32_status_of_errno(errno) : STATUS_SUCCESS;
    if (!(st.st_mode & 0222))
        return (nt_status)STATUS_CANNOT_DELETE;
    nt_status status = claim_deletion(path, &fd, &gone);
    if (!nt_ok(status))
        return status;
    if (fd < 0)
        return remove_name(path, fd);
    status = is_mapped(fd) ? (nt_status)STATUS_CANNOT_DELETE : remove_or_mark(fd, path);
    win32_file_close_and_look(fd, NULL);
    return status;
}

nt_status win32_directory_delete(const char *path)
{
    struct stat st;
    bool gone;
    int fd = -1;
    if (lstat(path, &st) < 0)
        return win32_status_of_errno(errno);
    if (!S_ISDIR(st.st_mode) &&
        !(S_ISLNK(st.st_mode) && stat(path, &st) == 0 && S_ISDIR(st.st_mode)))
        return (nt_status)STATUS_NOT_A_DIRECTORY;
    nt_status status = claim_deletion(path, &fd, &gone);
    if (nt_ok(status) && rmdir(path) < 0)
        status =
            errno == ENOTDIR ? (nt_status)STATUS_NOT_A_DIRECTORY : win32_status_of_errno(errno);
    if (fd >= 0)
        close(fd);
    return status;
}

/* ---- renaming ---- */

/* What a rename would replace: nobody may have it open who does not share its deletion. */
static nt_status check_target(const char *from, const char *to, bool replace)
{
    struct stat source, target;
    bool gone;
    int fd;
    if (stat(to, &target) < 0)
        return STATUS_SUCCESS;
    bool same = stat(from, &source) == 0 && source.st_ino == target.st_ino &&
                source.st_dev == target.st_dev;
    if (same) /* a change of case, or another link */
        return STATUS_SUCCESS;
    if (!replace)
        return (nt_status)STATUS_OBJECT_NAME_COLLISION;
    if (S_ISDIR(target.st_mode) || (S_ISREG(target.st_mode) && !(target.st_mode & 0222)))
        return (nt_status)STATUS_ACCESS_DENIED;
    nt_status status = claim_deletion(to, &fd, &gone);
    if (status == (nt_status)STATUS_OBJECT_NAME_NOT_FOUND)
        return STATUS_SUCCESS;
    bool free_to_go = nt_ok(status) && (fd < 0 || !is_mapped(fd));
    if (fd >= 0)
        close(fd);
    return free_to_go ? STATUS_SUCCESS : (nt_status)STATUS_ACCESS_DENIED;
}

static int rename_host(const char *from, const char *to, bool replace)
{
    struct stat st;
    int failed = renameat2(AT_FDCWD, from, AT_FDCWD, to, replace ? 0 : RENAME_NOREPLACE);
    /* A file system without that flag. */
    if (failed && errno == EINVAL && !replace && lstat(to, &st) < 0)
        failed = rename(from, to);
    /* The two names of one file, in a file system that knows no case. */
    if (failed && errno == EEXIST && stat(to, &st) == 0) {
        struct stat source;
        if (stat(from, &source) == 0 && source.st_ino == st.st_ino && source.st_dev == st.st_dev)
            failed = rename(from, to);
        else
            errno = EEXIST;
    }
    return failed;
}

nt_status win32_file_rename(const char *from, const char *to, bool replace)
{
    int fd;
    bool gone;
    nt_status status = claim_deletion(from, &fd, &gone);
    if (!nt_ok(status))
        return status;
    status = check_target(from, to, replace);
    if (nt_ok(status) && rename_host(from, to, replace) < 0)
        status = win32_status_of_errno(errno);
    if (fd >= 0)
        close(fd);
    return status;
}

nt_status win32_file_rename_open(struct win32_file *file, const char *to, bool replace)
{
    if (!leads_to(file->path, file->fd))
        return (nt_status)STATUS_OBJECT_NAME_NOT_FOUND;
    char *copy = strdup(to);
    nt_status status = copy ? check_target(file->path, to, replace) : (nt_status)STATUS_NO_MEMORY;
    if (nt_ok(status) && rename_host(file->path, to, replace) < 0)
        status = win32_status_of_errno(errno);
    if (nt_ok(status)) {
        char *old = file->path;
        file->path = copy;
        copy = old;
    }
    free(copy);
    return status;
}
