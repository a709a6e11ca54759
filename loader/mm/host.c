/*
 * Shared memory of peldr itself (mm/data.h): records of objects and processes. It is no region of
 * the image's world.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "loader/mm/data.h"
#include "loader/mm/pages.h"

/* Linux 6.3: asks for what vm.memfd_noexec wants. */
#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008u
#endif

#define SIZE_SEALS (F_SEAL_SHRINK | F_SEAL_GROW)

nt_status mm_host_map(int fd, uint64_t offset, uint64_t size, void **out, struct pe_error *err)
{
    void *address = MAP_FAILED;
    if (size > SIZE_MAX || offset > INT64_MAX - size)
        errno = ENOMEM;
    else
        address = mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)offset);
    if (address == MAP_FAILED)
        return pe_fail(err, mm_status_of_errno(errno), "cannot map shared memory: %s",
                       strerror(errno));
    *out = address;
    return STATUS_SUCCESS;
}

void mm_host_unmap(void *address, uint64_t size)
{
    if (address)
        munmap(address, (size_t)size);
}

static bool prepare(int fd, uint64_t size, bool sealed)
{
    if (ftruncate(fd, (off_t)size) != 0)
        return false;
    return !sealed || fcntl(fd, F_ADD_SEALS, SIZE_SEALS | F_SEAL_SEAL) == 0;
}

nt_status mm_host_memory(const char *name, uint64_t size, bool sealed, int *fd,
                         struct pe_error *err)
{
    unsigned flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
    int memory = memfd_create(name, flags | MFD_NOEXEC_SEAL);
    if (memory < 0 && errno == EINVAL)
        memory = memfd_create(name, flags);
    if (memory >= 0 && prepare(memory, size, sealed)) {
        *fd = memory;
        return STATUS_SUCCESS;
    }
    nt_status status =
        pe_fail(err, mm_status_of_errno(errno), "cannot create shared memory: %s", strerror(errno));
    if (memory >= 0)
        close(memory);
    return status;
}

bool mm_host_is_memory(int fd, uint64_t size)
{
    struct stat st;
    int seals = fcntl(fd, F_GET_SEALS); /* fails for everything but a memfd (and tmpfs files) */
    return seals >= 0 && (seals & SIZE_SEALS) == SIZE_SEALS && fstat(fd, &st) == 0 &&
           (uint64_t)st.st_size == size;
}
