/*
 * Memory with two addresses: one to write, a fixed one to read (KUSER_SHARED_DATA at 0x7FFE0000).
 *
 * Images can only read it, as on Windows, while the loader keeps the clock in it up to date through
 * its own address. The readable end is recorded, so VirtualQuery answers for it.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "loader/mm/region.h"
#include "loader/mm/reserve.h"
#include "loader/mm/view.h"

static nt_status record(uint64_t base, uint64_t size, uint32_t protect)
{
    struct mm_range *range = malloc(sizeof(*range));
    nt_status status = STATUS_NO_MEMORY;

    if (range == NULL)
        return status;
    if (mm_range_init(range, MM_RANGE_MIRROR, base, size, PAGE_READONLY)) {
        memset(range->attr, mm_attr_make(protect, 0), (size_t)(size / MM_PAGE));
        mm_ranges_write_lock();
        status = mm_ranges_insert(range);
        mm_ranges_unlock();
    }
    if (!nt_ok(status)) {
        free(range->attr);
        free(range);
    }
    return status;
}

/* Maps both ends; [base, base+size) is reserved. */
static void *map_ends(uint64_t base, uint64_t size, bool readable)
{
    int fd = memfd_create("peldr:mirror", MFD_CLOEXEC);
    void *ends = MAP_FAILED;

    if (fd < 0)
        return MAP_FAILED;
    if (ftruncate(fd, (off_t)size) == 0)
        ends = mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (ends != MAP_FAILED && mmap(mm_ptr(base), (size_t)size, readable ? PROT_READ : PROT_NONE,
                                   MAP_FIXED | MAP_SHARED, fd, 0) == MAP_FAILED) {
        munmap(ends, (size_t)size);
        ends = MAP_FAILED;
    }
    close(fd);
    return ends;
}

nt_status mm_map_mirror(uint64_t read_address, uint64_t size, bool readable, void **write_address,
                        struct pe_error *err)
{
    uint64_t bytes = mm_round_up(size, MM_PAGE);
    char conflict[512];
    nt_status status = mm_reserve_at(read_address, bytes);
    void *writable;

    if (!nt_ok(status)) {
        mm_describe_conflict(read_address, bytes, conflict, sizeof(conflict));
        return pe_fail(err, status, "%s", conflict);
    }
    writable = map_ends(read_address, bytes, readable);
    status = writable == MAP_FAILED
                 ? mm_status_of_errno(errno)
                 : record(read_address, bytes, readable ? PAGE_READONLY : PAGE_NOACCESS);
    if (!nt_ok(status)) {
        if (writable != MAP_FAILED)
            munmap(writable, (size_t)bytes);
        mm_unreserve(read_address, bytes);
        return pe_fail(err, status, "cannot map 0x%llx bytes at 0x%llx", (unsigned long long)bytes,
                       (unsigned long long)read_address);
    }
    *write_address = writable;
    return STATUS_SUCCESS;
}
