/*
 * Transfer, size and information of file objects (win32/file.h).
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "loader/mm/data.h"
#include "loader/ob/fileshare.h"
#include "loader/win32/errors.h"
#include "loader/win32/file.h"
#include "loader/win32/hosttime.h"

/* ---- one system call --------------------------------------------------------------------------
 */

#define NO_OFFSET (-1)

/*
 * Whether the call that has just failed can be made again. The kernel refuses memory of a
 * SEC_RESERVE view that another process has committed since; `*opened` keeps that to one try.
 */
static bool try_again(const void *buffer, size_t size, bool *opened)
{
    if (errno == EINTR)
        return true;
    if (errno != EFAULT || *opened)
        return false;
    *opened = true;
    bool changed = mm_commit_refresh((uintptr_t)buffer, size);
    errno = EFAULT;
    return changed;
}

/* At `offset`, or at the file's own position. */
static ssize_t read_some(int fd, void *buffer, size_t size, off_t offset)
{
    ssize_t got;
    bool opened = false;
    do {
        got = offset == NO_OFFSET ? read(fd, buffer, size) : pread(fd, buffer, size, offset);
    } while (got < 0 && try_again(buffer, size, &opened));
    return got;
}

static ssize_t write_some(int fd, const void *buffer, size_t size, off_t offset)
{
    ssize_t put;
    bool opened = false;
    do {
        put = offset == NO_OFFSET ? write(fd, buffer, size) : pwrite(fd, buffer, size, offset);
    } while (put < 0 && try_again(buffer, size, &opened));
    return put;
}

ssize_t win32_host_read(int fd, void *buffer, size_t size)
{
    return read_some(fd, buffer, size, NO_OFFSET);
}

ssize_t win32_host_write(int fd, const void *buffer, size_t size)
{
    return write_some(fd, buffer, size, NO_OFFSET);
}

/*
 * write() to a pipe without a reader raises SIGPIPE, beyond RLIMIT_FSIZE SIGXFSZ: Windows has no
 * such things. Keeps `signal` away from this thread while the call runs.
 */
static ssize_t write_quietly(int fd, const void *buffer, size_t size, off_t offset, int signal)
{
    sigset_t set, old, pending;
    struct timespec zero = {0};
    sigemptyset(&set);
    sigaddset(&set, signal);
    sigpending(&pending);
    bool was_pending = sigismember(&pending, signal) == 1;
    pthread_sigmask(SIG_BLOCK, &set, &old);
    ssize_t put = write_some(fd, buffer, size, offset);
    int error = errno;
    if (put < 0 && (error == EPIPE || error == EFBIG) && !was_pending) {
        while (sigtimedwait(&set, NULL, &zero) < 0 && errno == EINTR)
            ;
    }
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    errno = error;
    return put;
}

/* ---- transfer ----------------------------------------------------------------------------------
 */

static nt_status end_of(const struct win32_file *file)
{
    if (file->type == FILE_TYPE_CHAR)
        return STATUS_SUCCESS;
    return file->type == FILE_TYPE_PIPE ? (nt_status)STATUS_PIPE_BROKEN
                                        : (nt_status)STATUS_END_OF_FILE;
}

nt_status win32_file_read(struct win32_file *file, void *buffer, uint32_t size,
                          const uint64_t *offset, uint32_t *done)
{
    bool disk = file->type == FILE_TYPE_DISK, at = offset && disk;
    *done = 0;
    if (file->directory)
        return (nt_status)STATUS_INVALID_DEVICE_REQUEST;
    if (at && *offset > (uint64_t)INT64_MAX - size)
        return (nt_status)STATUS_INVALID_PARAMETER;
    do {
        off_t from = at ? (off_t)(*offset + *done) : NO_OFFSET;
        ssize_t got = read_some(file->fd, (char *)buffer + *done, size - *done, from);
        if (got < 0)
            return win32_status_of_errno(errno);
        if (got == 0)
            return *done || !size ? STATUS_SUCCESS : end_of(file);
        *done += (uint32_t)got;
        /* A file gives all that it has; what comes through a pipe is given as it comes. */
    } while (disk && *done < size);
    return STATUS_SUCCESS;
}

/* Of this process; asked once, because next to nobody has one. */
static bool has_size_limit(void)
{
    static int answer; /* 0 = not asked yet, 1 = no, 2 = yes */
    struct rlimit limit;
    int known = __atomic_load_n(&answer, __ATOMIC_RELAXED);
    if (!known) {
        bool limited = getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY;
        known = limited ? 2 : 1;
        __atomic_store_n(&answer, known, __ATOMIC_RELAXED);
    }
    return known == 2;
}

static ssize_t write_part(const struct win32_file *file, const void *buffer, size_t size,
                          off_t offset)
{
    if (file->type == FILE_TYPE_PIPE)
        return write_quietly(file->fd, buffer, size, NO_OFFSET, SIGPIPE);
    if (file->type == FILE_TYPE_DISK && has_size_limit())
        return write_quietly(file->fd, buffer, size, offset, SIGXFSZ);
    return write_some(file->fd, buffer, size, offset);
}

