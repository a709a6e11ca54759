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

#include "loader/mm/data.h"
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
static nt_status map_ends(uint64_t base, uint64_t size, bool readable, void **writable,
                          struct pe_error *err)
{
    nt_status status;
    int fd;

    status = mm_host_memory("peldr:mirror", size, true, &fd, err);
    if (!nt_ok(status))
        return status;
    status = mm_host_map(fd, 0, size, writable, err);
    if (nt_ok(status) && mmap(mm_ptr(base), (size_t)size, readable ? PROT_READ : PROT_NONE,
                              MAP_FIXED | MAP_SHARED, fd, 0) == MAP_FAILED) {
        status = pe_fail(err, mm_status_of_errno(errno), "cannot map 0x%llx bytes at 0x%llx",
                         (unsigned long long)size, (unsigned long long)base);
        mm_host_unmap(*writable, size);
    }
    close(fd);
    return status;
}

nt_status mm_map_mirror(uint64_t read_address, uint64_t size, bool readable, void **write_address,
                        struct pe_error *err)
{
    uint64_t bytes = mm_round_up(size, MM_PAGE);
    void *writable;
    nt_status status = mm_reserve(0, &read_address, bytes, err);

    if (!nt_ok(status))
        return status;
    status = map_ends(read_address, bytes, readable, &writable, err);
    if (nt_ok(status)) {
        status = record(read_address, bytes, readable ? PAGE_READONLY : PAGE_NOACCESS);
        if (!nt_ok(status)) {
            pe_fail(err, status, "no memory for the mirror's record");
            mm_host_unmap(writable, bytes);
        }
    }
    if (!nt_ok(status)) {
        mm_unreserve(read_address, bytes);
        return status;
    }
    *write_address = writable;
    return STATUS_SUCCESS;
}
