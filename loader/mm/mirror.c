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

static nt_status record(uint64_t base, uint64_t size)
{
    struct mm_range *range = malloc(sizeof(*range));
    nt_status status = STATUS_NO_MEMORY;

    if (range == NULL)
        return status;
    if (mm_range_init(range, MM_RANGE_MIRROR, base, size, PAGE_READONLY)) {
        memset(range->attr, mm_attr_make(PAGE_NOACCESS, 0), (size_t)(size / MM_PAGE));
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

nt_status mm_mirror_reserve(uint64_t read_address, uint64_t size, struct pe_error *err)
{
    uint64_t bytes = mm_round_up(size, MM_PAGE);
    nt_status status = mm_reserve(0, &read_address, bytes, PROT_NONE, err);

    if (!nt_ok(status))
        return status;
    status = record(read_address, bytes);
    if (!nt_ok(status)) {
        mm_unreserve(read_address, bytes);
        return pe_fail(err, status, "no memory for the mirror's record");
    }
    return STATUS_SUCCESS;
}

nt_status mm_mirror_back(uint64_t read_address, uint64_t size, void **write_address,
                         struct pe_error *err)
{
    uint64_t bytes = mm_round_up(size, MM_PAGE);
    nt_status status;
    int fd;

    status = mm_host_memory("peldr:mirror", bytes, true, &fd, err);
    if (!nt_ok(status))
        return status;
    status = mm_host_map(fd, 0, bytes, write_address, err);
    if (nt_ok(status) && mmap(mm_ptr(read_address), (size_t)bytes, PROT_NONE,
                              MAP_FIXED | MAP_SHARED, fd, 0) == MAP_FAILED) {
        status = pe_fail(err, mm_status_of_errno(errno), "cannot map 0x%llx bytes at 0x%llx",
                         (unsigned long long)bytes, (unsigned long long)read_address);
        mm_host_unmap(*write_address, bytes);
    }
    close(fd);
    return status;
}