nt_status win32_file_write(struct win32_file *file, const void *buffer, uint32_t size,
                           const uint64_t *offset, uint32_t *done)
{
    /* An offset of all ones means the end of the file (WriteFile's documentation). */
    bool to_end = offset && *offset == UINT64_MAX;
    bool at = offset && !to_end && file->type == FILE_TYPE_DISK;
    *done = 0;
    if (file->directory)
        return (nt_status)STATUS_INVALID_DEVICE_REQUEST;
    if (at && *offset > (uint64_t)INT64_MAX - size)
        return (nt_status)STATUS_INVALID_PARAMETER;
    if (to_end && file->type == FILE_TYPE_DISK && lseek(file->fd, 0, SEEK_END) < 0)
        return win32_status_of_errno(errno);
    while (*done < size) {
        off_t to = at ? (off_t)(*offset + *done) : NO_OFFSET;
        ssize_t put = write_part(file, (const char *)buffer + *done, size - *done, to);
        if (put < 0 && errno == EFAULT)
            return (nt_status)STATUS_INVALID_USER_BUFFER;
        if (put < 0)
            return win32_status_of_errno(errno);
        *done += (uint32_t)put;
    }
    return STATUS_SUCCESS;
}

void win32_file_follow(struct win32_file *file, uint64_t offset, uint32_t done)
{
    if (!(file->flags & FILE_FLAG_OVERLAPPED) && file->type == FILE_TYPE_DISK &&
        offset != UINT64_MAX)
        lseek(file->fd, (off_t)(offset + done), SEEK_SET);
}

/* ---- size ---------------------------------------------------------------------------------------
 */

/* Windows takes the space at once; here the bytes may stay a hole, but not on a disk without room.
 */
static bool has_room(int fd, uint64_t bytes)
{
    struct statvfs fs;
    return fstatvfs(fd, &fs) < 0 || fs.f_frsize == 0 ||
           bytes / fs.f_frsize <= (uint64_t)fs.f_bavail;
}

nt_status win32_fd_set_size(int fd, int64_t size)
{
    struct stat st;
    if (size < 0)
        return (nt_status)STATUS_INVALID_PARAMETER;
    if (fstat(fd, &st) < 0)
        return win32_status_of_errno(errno);
    if (!S_ISREG(st.st_mode))
        return (nt_status)STATUS_INVALID_DEVICE_REQUEST;
    bool cut = size < st.st_size;
    if (cut && (ob_fileshare_used(fd, OB_FILE_MAPPED) || ob_fileshare_used(fd, OB_FILE_IMAGE)))
        return (nt_status)STATUS_USER_MAPPED_FILE;
    if (!cut && !has_room(fd, (uint64_t)(size - st.st_size)))
        return (nt_status)STATUS_DISK_FULL;
    return ftruncate(fd, size) < 0 ? win32_status_of_errno(errno) : STATUS_SUCCESS;
}

nt_status win32_file_set_size(struct win32_file *file, int64_t size)
{
    return win32_fd_set_size(file->fd, size);
}

/* ---- information --------------------------------------------------------------------------------
 */

static int64_t statx_ticks(const struct statx_timestamp *time)
{
    return win32_ticks(time->tv_sec, time->tv_nsec);
}

nt_status win32_file_info(int fd, const char *path, struct win32_file_info *out)
{
    struct statx stx;
    int dir = path ? AT_FDCWD : fd, flags = path ? 0 : AT_EMPTY_PATH;
    int failed = statx(dir, path ? path : "", flags, STATX_BASIC_STATS | STATX_BTIME, &stx);
    if (failed && path && errno == ENOENT)
        failed = statx(dir, path, AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS | STATX_BTIME, &stx);
    if (failed)
        return win32_status_of_errno(errno);
    memset(out, 0, sizeof(*out));
    out->directory = S_ISDIR(stx.stx_mode);
    out->attributes = out->directory ? FILE_ATTRIBUTE_DIRECTORY : FILE_ATTRIBUTE_ARCHIVE;
    if (S_ISREG(stx.stx_mode) && !(stx.stx_mode & 0222))
        out->attributes |= FILE_ATTRIBUTE_READONLY;
    out->access = statx_ticks(&stx.stx_atime);
    out->write = statx_ticks(&stx.stx_mtime);
    out->change = statx_ticks(&stx.stx_ctime);
    out->creation = stx.stx_mask & STATX_BTIME ? statx_ticks(&stx.stx_btime) : out->write;
    out->size = out->directory ? 0 : stx.stx_size;
    out->allocation = out->directory ? 0 : stx.stx_blocks * 512;
    out->links = stx.stx_nlink;
    out->dev = makedev(stx.stx_dev_major, stx.stx_dev_minor);
    out->ino = stx.stx_ino;
    return STATUS_SUCCESS;
}
