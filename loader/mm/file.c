/*
 * The bytes of a file in memory, for parsers and for building image section objects.
 *
 * They are read, not mapped: a file that is truncated meanwhile must not raise SIGBUS in the
 * loader.
 *
 * Headers of small files are read into memory that the library has anyway: a mapping that is made,
 * touched and unmapped costs more than all the rest.
 */
#include <errno.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "loader/mm/pages.h"
#include "loader/mm/section_object.h"

/* Windows 10 takes no image of 4 GiB or more (rule file.size). */
#define MAX_FILE_SIZE 0xFFFFFFFFull
/* Holds the headers of nearly every image. */
#define FIRST_READ 0x1000u
/* Signature, file header and the larger optional header. */
#define NT_HEADERS_SIZE 264u

#define SMALL_FILE 0x40000u

/* All zero but while somebody has it, who has read `scratch_end` bytes at most. */
static _Alignas(PE_PAGE_SIZE) uint8_t scratch[SMALL_FILE];
static uint64_t scratch_end;
static atomic_flag scratch_taken = ATOMIC_FLAG_INIT;

static nt_status check_file(int fd, const char *name, uint64_t max_size, struct stat *st,
                            struct pe_error *err)
{
    if (fstat(fd, st) != 0)
        return pe_fail(err, mm_status_of_errno(errno), "%s: cannot be examined", name);
    if (S_ISDIR(st->st_mode))
        return pe_fail(err, STATUS_FILE_IS_A_DIRECTORY, "%s: is a directory", name);
    if (!S_ISREG(st->st_mode))
        return pe_fail(err, STATUS_INVALID_FILE_FOR_SECTION, "%s: is not a regular file", name);
    if (st->st_size == 0)
        return pe_fail(err, STATUS_INVALID_FILE_FOR_SECTION, "%s: the file is empty", name);
    if ((uint64_t)st->st_size > max_size)
        return pe_fail_rule(
            err, STATUS_INVALID_FILE_FOR_SECTION, "file.size",
            "%s: refused by rule file.size (Windows 10): the file has 4 GiB or more", name);
    return STATUS_SUCCESS;
}

/* Checks the file and gets memory of its size, all zero and costing nothing yet; `briefly`: that
 * others may wait for. */
static nt_status open_span(int fd, const char *name, uint64_t max_size, bool briefly,
                           struct pe_span *out, struct stat *st, struct pe_error *err)
{
    nt_status status = check_file(fd, name, max_size, st, err);
    void *memory = MAP_FAILED;
    uint64_t size;

    if (!nt_ok(status))
        return status;
    size = mm_round_up((uint64_t)st->st_size, MM_PAGE);
    if (briefly && size <= SMALL_FILE && !atomic_flag_test_and_set(&scratch_taken))
        memory = scratch;
    else if (size <= SIZE_MAX)
        memory = mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED)
        return pe_fail(err, STATUS_NO_MEMORY, "%s: no memory for a file of %llu bytes", name,
                       (unsigned long long)st->st_size);
    *out = (struct pe_span){memory, (uint64_t)st->st_size};
    return STATUS_SUCCESS;
}

/* Reads [from, to) of the file to its place in the span: where the file ended, or -1 with errno. */
static int64_t read_range(int fd, struct pe_span span, uint64_t from, uint64_t to)
{
    uint8_t *memory = (uint8_t *)(uintptr_t)span.data;

    if (to > span.size)
        to = span.size;
    while (from < to) {
        ssize_t got = pread(fd, memory + from, (size_t)(to - from), (off_t)from);

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -1;
        if (got == 0) /* truncated since */
            break;
        from += (uint64_t)got;
        if (memory == scratch && from > scratch_end)
            scratch_end = from;
    }
    return (int64_t)from;
}

nt_status mm_file_map(int fd, const char *name, struct pe_span *out, struct pe_error *err)
{
    struct pe_span span;
    struct stat st;
    nt_status status = open_span(fd, name, MAX_FILE_SIZE, false, &span, &st, err);
    uint64_t used;
    int64_t end;

    if (!nt_ok(status))
        return status;
    end = read_range(fd, span, 0, span.size);
    if (end <= 0) {
        status = end < 0 ? mm_status_of_errno(errno) : (nt_status)STATUS_INVALID_FILE_FOR_SECTION;
        mm_file_unmap(span);
        return pe_fail(err, status, "%s: cannot be read", name);
    }
    /* The span's size tells how much to unmap, so the pages behind a shrunken file go now. */
    used = mm_round_up((uint64_t)end, MM_PAGE);
    if (used < mm_round_up(span.size, MM_PAGE))
        munmap(mm_ptr(mm_address(span.data) + used),
               (size_t)(mm_round_up(span.size, MM_PAGE) - used));
    *out = (struct pe_span){span.data, (uint64_t)end};
    return STATUS_SUCCESS;
}

/* NT headers and section table, which can lie anywhere in the file (behaviours, Headers). */
static int64_t read_table(int fd, struct pe_span span)
{
    uint16_t count = 0, optional_size = 0;
    uint32_t lfanew = 0;
    uint64_t end;

    pe_u32(span, 0x3c, &lfanew);
    end = (uint64_t)lfanew + NT_HEADERS_SIZE;
    if (end > FIRST_READ && read_range(fd, span, lfanew, end) < 0)
        return -1;
    pe_u16(span, (uint64_t)lfanew + 6, &count);
    pe_u16(span, (uint64_t)lfanew + 20, &optional_size);
    end = (uint64_t)lfanew + 24 + optional_size + 40ull * count;
    return end > FIRST_READ ? read_range(fd, span, lfanew, end) : 0;
}

nt_status mm_file_read_headers(int fd, const char *name, enum pe_windows windows,
                               struct pe_span *out, struct stat *st, struct pe_error *err)
{
    struct pe_span span;
    uint64_t max_size = windows == PE_WINDOWS_10 ? MAX_FILE_SIZE : INT64_MAX;
    nt_status status = open_span(fd, name, max_size, true, &span, st, err);

    if (!nt_ok(status))
        return status;
    if (read_range(fd, span, 0, FIRST_READ) < 0 || read_table(fd, span) < 0) {
        status = mm_status_of_errno(errno);
        mm_file_unmap(span);
        return pe_fail(err, status, "%s: cannot be read", name);
    }
    *out = span;
    return STATUS_SUCCESS;
}

nt_status mm_file_map_headers(int fd, const char *name, struct pe_span *out, struct pe_error *err)
{
    struct stat st;

    return mm_file_read_headers(fd, name, PE_WINDOWS_ALL, out, &st, err);
}

void mm_file_unmap(struct pe_span span)
{
    if (span.data == scratch) {
        memset(scratch, 0, (size_t)scratch_end);
        scratch_end = 0;
        atomic_flag_clear(&scratch_taken);
    } else if (span.data != NULL)
        munmap((void *)(uintptr_t)span.data, (size_t)mm_round_up(span.size, MM_PAGE));
}
