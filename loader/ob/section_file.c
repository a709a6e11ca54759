/*
 * The file behind a section: the section's own description of it, how long it has to be, and how a
 * process that knows only the section's name comes to it (facts 4.1).
 *
 * A path does not name a file for good: it can be deleted or replaced while the section lives. So a
 * record lists processes that have the file open, and the descriptor that they have it by; Linux
 * lets a process of the same user open it anew through /proc. Device and inode number say whether
 * it is the right file, whatever is in the table.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "loader/ob/fileshare.h"
#include "loader/ob/runtime.h"
#include "loader/ob/section_object.h"
#include "loader/ob/section_rules.h"

static int open_flags(uint32_t protect)
{
    return (ob_section_writes(protect) ? O_RDWR : O_RDONLY) | O_CLOEXEC | O_NOCTTY | O_NONBLOCK;
}

/* ---- opening ------------------------------------------------------------------------------------
 */

/* A second description; the handle's own where its rights cannot be had anew. */
static int own_description(const struct ob_section_create *how)
{
    int fd = -1;
    if (nt_ok(ob_file_reopen(how->fd, open_flags(how->protect), &fd)))
        return fd;
    return fcntl(how->fd, F_DUPFD_CLOEXEC, 0);
}

bool ob_section_file_identify(int fd, struct ob_section_file *out)
{
    struct stat st;
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
        return false;
    *out = (struct ob_section_file){fd, st.st_dev, st.st_ino, (uint64_t)st.st_size};
    return true;
}

nt_status ob_section_file_open(const struct ob_section_create *how, struct ob_section_file *out,
                               struct pe_error *err)
{
    const char *name = how->path ? how->path : "the file";
    if (!ob_section_file_identify(how->fd, out))
        return pe_fail(err, STATUS_INVALID_FILE_FOR_SECTION, "%s is not a file that can be mapped",
                       name);
    out->fd = own_description(how);
    if (out->fd < 0)
        return ob_fail_errno(err, errno, "cannot open %s for its section", name);
    return STATUS_SUCCESS;
}

/* ---- size ---------------------------------------------------------------------------------------
 */

