/*
 * A whole file in memory, for parsers and for building image section objects.
 *
 * The bytes are read, not mapped: a file that is truncated meanwhile must not raise SIGBUS in the
 * loader, and what was checked has to be what is mapped afterwards.
 */
#include <errno.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "loader/mm/pages.h"
#include "loader/mm/section_object.h"

/* Windows takes no image of 4 GiB or more (rule file.size). */
#define MAX_FILE_SIZE 0xFFFFFFFFull

static nt_status check_file(int fd, const char *name, struct stat *st, struct pe_error *err)
{
    if (fstat(fd, st) != 0)
        return pe_fail(err, mm_status_of_errno(errno), "%s: cannot be examined", name);
    if (S_ISDIR(st->st_mode))
        return pe_fail(err, STATUS_FILE_IS_A_DIRECTORY, "%s: is a directory", name);
    if (!S_ISREG(st->st_mode))
        return pe_fail(err, STATUS_INVALID_FILE_FOR_SECTION, "%s: is not a regular file", name);
    if (st->st_size == 0)
        return pe_fail(err, STATUS_INVALID_FILE_FOR_SECTION, "%s: the file is empty", name);
    if ((uint64_t)st->st_size > MAX_FILE_SIZE)
        return pe_fail_rule(err, STATUS_INVALID_FILE_FOR_SECTION, "file.size",
                            "%s: the file has 4 GiB or more", name);
    return STATUS_SUCCESS;
}

/* Reads up to `size` bytes from the start; what was got, or -1 with errno. */
static int64_t read_all(int fd, uint8_t *to, uint64_t size)
{
    uint64_t done = 0;

    while (done < size) {
        ssize_t got = pread(fd, to + done, (size_t)(size - done), (off_t)done);

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -1;
        if (got == 0) /* truncated since */
            break;
        done += (uint64_t)got;
    }
    return (int64_t)done;
}

nt_status mm_file_read(int fd, const char *name, struct pe_span *out, struct stat *st,
                       struct pe_error *err)
{
    nt_status status = check_file(fd, name, st, err);
    uint64_t size;
    int64_t got;
    void *memory;

    if (!nt_ok(status))
        return status;
    size = mm_round_up((uint64_t)st->st_size, MM_PAGE);
    memory = size > SIZE_MAX ? MAP_FAILED
                             : mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE,
                                    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        return pe_fail(err, STATUS_NO_MEMORY, "%s: no memory for a file of %llu bytes", name,
                       (unsigned long long)st->st_size);
    got = read_all(fd, memory, (uint64_t)st->st_size);
    if (got <= 0) {
        status = got < 0 ? mm_status_of_errno(errno) : (nt_status)STATUS_INVALID_FILE_FOR_SECTION;
        munmap(memory, (size_t)size);
        return pe_fail(err, status, "%s: cannot be read", name);
    }
    /* The span's size tells how much to unmap, so the pages behind a shrunken file go now. */
    if (mm_round_up((uint64_t)got, MM_PAGE) < size)
        munmap((uint8_t *)memory + mm_round_up((uint64_t)got, MM_PAGE),
               (size_t)(size - mm_round_up((uint64_t)got, MM_PAGE)));
    *out = (struct pe_span){memory, (uint64_t)got};
    return STATUS_SUCCESS;
}

nt_status mm_file_map(int fd, const char *name, struct pe_span *out, struct pe_error *err)
{
    struct stat st;

    return mm_file_read(fd, name, out, &st, err);
}

void mm_file_unmap(struct pe_span span)
{
    if (span.data != NULL)
        munmap((void *)(uintptr_t)span.data, (size_t)mm_round_up(span.size, MM_PAGE));
}