/* What lies beyond the limit would end the process with SIGXFSZ. */
static bool within_limit(uint64_t size)
{
    struct rlimit limit;
    return getrlimit(RLIMIT_FSIZE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY ||
           size <= limit.rlim_cur;
}

/* The disk space is taken at once, so that no write through a view meets a full disk. A failure
 * leaves the file as it was. */
static nt_status grow(const struct ob_section_file *file, uint64_t size, struct pe_error *err)
{
    int error = EFBIG;
    if (size <= INT64_MAX && within_limit(size)) {
        do
            error = posix_fallocate(file->fd, (off_t)file->size, (off_t)(size - file->size));
        while (error == EINTR);
    }
    if (error == 0)
        return STATUS_SUCCESS;
    struct stat st;
    if (fstat(file->fd, &st) == 0 && (uint64_t)st.st_size > file->size &&
        ftruncate(file->fd, (off_t)file->size) != 0)
        return ob_fail_errno(err, errno, "cannot cut the file to its %llu bytes again",
                             (unsigned long long)file->size);
    return ob_fail_errno(err, error, "cannot make the file %llu bytes long",
                         (unsigned long long)size);
}

nt_status ob_section_file_size(const struct ob_section_file *file, uint64_t wanted, bool writes,
                               uint64_t *size, struct pe_error *err)
{
    *size = wanted ? wanted : file->size;
    if (*size == 0)
        return pe_fail(err, STATUS_MAPPED_FILE_SIZE_ZERO, "an empty file cannot be mapped");
    if (*size <= file->size)
        return STATUS_SUCCESS;
    if (!writes || *size > OB_SECTION_MAX)
        return pe_fail(err, STATUS_SECTION_TOO_BIG,
                       "a section of %llu bytes does not fit a file of %llu",
                       (unsigned long long)*size, (unsigned long long)file->size);
    return grow(file, *size, err);
}

/* ---- finding it -------------------------------------------------------------------------------
 */

static uint64_t holder(int fd)
{
    return ((uint64_t)(uint32_t)getpid() << 32) | ((uint32_t)fd + 1);
}

static int open_same(const char *path, int flags, uint64_t dev, uint64_t ino)
{
    struct ob_section_file file;
    int fd = open(path, flags);
    if (fd >= 0 && ob_section_file_identify(fd, &file) && file.dev == dev && file.ino == ino)
        return fd;
    if (fd >= 0)
        close(fd);
    return -1;
}

static int open_of_holder(uint64_t entry, int flags, uint64_t dev, uint64_t ino)
{
    char path[64];
    struct stat st;
    uint32_t pid = (uint32_t)(entry >> 32), fd = (uint32_t)entry - 1;
    if (pid == 0 || pid > INT32_MAX || fd > INT32_MAX)
        return -1;
    snprintf(path, sizeof path, "/proc/%u/fd/%u", pid, fd);
    /* Not opened before it is known to be the file: opening a device or a pipe does something. */
    if (stat(path, &st) != 0 || !S_ISREG(st.st_mode) || st.st_dev != dev || st.st_ino != ino)
        return -1;
    return open_same(path, flags, dev, ino);
}

nt_status ob_section_file_find(const struct ob_section *section, int *fd, struct pe_error *err)
{
    const struct ob_section_body *body = ob_record_body(section->record);
    struct ob_section_body copy;
    int flags = open_flags(section->protect);
    for (uint32_t i = 0; i < OB_SECTION_HOLDERS; i++) {
        uint64_t entry = __atomic_load_n(&body->holders[i], __ATOMIC_ACQUIRE);
        *fd = entry ? open_of_holder(entry, flags, section->dev, section->ino) : -1;
        if (*fd >= 0)
            return STATUS_SUCCESS;
    }
    struct stat st;
    if (ob_section_read_body(body, &copy, true) && copy.path[0] && stat(copy.path, &st) == 0 &&
        S_ISREG(st.st_mode)) {
        *fd = open_same(copy.path, flags, section->dev, section->ino);
        if (*fd >= 0)
            return STATUS_SUCCESS;
    }
    return pe_fail(err, STATUS_RETRY, "nobody has the section's file open any more");
}

/* An entry of a process that does not hold the file (any more) is free. */
static bool is_stale(uint64_t entry, uint64_t dev, uint64_t ino)
{
    char path[64];
    struct stat st;
    snprintf(path, sizeof path, "/proc/%u/fd/%u", (uint32_t)(entry >> 32), (uint32_t)entry - 1);
    return stat(path, &st) != 0 || st.st_dev != dev || st.st_ino != ino;
}

void ob_section_file_forget(struct ob_section_body *body, int fd)
{
    const uint64_t mine = holder(fd);
    for (uint32_t i = 0; i < OB_SECTION_HOLDERS; i++) {
        uint64_t entry = mine;
        __atomic_compare_exchange_n(&body->holders[i], &entry, 0, false, __ATOMIC_ACQ_REL,
                                    __ATOMIC_ACQUIRE);
    }
}

void ob_section_file_hold(struct ob_section_body *body, int fd)
{
    const uint64_t mine = holder(fd);
    ob_section_file_forget(body, fd);
    for (int pass = 0; pass < 2; pass++) {
        for (uint32_t i = 0; i < OB_SECTION_HOLDERS; i++) {
            uint64_t entry = __atomic_load_n(&body->holders[i], __ATOMIC_ACQUIRE);
            if (entry != 0 && (pass == 0 || !is_stale(entry, body->dev, body->ino)))
                continue;
            if (__atomic_compare_exchange_n(&body->holders[i], &entry, mine, false,
                                            __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
                return;
        }
    }
}
